"""Arrays as images: channels first, scaled to [0, 1] by their type, never by their values."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ALLOWED = "use uint8, uint16, or floats in [0, 1]"
"""What an array may hold, as the end of a sentence."""

_TOPS = {"u1": 255.0, "u2": 65535.0, "b1": 1.0}


class UnreadableImageError(Exception):
    """A file that cannot be read as an image; the text is the reason, in one line."""


def as_tensor(values: NDArray[Any]) -> Tensor:
    """Scale an array to [0, 1].

    Args:
        values: ``[H, W]`` or ``[C, H, W]``.

    Returns:
        Floats ``[C, H, W]``.

    Raises:
        UnreadableImageError: If the shape is no image's, or the range of the values is not known or not theirs.
    """
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or 0 in values.shape:
        raise UnreadableImageError(f"an array of shape {values.shape} is no image")
    top = np.float32(largest(values.dtype))
    scaled = values.astype(np.float32) / top
    check_range(scaled, 1)
    return torch.from_numpy(np.ascontiguousarray(scaled))


def channels_first(values: NDArray[Any]) -> NDArray[Any]:
    """Take the shorter of the first and the last of three axes as channels, and put it first."""
    return np.moveaxis(values, -1, 0) if values.ndim == 3 and values.shape[0] >= values.shape[-1] else values


def largest(kind: np.dtype[Any]) -> float:
    """Give the value that means 1 in arrays of a type.

    Raises:
        UnreadableImageError: If the type does not say. Signed and 32-bit integers hold 0 to 255 in one file, 0 to 4095
            or heights in another; to guess by an image's own values would scale each image differently.
    """
    top = 1.0 if kind.kind == "f" else _TOPS.get(kind.str[1:])
    if top is None:
        raise UnreadableImageError(f"values of type {kind}; {ALLOWED}")
    return top


def check_range(values: NDArray[Any], top: float) -> None:
    """See that all values lie in ``[0, top]``.

    Raises:
        UnreadableImageError: If one does not, or is NaN.
    """
    if not np.isfinite(values).all():
        raise UnreadableImageError("it holds NaN or infinity")
    if values.min() < 0 or values.max() > top:
        raise UnreadableImageError(f"values from {values.min():g} to {values.max():g}, outside [0, {top:g}]; {ALLOWED}")
