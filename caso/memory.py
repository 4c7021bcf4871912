"""Working in chunks that fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)


def forward_batch(device: torch.device) -> int:
    """Images in one forward pass, where nobody says how many."""
    return 128 if device.type == "cuda" else 16


def backward_batch(device: torch.device) -> int:
    """Images in one forward and backward pass, where nobody says how many."""
    return 64 if device.type == "cuda" else 8


def explained_together(device: torch.device) -> int:
    """Images that a run explains together, where nobody says how many.

    On few cores large batches gain little, and a progress bar should move; a device without memory for so many gets
    halves.
    """
    return 32 if device.type == "cuda" else 4


def halve_until_it_fits(work: Callable[[int], _T], size: int, least: int = 1) -> tuple[_T, int]:
    """Do work on so many images at once; where memory runs out, on half as many, and so on.

    Args:
        work: Takes how many images go at once.
        size: How many at first.
        least: How many there must be.

    Returns:
        What `work` returned, and the size that fitted.

    Raises:
        RuntimeError: `least` images do not fit (the error that PyTorch raised).
    """
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size <= least:
                raise
        # Outside the handler, so that the failed attempt's tensors are no longer referred to.
        smaller = max(least, size // 2)
        _log.warning("out of memory with %d images at once; going on with %d", size, smaller)
        size = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Chunks:
    """Cuts batches into chunks, and remembers the largest size that fitted."""

    def __init__(self, size: int | None) -> None:
        """Start with chunks of `size` images, or whole batches where it is None."""
        self.size = size

    def map(self, work: Callable[[slice], _T], count: int) -> list[_T]:
        """Do `work` on consecutive slices of `count` images; where memory runs out, halve the chunk and go on.

        Raises:
            RuntimeError: one image alone does not fit (the error that PyTorch raised).
        """
        results: list[_T] = []
        start = 0
        while start < count:
            asked = min(self.size or count, count - start)

            def attempt(size: int, first: int = start, asked: int = asked) -> _T:
                if size < asked:  # before the work, which may look at it
                    self.size = size
                return work(slice(first, first + size))

            result, size = halve_until_it_fits(attempt, asked)
            results.append(result)
            start += size
        return results
