"""Maps and photographs as RGB arrays: what every picture of the project is made of.

Three styles. ``signed`` sums a map over its channels and shows the sum in a diverging colour map centred at zero: blue
below, red above. ``magnitude`` sums the channels' magnitudes and shows them in a perceptually uniform colour map.
``grey`` shows the same sum in grey, the rendering of Singla et al. (2019, arXiv 1902.00407). ``auto`` is ``signed``
where neighbouring pixels agree in sign, as in occlusion's maps, and ``magnitude`` where the sign changes from pixel to
pixel, as in most maps by gradients, whose colours would mix to noise. Values are clipped at a limit: the 99th
percentile, unless the caller gives one, as where several maps share a scale.

Nothing here fails on what a map may be: zeros, NaN, infinity, one channel or many.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[Any]
MapLike = Tensor | ArrayLike
"""A map or an image: ``[C, H, W]``, or ``[H, W]`` for a single channel."""

STYLES = ("auto", "signed", "magnitude", "grey")
COLOUR_MAPS = {"signed": "RdBu_r", "magnitude": "inferno", "grey": "gray"}
"""Matplotlib's names."""
_SHADES = 256
_AGREE = 0.6  # correlation of neighbouring pixels from which signs are shown
_PERCENTILE = 99
_AXES = 3
_RGB = 3
_PALE = 0.35  # contrast of the photograph under signed maps, which end in dark colours
_DIM = 0.45  # brightness of the photograph under magnitudes, which end in bright ones


def colour(attribution: MapLike, style: str = "auto", limit: float | None = None) -> NDArray[np.uint8]:
    """Colour a map.

    Args:
        attribution: ``[C, H, W]`` or ``[H, W]``, signed; anything not finite counts as zero.
        style: One of :data:`STYLES`.
        limit: The value at which colours end; that of :func:`limit_of` where it is None.

    Returns:
        ``[H, W, 3]``.

    Raises:
        ValueError: A style, a limit or a shape that there is not.
    """
    finite = plain_map(attribution)
    style = resolve(style, [finite])
    return _coloured(_fractions(finite, style, limit), style)


def overlay(attribution: MapLike, image: MapLike, style: str = "auto", limit: float | None = None) -> NDArray[np.uint8]:
    """Lay a map's colours over the image, in grey: the larger a value, the less shows through.

    Args:
        attribution: As for :func:`colour`.
        image: ``[C, H, W]`` in [0, 1], as high and as wide.
        style: As for :func:`colour`.
        limit: Likewise.

    Returns:
        ``[H, W, 3]``.

    Raises:
        ValueError: Besides, the sizes differ.
    """
    finite = plain_map(attribution)
    style = resolve(style, [finite])
    fractions = _fractions(finite, style, limit)
    below = plain_map(image).clip(0, 1).mean(0)
    if below.shape != fractions.shape:
        raise ValueError(f"map of {list(fractions.shape)} pixels, image of {list(below.shape)}: must be the same")
    sizes, shades = np.abs(fractions)[..., None], _coloured(fractions, style) / 255
    # Light is added to the dark photograph, and taken from the pale one, so that small values change little.
    if style == "signed":
        below = 1 - _PALE * (1 - below[..., None])
        return to_bytes(shades * (below + sizes * (1 - below)))
    return to_bytes((shades + (1 - sizes) * _DIM * below[..., None]).clip(0, 1))


def photograph(image: MapLike) -> NDArray[np.uint8]:
    """Render an image in [0, 1]: three channels in colour, any other number as their mean; ``[H, W, 3]``."""
    return to_bytes(plain_image(image))


def plain_image(image: MapLike) -> NDArray[np.float64]:
    """An image as :func:`photograph` shows it, ``[H, W, 3]`` from 0 to 1."""
    pixels = plain_map(image).clip(0, 1)
    if len(pixels) != _RGB:
        pixels = np.broadcast_to(pixels.mean(0, keepdims=True), (_RGB, *pixels.shape[1:]))
    return pixels.transpose(1, 2, 0)


