"""Maps as bytes: arrays in numpy's own format, and sparse maps without their zeros.

A dense map is one array in numpy's ``.npy`` format. A sparse one is three, one after the other: its shape (integers,
which tells it from a dense one), which entries are not zero (a bit an entry, compressed by zlib), and their values.
Both are exact. What this saves, and how fast it reads, is in ``docs/results.md``; ``scripts/measure_store.py`` measures
it.
"""

import io
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_WORTH_IT = 1 / 8
"""The fraction of zeros from which leaving them out pays: a bit an entry must be kept, of 32."""


def encode_labels(labels: NDArray[Any]) -> bytes:
    """Turn labels of regions into bytes, compressed."""
    buffer, content = io.BytesIO(), io.BytesIO()
    npy.write_array(content, np.ascontiguousarray(labels, np.int32), allow_pickle=False)
    npy.write_array(buffer, np.frombuffer(zlib.compress(content.getvalue(), 1), np.uint8), allow_pickle=False)
    return buffer.getvalue()


def decode_labels(content: bytes) -> NDArray[Any]:
    """Turn the bytes of :func:`encode_labels` into labels again.

    Raises:
        ValueError: If the bytes are damaged.
    """
    compressed = npy.read_array(io.BytesIO(content), allow_pickle=False)
    try:
        return npy.read_array(io.BytesIO(zlib.decompress(compressed.tobytes())), allow_pickle=False)
    except zlib.error as error:
        raise ValueError(f"damaged labels ({error})") from error


def encode(attribution: NDArray[Any]) -> bytes:
    """Turn a map ``[C, H, W]`` into bytes."""
    content = np.ascontiguousarray(attribution)
    present = content != 0
    kept = content[present]
    buffer = io.BytesIO()
    if content.size - kept.size < _WORTH_IT * content.size:
        npy.write_array(buffer, content, allow_pickle=False)
        return buffer.getvalue()
    bits = np.frombuffer(zlib.compress(np.packbits(present).tobytes(), 1), np.uint8)
    for part in (np.asarray(content.shape, np.int64), bits, kept):
        npy.write_array(buffer, part, allow_pickle=False)
    return buffer.getvalue()


def decode(content: bytes) -> NDArray[Any]:
    """Turn the bytes of :func:`encode` into the map again.

    Raises:
        ValueError: If the bytes are damaged.
    """
    buffer = io.BytesIO(content)
    first: NDArray[Any] = npy.read_array(buffer, allow_pickle=False)
    if first.dtype != np.int64:
        return first
    bits, kept = (npy.read_array(buffer, allow_pickle=False) for _ in range(2))
    size = int(first.prod())
    try:
        present = np.unpackbits(np.frombuffer(zlib.decompress(bits.tobytes()), np.uint8), count=size).astype(bool)
    except zlib.error as error:
        raise ValueError(f"damaged map ({error})") from error
    content_of = np.zeros(size, kept.dtype)
    content_of[present] = kept
    return content_of.reshape(first)
