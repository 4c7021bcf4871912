"""Regions as RGB arrays and outlines: the photograph coloured by the regions' weights."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from numpy.typing import NDArray

from caso.plot.colours import Array, MapLike, plain_image, to_bytes

COLOUR_MAP = "viridis"
"""From weight 0 to the largest. Reads the same in grey and to the colour-blind."""
_DIMMED = 0.3
"""Brightness of what is not in the map."""
_TINT = 0.55
"""Of the colour, on the heaviest region."""


def colour_regions(image: MapLike, labels: Array, weights: Mapping[int, float]) -> NDArray[np.uint8]:
    """Colour the regions of a map on its image; all else is dark and grey.

    Args:
        image: ``[C, H, W]`` in [0, 1].
        labels: ``[H, W]``, negative for none.
        weights: Of the regions in the map, by label, at least 0.

    Returns:
        ``[H, W, 3]``.
    """
    pixels = plain_image(image)
    if labels.shape != pixels.shape[:2]:
        raise ValueError(f"labels of {list(labels.shape)} pixels, image of {list(pixels.shape[:2])}: must be the same")
    top = max(weights.values(), default=0.0) or 1.0
    fraction = np.full(labels.shape, -1.0)
    for label, weight in weights.items():
        fraction[labels == label] = weight / top
    strength = np.sqrt(fraction.clip(0, 1))[..., None]
    colours = matplotlib.colormaps[COLOUR_MAP](fraction.clip(0, 1))[..., :3]
    lit = pixels * (_DIMMED + (1 - _DIMMED) * strength)
    inside = (1 - _TINT * strength) * lit + _TINT * strength * colours
    return to_bytes(np.where(fraction[..., None] >= 0, inside, pixels.mean(2, keepdims=True) * _DIMMED))


def outline(labels: Array, chosen: Array) -> NDArray[np.bool_]:
    """Mark the pixels ``[H, W]`` of chosen regions that touch another region.

    Args:
        labels: ``[H, W]``.
        chosen: Labels.
    """
    inside = np.isin(labels, chosen)
    border = np.zeros(labels.shape, bool)
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differs = labels[here] != labels[there]
        border[here] |= differs & inside[here]
        border[there] |= differs & inside[there]
    return border


def edges(labels: Array, chosen: Array) -> NDArray[np.float64]:
    """Find the lines between a chosen region's pixels and those of another region.

    Args:
        labels: ``[H, W]``.
        chosen: Labels.

    Returns:
        Segments ``[N, 2, 2]``: their ends, as column and row, where pixels are centred at whole numbers.
    """
    inside = np.isin(labels, chosen)
    row, column = np.nonzero((labels[1:] != labels[:-1]) & (inside[1:] | inside[:-1]))
    flat = np.stack([column - 0.5, row + 0.5, column + 0.5, row + 0.5], 1)
    row, column = np.nonzero((labels[:, 1:] != labels[:, :-1]) & (inside[:, 1:] | inside[:, :-1]))
    upright = np.stack([column + 0.5, row - 0.5, column + 0.5, row + 0.5], 1)
    return np.concatenate([flat, upright]).reshape(-1, 2, 2)


def middle(inside: Array) -> tuple[int, int]:
    """Find the pixel of a region ``[H, W]`` that is farthest from its border, or nearly: column and row."""
    left = np.pad(inside, 1)
    last = left
    while left.any():  # peel it layer by layer
        last, core = left, left.copy()
        core[1:-1, 1:-1] &= left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        left = core
    rows, columns = np.nonzero(last[1:-1, 1:-1])
    at = len(rows) // 2
    return int(columns[at]), int(rows[at])
