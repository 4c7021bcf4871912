"""Reading images of every kind: pictures become plain RGB, arrays keep their channels."""

import io
import stat
import warnings
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from caso.runner.cli.messages import describe
from caso.runner.data.arrays import UnreadableImageError, as_tensor, channels_first, check_range, largest
from caso.runner.data.formats import refusal
from caso.runner.data.tiff import SIGNATURES, read_bands

__all__ = ["Picture", "UnreadableImageError", "ignore_remarks", "read_bytes", "read_image", "to_rgb"]

Picture: TypeAlias = Image.Image | Tensor
"""What an image is read as: a PIL image of mode RGB, or a float tensor ``[C, H, W]`` in [0, 1] for an array."""

_ARRAY = b"\x93NUMPY"
_SCALED = ("PNG", "PPM")  # formats in which 65535 is white, also where Pillow gives them mode I


def read_image(path: Path) -> Picture:
    """Read an image file.

    Pictures become 8-bit RGB, as a viewer would show them: the rotation in EXIF data is applied; CMYK, palette and grey
    become RGB; 16-bit grey is scaled to 8 bits; transparency is laid over white, which is what pages and viewers
    commonly show behind it. Of an animation, or a document of pages, the first is read.

    Arrays keep their channels: numpy's ``.npy``, ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]`` (the shortest of the first
    and the last axis is C), and TIFF files of bands that are no colours, or of colours with more than 8 bits; see
    :func:`caso.runner.data.tiff.read_bands`. Unsigned integers of 8 and 16 bits are scaled to [0, 1]; floats must lie
    there; other integers have no range that a file states.

    Args:
        path: Any format that Pillow reads, TIFF, or numpy's.

    Returns:
        The image, mode RGB, or the array as a float tensor ``[C, H, W]`` in [0, 1].

    Raises:
        UnreadableImageError: If the file is missing, empty, truncated or no image, or its values' range is unknown.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a pipe would wait for ever
            raise UnreadableImageError("a pipe or a device, not a file")
        with path.open("rb") as file:
            return _read(file, path.name)
    except OSError as error:
        raise UnreadableImageError(describe(error)) from error


def read_bytes(content: bytes, name: str = "") -> Picture:
    """Read an image from memory, as :func:`read_image` does a file of this name."""
    return _read(io.BytesIO(content), name)


def _read(file: BinaryIO, name: str) -> Picture:
    if reason := refusal(name):
        raise UnreadableImageError(reason)
    head = file.read(len(_ARRAY))
    if not head:
        raise UnreadableImageError("the file is empty")
    file.seek(0)
    try:
        if head == _ARRAY:
            return as_tensor(channels_first(np.load(file, allow_pickle=False)))
        if head[:4] in SIGNATURES:
            bands = read_bands(file)
            if bands is not None:
                return as_tensor(bands)
            file.seek(0)
        ignore_remarks()
        with Image.open(file) as image:
            _check_type(image)
            image.load()
            return to_rgb(_upright(image))
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known format") from error
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError and more on broken files
        raise UnreadableImageError(describe(error)) from error


def ignore_remarks() -> None:
    """Ignore Pillow's remarks on broken metadata, and on pictures that are large but not too large.

    For the whole process: images are read in a thread, and a filter for a while would be undone by other threads'.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _check_type(image: Image.Image) -> None:
    """See that a file's integers have a known range; its format is known only before it is turned upright."""
    if image.mode == "I" and image.format not in _SCALED:
        largest(np.dtype(np.int32))
    if image.mode == "I;16" and image.format == "FITS":  # signed, and shifted by what its header says
        largest(np.dtype(np.int16))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF data must not hide a good picture, and its parser raises many things
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture of any mode into 8-bit RGB."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_high_depth(image)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_high_depth(image: Image.Image) -> Image.Image:
    """Scale grey images of more than 8 bits: 16-bit integers by 1/257, floats in [0, 1] by 255."""
    values = np.asarray(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    check_range(values, top)
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8)).convert("RGB")
