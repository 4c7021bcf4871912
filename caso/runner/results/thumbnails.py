"""Small pictures for a run's page: drawn while the run goes on, so that the page costs little at its end."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont
from torch import Tensor

from caso.plot.colours import colour, photograph, resolve
from caso.viz_regions import RegionOverlay, draw_regions

MOST = 3000
"""Thumbnails that a run draws: at some 3 kB each, what one page can hold."""
_SIDE = 160  # pixels
_FONT = 18
_QUALITY, _EFFORT = 60, 2  # of WebP: more effort takes twice the time and saves a tenth


@dataclass(frozen=True)
class Thumbnails:
    """Of one image, as WebP files.

    Attributes:
        photograph: The image.
        regions: Its regions; None where there are none.
        maps: One for each setting; None where there is no map.
    """

    photograph: bytes
    regions: bytes | None
    maps: list[bytes | None]


def wanted(index: int, settings: int) -> bool:
    """Tell whether an image, by its index in the data set, is among the first, which have thumbnails."""
    return (index + 1) * (settings + 1) <= MOST


def draw_thumbnails(
    pixels: Tensor, maps: Sequence[NDArray[Any] | None], overlay: RegionOverlay | None = None
) -> Thumbnails:
    """Draw an image, its regions and its maps.

    Args:
        pixels: ``[C, H, W]`` in [0, 1].
        maps: Each ``[C, H, W]``, or None.
        overlay: The regions, or None.
    """
    seen = _enlarged(photograph(pixels))
    style = resolve("auto", [one for one in maps if one is not None])
    return Thumbnails(
        _webp(seen),
        None if overlay is None else _webp(draw_regions(seen, overlay, ImageFont.load_default(_FONT))),
        [None if one is None else _webp(_enlarged(colour(one, style))) for one in maps],
    )


def _enlarged(colours: NDArray[np.uint8]) -> Image.Image:
    """Enlarge a small image ``[H, W, 3]`` by whole pixels, so that single ones stay visible."""
    image = Image.fromarray(colours)
    factor = -(-_SIDE // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _webp(image: Image.Image) -> bytes:
    scale = min(1.0, _SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.BOX).save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
    return buffer.getvalue()
