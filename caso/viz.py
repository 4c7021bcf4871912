"""Maps as pictures, in the rendering of Singla et al. (2019, arXiv 1902.00407).

Magnitudes are summed over the channels, clipped at their 99th percentile, scaled to [0, 1] and shown in grey. Needs
Pillow; torch alone does the arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from caso.viz_regions import RegionOverlay, draw_regions, scale_bar

_TILE = 224  # smallest side of a tile, in pixels
_GAP = 8
_INK, _PALE, _PAPER = (24, 24, 27), (113, 113, 122), (255, 255, 255)
_TEXT, _LINE, _LARGE = 13, 18, 15
_BAR = 24  # width of the scale of colours
_SHEET_WIDTH = 1600


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


def heat(attribution: Tensor, percentile: float = 99.0) -> Tensor:
    """Render a map as grey values.

    Args:
        attribution: ``[C, H, W]``, signed.
        percentile: Where the channel sum of magnitudes is clipped, in (0, 100].

    Returns:
        ``[H, W]`` in [0, 1]. Of a map that is zero, or not finite, everywhere: zeros. Where fewer pixels are non-zero
        than lie above the percentile, the clip is at the maximum instead, so that a very sparse map stays visible.
    """
    mass = attribution.detach().double().abs().nan_to_num(0, 0, 0).sum(dim=0).cpu()
    # The k-th value, not torch.quantile: that refuses more than 16 million entries.
    flat = mass.flatten()
    k = max(1, min(flat.numel(), round(percentile / 100 * flat.numel())))
    top = flat.kthvalue(k).values
    top = top if top > 0 else flat.max()
    return (mass / top).clamp(max=1).float() if top > 0 else torch.zeros_like(mass, dtype=torch.float)


def heat_image(attribution: Tensor) -> Image.Image:
    """Render a map as a grey image, ``L``, of the map's own size."""
    return _grey(heat(attribution))


def pixels_image(pixels: Tensor) -> Image.Image:
    """Render an image tensor ``[C, H, W]`` in [0, 1]: three channels in colour, any other number as their mean."""
    pixels = pixels.detach().float().cpu().nan_to_num(0).clamp(0, 1)
    if pixels.shape[0] != 3:
        return _grey(pixels.mean(dim=0)).convert("RGB")
    data = (pixels.permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous()
    return Image.frombytes("RGB", (pixels.shape[2], pixels.shape[1]), data.numpy().tobytes())


def draw(panel: Panel) -> Image.Image:
    """Draw a photograph beside its maps, with a caption.

    Args:
        panel: What to show. A map of zeros is drawn black, with a note.

    Returns:
        An RGB image.
    """
    tiles = [_tile(pixels_image(panel.pixels))]
    labels = ["", *panel.labels]
    if panel.overlay is not None:
        tiles.append(draw_regions(tiles[0], panel.overlay, _font(_LARGE)))
        labels.insert(1, panel.overlay.caption)
    for attribution in panel.maps:
        tile = _tile(heat_image(attribution))
        if not bool((attribution != 0).any()):
            _note(tile, "all zero")
        tiles.append(tile)
    width, height = tiles[0].size
    labels = labels if any(labels) else []
    body = width * len(tiles) + _GAP * (len(tiles) - 1)
    below = _GAP // 2 + _LINE * (bool(labels) + 2)
    picture = Image.new("RGB", (max(body, 2 * _TILE + _GAP) + 2 * _GAP, height + below + 2 * _GAP), _PAPER)
    pen = ImageDraw.Draw(picture)
    for place, tile in enumerate(tiles):
        left = _GAP + place * (width + _GAP)
        picture.paste(tile, (left, _GAP))
        if labels:
            top, indent = _GAP + height + 2, 0
            if panel.overlay is not None and place == 1:
                picture.paste(scale_bar(_BAR, _TEXT), (left, top + 2))
                indent = _BAR + _GAP
            _write(pen, (left + indent, top), labels[place], _PALE, width - indent)
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
    for place, cell in enumerate(cells):
        sheet.paste(cell, (place % columns * width, place // columns * height))
    if note:
        _write(ImageDraw.Draw(sheet), (_GAP, rows * height), note, _PALE, sheet.width - 2 * _GAP)
    return sheet


def _grey(values: Tensor) -> Image.Image:
    data = (values * 255).round().to(torch.uint8).contiguous()
    return Image.frombytes("L", (values.shape[1], values.shape[0]), data.numpy().tobytes())


def _tile(image: Image.Image) -> Image.Image:
    """Enlarge small images by whole pixels, so that single ones stay visible."""
    factor = max(1, -(-_TILE // min(image.size))) if min(image.size) < _TILE else 1
    size = (image.width * factor, image.height * factor)
    return image.convert("RGB").resize(size, Image.Resampling.NEAREST)


def _note(tile: Image.Image, text: str) -> None:
    ImageDraw.Draw(tile).text((tile.width / 2, tile.height / 2), text, _PALE, _font(), anchor="mm")


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: tuple[int, int, int], room: int
) -> None:
    """Write one line, cut to the room there is; characters that cannot be drawn never stop a picture."""
    text = "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in text)
    font = _font()
    if font.getlength(text) > room:
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        text += "..."
    pen.text(at, text, colour, font)


@cache
def _font(size: int = _TEXT) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Take DejaVu Sans, which has most alphabets, where the system has it; else Pillow's own font."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
