"""Small pictures for a run's page: drawn while the run goes on, so that the page costs little at its end."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from caso.runner.results.panel import Look, Panel, RegionOverlay, draw_tiles

MOST = 3000
"""Thumbnails that a run draws: at some 3 kB each, what one page can hold."""
_SIDE = 160  # pixels, of the longer side
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
    pixels: Tensor, maps: Sequence[NDArray[Any] | None], look: Look, overlay: RegionOverlay | None = None
) -> Thumbnails:
    """Draw an image, its regions and its maps.

    Args:
        pixels: ``[C, H, W]`` in [0, 1].
        maps: Each ``[C, H, W]``, or None.
        look: How maps are drawn; its size is another's.
        overlay: The regions, or None.
    """
    known = [torch.from_numpy(one) for one in maps if one is not None]
    height, width = pixels.shape[-2:]
    size = max(1, round(_SIDE * min(height, width) / max(height, width)))
    photograph, *rest = draw_tiles(Panel(pixels, known, [], "", "", overlay), replace(look, size=size))
    regions = None if overlay is None else _webp(rest.pop(0))
    drawn = iter(rest)
    return Thumbnails(_webp(photograph), regions, [None if one is None else _webp(next(drawn)) for one in maps])


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
    return buffer.getvalue()
