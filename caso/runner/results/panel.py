"""An image's picture as the run draws it: tiles beside each other, and a caption; and sheets of many.

The colours are those of `caso.plot`. The tiles are put together by Pillow, in a quarter of the time that a figure of
matplotlib's takes: a run draws while it explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from caso.plot import colours, fonts, regions

_TILE = 224  # smallest side of a tile, in pixels, unless it is given
_GAP = 8
_INK, _PALE, _PAPER = (24, 24, 27), (113, 113, 122), (255, 255, 255)
_TEXT, _LINE, _LARGE = 13, 18, 15
_BAR = 24  # width of the scale of colours
_NUMBERED = 10  # regions that are outlined and have their rank written on them
_SHEET_WIDTH = 1600


@dataclass(frozen=True)
class Look:
    """How maps are drawn.

    Attributes:
        style: One of :data:`caso.plot.STYLES`.
        overlay: Whether colours lie over the photograph; grey never does, which could not be told from it.
        size: The shorter side of each tile, in pixels; None for the image's own, small ones enlarged.
    """

    style: str = "auto"
    overlay: bool = True
    size: int | None = None


@dataclass(frozen=True)
class RegionOverlay:
    """The regions of an image.

    Attributes:
        labels: ``[H, W]``, -1 for none.
        weights: Of those in the map, by label, in the order of their ranks.
    """

    labels: NDArray[Any]
    weights: dict[int, float]

    @property
    def caption(self) -> str:
        """What the colours stand for."""
        return f"weight, 0 to {max(self.weights.values(), default=0.0):.1e}"


@dataclass(frozen=True)
class Panel:
    """What a picture shows of one image.

    Attributes:
        pixels: The image, ``[C, H, W]`` in [0, 1].
        maps: One map or several, each ``[C, H, W]``.
        labels: One short text below each map.
        title: The first line of the caption.
        details: Its second line.
        overlay: Its regions, drawn between image and maps; or None.
    """

    pixels: Tensor
    maps: Sequence[Tensor]
    labels: Sequence[str]
    title: str
    details: str
    overlay: RegionOverlay | None = None


def draw(panel: Panel, look: Look | None = None) -> Image.Image:
    """Draw a photograph beside its maps, with a caption.

    Args:
        panel: What to show. A map of zeros has a note.
        look: How.

    Returns:
        An RGB image.
    """
    tiles = draw_tiles(panel, look or Look())
    labels = ["", *panel.labels]
    if panel.overlay is not None:
        labels.insert(1, panel.overlay.caption)
    width, height = tiles[0].size
    labels = labels if any(labels) else []
    body = width * len(tiles) + _GAP * (len(tiles) - 1)
    below = _GAP // 2 + _LINE * (bool(labels) + 2)
    picture = Image.new("RGB", (max(body, 2 * _TILE + _GAP) + 2 * _GAP, height + below + 2 * _GAP), _PAPER)
    pen = ImageDraw.Draw(picture)
    for index, tile in enumerate(tiles):
        left = _GAP + index * (width + _GAP)
        picture.paste(tile, (left, _GAP))
        if labels:
            top, indent = _GAP + height + 2, 0
            if panel.overlay is not None and index == 1:
                picture.paste(_scale_bar(), (left, top + 2))
                indent = _BAR + _GAP
            _write(pen, (left + indent, top), labels[index], _PALE, width - indent)
    top = _GAP + height + _GAP // 2 + _LINE * bool(labels)
    _write(pen, (_GAP, top), panel.title, _INK, picture.width - 2 * _GAP)
    _write(pen, (_GAP, top + _LINE), panel.details, _PALE, picture.width - 2 * _GAP)
    return picture


def contact_sheet(pictures: Sequence[Path], note: str = "") -> Image.Image:
    """Arrange picture files on one sheet, as many beside each other as fit.

    Args:
        pictures: Files of :func:`draw`, at least one.
        note: A line below them, for example that there are more.
    """
    opened = []
    for path in pictures:
        with Image.open(path) as picture:
            opened.append(picture.convert("RGB"))
    scale = min(1.0, _SHEET_WIDTH / max(p.width for p in opened))
    cells = [p if scale == 1 else p.resize((round(p.width * scale), round(p.height * scale))) for p in opened]
    width, height = max(c.width for c in cells), max(c.height for c in cells)
    columns = max(1, min(_SHEET_WIDTH // width, len(cells)))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + (_LINE + _GAP if note else 0)), _PAPER)
    for index, cell in enumerate(cells):
        sheet.paste(cell, (index % columns * width, index // columns * height))
    if note:
        _write(ImageDraw.Draw(sheet), (_GAP, rows * height), note, _PALE, sheet.width - 2 * _GAP)
    return sheet


def draw_tiles(panel: Panel, look: Look) -> list[Image.Image]:
    """Draw the photograph, its regions if there are any, and its maps, all of one size."""
    photograph = _tile(colours.photograph(panel.pixels), look.size)
    regions = [] if panel.overlay is None else [_drawn_regions(panel, panel.overlay, photograph.size)]
    return [photograph, *regions, *_drawn_maps(panel, look)]


def _drawn_maps(panel: Panel, look: Look) -> list[Image.Image]:
    """The tiles of the maps, all in one style."""
    style = colours.resolve(look.style, panel.maps)
    over = look.overlay and style != "grey"
    tiles = []
    for one in panel.maps:
        drawn = colours.overlay(one, panel.pixels, style) if over else colours.colour(one, style)
        tile = _tile(drawn, look.size)
        if not bool((one != 0).any()):
            ImageDraw.Draw(tile).text(
                (tile.width / 2, tile.height / 2), "all zero", _PAPER, _font(fonts.DEFAULT, _TEXT), anchor="mm",
                stroke_width=2, stroke_fill=_INK,
            )  # fmt: skip
        tiles.append(tile)
    return tiles


def _drawn_regions(panel: Panel, overlay: RegionOverlay, size: tuple[int, int]) -> Image.Image:
    """The tile of the regions, of a given size; the first ones are outlined and numbered."""
    tile = Image.fromarray(regions.colour_regions(panel.pixels, overlay.labels, overlay.weights))
    enlarged = np.array(tile.resize(size, Image.Resampling.BOX))
    height, width = overlay.labels.shape
    rows, columns = np.arange(size[1]) * height // size[1], np.arange(size[0]) * width // size[0]
    labels, first = overlay.labels[np.ix_(rows, columns)], list(overlay.weights)[:_NUMBERED]
    enlarged[regions.outline(labels, np.asarray(first))] = 255
    drawn = Image.fromarray(enlarged)
    pen = ImageDraw.Draw(drawn)
    for rank, label in enumerate(first, 1):
        if (labels == label).any():  # a tiny region may be lost where the tile is small
            at = regions.middle(labels == label)
            font = _font(fonts.DEFAULT, _LARGE)
            pen.text(at, str(rank), _PAPER, font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))
    return drawn


def _tile(drawn: NDArray[np.uint8], size: int | None) -> Image.Image:
    """Bring an array to a tile's size; small ones are enlarged by whole pixels, so that single ones stay visible."""
    image = Image.fromarray(drawn)
    short = min(image.size)
    factor = max(1, -(-_TILE // short)) if size is None else size / short
    wanted = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(wanted, Image.Resampling.BOX)


@cache
def _scale_bar() -> Image.Image:
    """The regions' colours from weight 0, on the left, to the largest."""
    shades = matplotlib.colormaps[regions.COLOUR_MAP](np.linspace(0, 1, _BAR))[None, :, :3]
    return Image.fromarray(np.repeat(colours.to_bytes(shades), _TEXT, 0))


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: tuple[int, int, int], room: int
) -> None:
    """Write one line in any script, cut to the room there is."""
    parts = [(_font(font, _TEXT), part) for font, part in fonts.runs(text)]
    if _length(parts) > room:
        dots = (_font(fonts.DEFAULT, _TEXT), "...")
        while parts and _length([*parts, dots]) > room:
            font, part = parts.pop()
            if len(part) > 1:
                parts.append((font, part[:-1]))
        parts.append(dots)
    x, y = at
    for font, part in parts:
        pen.text((x, y + _TEXT), part, colour, font, anchor="ls")
        x += font.getlength(part)


def _length(parts: Sequence[tuple[ImageFont.FreeTypeFont, str]]) -> float:
    return sum(font.getlength(part) for font, part in parts)


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