def values(attribution: MapLike, style: str = "auto") -> NDArray[np.float64]:
    """The numbers that a style shows, ``[H, W]``: the channels' sum, or the sum of their magnitudes."""
    finite = plain_map(attribution)
    return finite.sum(0) if resolve(style, [finite]) == "signed" else np.abs(finite).sum(0)


def limit_of(maps: Iterable[MapLike], style: str = "auto") -> float:
    """The value at which the colours of one map, or of several on one scale, end.

    Returns:
        The largest of the maps' own limits. A map's limit is the 99th percentile of what is shown of it, by magnitude;
        where fewer pixels than that are non-zero, the largest, so that a very sparse map stays visible. 0 for zeros.
    """
    several = [plain_map(one) for one in maps]
    style = resolve(style, several)
    return max((_own_limit(values(one, style)) for one in several), default=0.0)


def resolve(style: str, maps: Iterable[MapLike]) -> str:
    """Say what ``auto`` means for maps that are shown together; other styles are themselves.

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style={style}: must be {', '.join(STYLES[:-1])} or {STYLES[-1]}")
    if style != "auto":
        return style
    finite = [plain_map(one) for one in maps]
    if not any((one < 0).any() for one in finite):
        return "magnitude"
    top = max(float(np.abs(one).max()) for one in finite)  # so that no square overflows
    sums = [(one / top).sum(0) for one in finite]
    both = sum(float((s[1:] * s[:-1]).sum() + (s[:, 1:] * s[:, :-1]).sum()) / 2 for s in sums)
    return "signed" if both >= _AGREE * sum(float((s * s).sum()) for s in sums) > 0 else "magnitude"


@cache
def _table(style: str) -> NDArray[np.uint8]:
    """The shades of a style that is not ``auto``, ``[256, 3]``."""
    return to_bytes(matplotlib.colormaps[COLOUR_MAPS[style]](np.arange(_SHADES))[:, :_RGB])


def plain_map(array: MapLike) -> NDArray[np.float64]:
    """A map or an image as ``[C, H, W]`` in float64; what is not finite is zero."""
    if isinstance(array, Tensor):
        array = array.detach().to("cpu", torch.float64).numpy()
    plain = np.asarray(array, dtype=np.float64)
    if plain.ndim == _AXES - 1:
        plain = plain[None]
    if plain.ndim != _AXES or 0 in plain.shape:
        raise ValueError(f"shape {list(plain.shape)}: must be [C, H, W] or [H, W], none of them 0")
    return np.where(np.isfinite(plain), plain, 0.0)


def _own_limit(shown: NDArray[np.float64]) -> float:
    sizes = torch.from_numpy(np.abs(shown).ravel())
    k = min(max(1, round(_PERCENTILE / 100 * len(sizes))), len(sizes))
    # NumPy's partition takes ten times as long where most entries are zero.
    top = float(sizes.kthvalue(k).values)
    return top if top > 0 else float(sizes.max())


def _fractions(attribution: MapLike, style: str, limit: float | None) -> NDArray[np.float64]:
    """What is shown as a fraction of the limit, from -1 to 1."""
    shown = values(attribution, style)
    limit = _own_limit(shown) if limit is None else float(limit)
    if not (np.isfinite(limit) and limit >= 0):
        raise ValueError(f"limit={limit}: must be finite and at least 0")
    return (shown / limit).clip(-1, 1) if limit > 0 else np.zeros_like(shown)


def _coloured(fractions: NDArray[np.float64], style: str) -> NDArray[np.uint8]:
    place = (fractions + 1) / 2 if style == "signed" else fractions
    shades: NDArray[np.uint8] = _table(style)[(place * (_SHADES - 1) + 0.5).astype(np.uint8)]
    return shades


def to_bytes(fractions: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours from 0 to 1 as whole numbers from 0 to 255."""
    return np.rint(fractions * 255).astype(np.uint8)
