"""One map, photograph or set of regions on matplotlib's axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from caso.plot import colours, fonts
from caso.plot import regions as drawing
from caso.plot.colours import Array, MapLike
from caso.regions import region_table

NUMBERED = 10
"""Regions that are outlined and have their rank written on them, unless told otherwise."""
_AXES = 3


def show_map(
    attribution: MapLike,
    image: MapLike | None = None,
    *,
    style: str = "auto",
    limit: float | None = None,
    regions: MapLike | None = None,
    first: int = NUMBERED,
    colour_bar: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a map.

    Args:
        attribution: ``[C, H, W]`` or ``[H, W]``, signed.
        image: ``[C, H, W]`` in [0, 1], to lie under the map; None for the map alone.
        style: ``auto``, ``signed``, ``magnitude`` or ``grey``; see `caso.plot.colours`.
        limit: The value at which colours end, as of :func:`caso.plot.limit_of` for several maps; None for the map's
            own.
        regions: Labels ``[H, W]``; those that weigh most are outlined and numbered by rank. None for none.
        first: How many.
        colour_bar: Whether to draw one.
        title: Above the map.
        ax: Where to draw; pyplot's current axes where it is None.

    Returns:
        The axes.

    Raises:
        ValueError: A shape, a style or a limit that there is not.
    """
    ax = pyplot.gca() if ax is None else ax
    style = colours.resolve(style, [attribution])
    limit = colours.limit_of([attribution], style) if limit is None else limit
    if image is None:
        drawn = colours.colour(attribution, style, limit)
    else:
        drawn = colours.overlay(attribution, image, style, limit)
    _image(ax, drawn, title)
    if regions is not None:
        labels = _labels(regions, drawn.shape[:2])
        _outline(ax, labels, list(region_weights(attribution, labels))[:first])
    if colour_bar:
        add_colour_bar(ax, style, limit, clipped=np.abs(colours.values(attribution, style)).max() > limit)
    return ax


def show_image(image: MapLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw an image ``[C, H, W]`` in [0, 1]; arguments and result are those of :func:`show_map`."""
    ax = pyplot.gca() if ax is None else ax
    _image(ax, colours.photograph(image), title)
    return ax


def show_regions(
    attribution: MapLike,
    regions: MapLike,
    image: MapLike,
    *,
    first: int = NUMBERED,
    colour_bar: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw an image with the regions of its map, coloured by weight; all else is dark and grey.

    Args:
        attribution: ``[C, H, W]`` or ``[H, W]``. A region's weight is the mean magnitude of its entries.
        regions: Labels ``[H, W]``, negative for none.
        image: ``[C, H, W]`` in [0, 1].
        first: How many are outlined and numbered by rank.
        colour_bar: Whether to draw one.
        title: Above it.
        ax: Where to draw; pyplot's current axes where it is None.

    Returns:
        The axes.

    Raises:
        ValueError: A shape that there is not.
    """
    ax = pyplot.gca() if ax is None else ax
    labels = _labels(regions, colours.photograph(image).shape[:2])
    weights = region_weights(attribution, labels)
    _image(ax, drawing.colour_regions(image, labels, weights), title)
    _outline(ax, labels, list(weights)[:first])
    if colour_bar:
        scale = ScalarMappable(Normalize(0, max(weights.values(), default=0.0) or 1.0), drawing.COLOUR_MAP)
        _bar(ax, scale, "neither")
    return ax


def region_weights(attribution: MapLike, labels: Array) -> dict[int, float]:
    """Weights of the regions that are in a map, by label, the largest first."""
    plain = torch.from_numpy(colours.plain_map(attribution))
    of_entries = torch.from_numpy(labels.astype(np.int64)).expand(plain.shape)
    if not bool((of_entries >= 0).any()):
        return {}
    table = region_table(of_entries, plain[None], torch.zeros(1))
    pairs = zip(table.label.tolist(), table.weight.tolist(), strict=True)
    return {label: weight for label, weight in pairs if weight > 0}


def add_colour_bar(ax: Axes | list[Axes], style: str, limit: float, *, clipped: bool) -> None:
    """Draw the colours of a style beside axes, with a pointed end where values lie beyond the limit."""
    top = limit or 1.0
    signed = style == "signed"
    scale = ScalarMappable(Normalize(-top if signed else 0, top), colormaps[colours.COLOUR_MAPS[style]])
    _bar(ax, scale, ("both" if signed else "max") if clipped else "neither")


def write_title(ax: Axes, text: str) -> None:
    """Write a title in any script; no character of it is a formula."""
    if text:
        lines = [fonts.families(line) for line in text.split("\n")]
        names = list(dict.fromkeys(name for _, families in lines for name in families))
        ax.set_title("\n".join(line for line, _ in lines), fontsize=9, fontfamily=names, parse_math=False)


def _image(ax: Axes, drawn: NDArray[np.uint8], title: str) -> None:
    ax.imshow(drawn, interpolation="nearest")
    ax.set_axis_off()
    write_title(ax, title)


def _bar(ax: Axes | list[Axes], scale: ScalarMappable, extend: str) -> None:
    figure: Any = (ax[0] if isinstance(ax, list) else ax).figure
    bar = figure.colorbar(scale, ax=ax, extend=extend, shrink=0.8, aspect=18, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.ax.ticklabel_format(style="sci", scilimits=(-2, 3), useMathText=True)
    bar.ax.yaxis.get_offset_text().set_fontsize(8)


def _outline(ax: Axes, labels: Array, chosen: list[int]) -> None:
    """Draw the borders of regions, and their ranks, as lines and text."""
    lines = drawing.edges(labels, np.asarray(chosen))
    ax.add_collection(LineCollection(list(lines), colors="white", linewidths=0.8), autolim=False)
    for rank, label in enumerate(chosen, 1):
        at = drawing.middle(labels == label)
        stroke = [withStroke(linewidth=1.5, foreground="black")]
        ax.text(*at, str(rank), color="white", fontsize=8, ha="center", va="center", path_effects=stroke)


def _labels(regions: MapLike, size: tuple[int, ...]) -> Array:
    labels = np.asarray(regions.detach().cpu() if isinstance(regions, Tensor) else regions)
    if labels.ndim == _AXES and (labels == labels[:1]).all():
        labels = labels[0]
    if labels.shape != size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"regions of shape {list(labels.shape)} and type {labels.dtype}: must be whole numbers {list(size)}"
        )
    return labels
