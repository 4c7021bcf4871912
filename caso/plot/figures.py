"""Figures of several maps: beside each other on one scale, along a path, on a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from caso.plot import colours
from caso.plot.axes import add_colour_bar, show_image, show_map, write_title
from caso.plot.colours import Array, MapLike
from caso.plot.paths import spread
from caso.results import Explanation, PathExplanation

Maps = Explanation | MapLike
"""What an explainer returned, or maps of any method, ``[B, C, H, W]``, or of one image, ``[C, H, W]``."""
_AXES, _BATCH_AXES = 3, 4
_TILE = 2.2  # inches
_BAR = 0.75  # inches beside a row with a colour bar


def compare_maps(
    maps: Mapping[str, Maps],
    images: MapLike | None = None,
    *,
    style: str = "auto",
    overlay: bool = False,
    shared: bool = True,
    titles: Sequence[str] = (),
    size: float = _TILE,
) -> Figure:
    """Draw maps of the same images beside each other: first beside second order, or any methods.

    Args:
        maps: Names, each with an explanation or maps ``[B, C, H, W]``. A column each.
        images: ``[B, C, H, W]`` in [0, 1], for a column of their own. A row each.
        style: As for :func:`caso.plot.show_map`; the same for all maps.
        overlay: Whether to lay the maps over the images.
        shared: Whether the maps of an image share a scale, which a colour bar then shows. False for methods whose maps
            have different units.
        titles: Of the images.
        size: Height of a map, in inches.

    Returns:
        The figure.

    Raises:
        ValueError: Maps and images that do not belong together, or a style that there is not.
    """
    columns = {name: _batch(one) for name, one in maps.items()}
    counts = {len(one) for one in columns.values()}
    if len(counts) != 1:
        raise ValueError(f"maps of {sorted(counts)} images: must be of the same ones, and at least one method's")
    rows = list(zip(*columns.values(), strict=True))
    names = [list(columns)] + [[""] * len(columns)] * (len(rows) - 1)
    return _draw_rows(rows, names, _images(images, len(rows), overlay), style, overlay, shared, titles, size)


def path_strip(
    path: PathExplanation,
    images: MapLike | None = None,
    *,
    n: int = 6,
    style: str = "auto",
    overlay: bool = False,
    shared: bool = False,
    titles: Sequence[str] = (),
    size: float = _TILE,
) -> Figure:
    """Draw maps along a path from the densest to the sparsest, a row an image.

    Args:
        path: What an explainer's ``path`` returned.
        images: ``[B, C, H, W]`` in [0, 1], for a column of their own.
        n: How many maps to choose, evenly spaced in sparsity.
        style: As for :func:`caso.plot.show_map`.
        overlay: Whether to lay the maps over the images.
        shared: Whether the maps of an image share a scale. Entries shrink as lambda1 rises, so that on one scale the
            sparsest maps are hardly to be seen.
        titles: Of the images.
        size: Height of a map, in inches.

    Returns:
        The figure.

    Raises:
        ValueError: Images that do not belong to the path, or a style or ``n`` that there is not.
    """
    if n < 1:
        raise ValueError(f"n={n}: must be at least 1")
    zeros, lambda1 = path.sparsity.tolist(), path.lambda1.tolist()
    chosen = [spread(row, n) for row in zeros]
    rows = [[path.maps[i, j] for j in of_image] for i, of_image in enumerate(chosen)]
    names = [[f"lambda1 {lambda1[i][j]:.1e}\n{zeros[i][j]:.1%} zeros" for j in one] for i, one in enumerate(chosen)]
    return _draw_rows(rows, names, _images(images, len(rows), overlay), style, overlay, shared, titles, size)


def contact_sheet(
    maps: Maps,
    images: MapLike | None = None,
    *,
    style: str = "auto",
    overlay: bool = False,
    titles: Sequence[str] = (),
    columns: int = 3,
    size: float = _TILE,
) -> Figure:
    """Draw many maps, each beside its image, each on its own scale.

    Args:
        maps: An explanation, or maps ``[B, C, H, W]``.
        images: ``[B, C, H, W]`` in [0, 1]; None for the maps alone.
        style: As for :func:`caso.plot.show_map`; the same for all maps.
        overlay: Whether to lay the maps over the images.
        titles: Of the images.
        columns: How many images beside each other, at most.
        size: Height of a map, in inches.

    Returns:
        The figure.

    Raises:
        ValueError: Maps and images that do not belong together, or a style that there is not.
    """
    if columns < 1:
        raise ValueError(f"columns={columns}: must be at least 1")
    batch = _batch(maps)
    pixels = _images(images, len(batch), overlay)
    style = colours.resolve(style, batch)
    each, across = 1 if pixels is None else 2, min(columns, len(batch))
    figure, grid = _grid(-(-len(batch) // across), across * each, batch[0], size)
    for index, axes in enumerate(grid.reshape(-1, each)[: len(batch)]):
        below = pixels[index] if overlay and pixels is not None else None
        show_map(batch[index], below, style=style, colour_bar=False, ax=axes[-1])
        if pixels is not None:
            show_image(pixels[index], ax=axes[0])
        write_title(axes[0], titles[index] if index < len(titles) else "")
    return figure


def _draw_rows(
    rows: Sequence[Sequence[Any]],
    names: Sequence[Sequence[str]],
    pixels: Any,
    style: str,
    overlay: bool,
    shared: bool,
    titles: Sequence[str],
    size: float,
) -> Figure:
    """Draw a row an image: the image, if any, and its maps."""
    style = colours.resolve(style, [one for row in rows for one in row])
    before = 0 if pixels is None else 1
    across = max(map(len, rows)) + before
    figure, grid = _grid(len(rows), across, rows[0][0], size, _BAR if shared else 0)
    for index, (row, axes) in enumerate(zip(rows, grid, strict=True)):
        limit = colours.limit_of(row, style) if shared else None
        if pixels is not None:
            show_image(pixels[index], ax=axes[0])
        below = pixels[index] if overlay and pixels is not None else None
        for one, name, ax in zip(row, names[index], axes[before:], strict=False):
            show_map(one, below, style=style, limit=limit, colour_bar=False, title=name, ax=ax)
        if index < len(titles):
            write_title(axes[0], titles[index] if before else "\n".join(filter(None, (titles[index], names[index][0]))))
        if limit is not None:
            clipped = any(np.abs(colours.values(one, style)).max() > limit for one in row)
            add_colour_bar(list(axes), style, limit, clipped=clipped)
    return figure


def _grid(down: int, across: int, one: MapLike, size: float, margin: float = 0.0) -> tuple[Figure, Array]:
    """A figure with axes ``[down, across]``, none of which shows yet, in the shape of a map."""
    height, width = np.shape(one)[-2:]
    aspect = min(max(width / height, 1 / 4), 4)
    figure, grid = pyplot.subplots(
        down, across, figsize=(across * size * aspect + margin, down * (size + 0.35)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    axes: Sequence[Axes] = list(grid.flat)
    for ax in axes:
        ax.set_axis_off()
    return figure, grid


def _batch(maps: Maps) -> Any:
    """Maps ``[B, C, H, W]``."""
    plain = maps.maps if isinstance(maps, Explanation) else maps
    plain = plain if isinstance(plain, Tensor) else np.asarray(plain)
    if plain.ndim == _AXES:
        plain = plain[None]
    if plain.ndim != _BATCH_AXES or 0 in plain.shape:
        raise ValueError(f"maps of shape {list(plain.shape)}: must be [B, C, H, W] or [C, H, W], none of them 0")
    return plain


def _images(images: MapLike | None, count: int, overlay: bool) -> Any:
    if images is None:
        if overlay:
            raise ValueError("overlay=True: needs images")
        return None
    batch = _batch(images)
    if len(batch) != count:
        raise ValueError(f"{len(batch)} images, maps of {count}: must be the same ones")
    return batch
