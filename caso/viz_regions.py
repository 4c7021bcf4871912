"""Regions as a picture: the photograph, its regions coloured by weight, the first ten outlined and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

NUMBERED = 10
"""Regions that are outlined and have their rank written on them."""
_DIMMED = 0.3
"""Brightness of what is not in the map."""
_TINT = 0.55
"""Of the colour, on the heaviest region."""
_SCALE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""From weight 0 to the largest: five stops of viridis, which reads the same in grey and to the colour-blind."""


@dataclass(frozen=True)
class RegionOverlay:
    """The regions of an image.

    Attributes:
        labels: ``[H, W]``, -1 for none.
        regions: Labels by rank, of those in the map.
        weights: Of these, at least 0.
    """

    labels: Tensor
    regions: Sequence[int]
    weights: Sequence[float]

    @property
    def caption(self) -> str:
        """What the colours stand for."""
        return f"weight, 0 to {max(self.weights, default=0.0):.1e}"


def colours(fractions: Tensor) -> Tensor:
    """Colours ``[..., 3]`` in [0, 1] of fractions from 0 to 1."""
    stops = torch.tensor(_SCALE, dtype=torch.float32) / 255
    at = fractions.clamp(0, 1) * (len(stops) - 1)
    below = at.floor().long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[below], stops[below + 1], (at - below)[..., None])


def draw_regions(
    photograph: Image.Image, overlay: RegionOverlay, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> Image.Image:
    """Draw regions on an RGB photograph, whose size is a multiple of the labels' or equal to it."""
    factor = photograph.height // overlay.labels.shape[0]
    labels = overlay.labels.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    fraction = _fractions(overlay, labels)
    pixels = torch.frombuffer(bytearray(photograph.tobytes()), dtype=torch.uint8).view(*labels.shape, 3).float() / 255
    grey = pixels.mean(2, keepdim=True) * _DIMMED
    inside = (fraction >= 0)[..., None]
    strength = fraction.clamp(0, 1)[..., None]
    tint = _TINT * strength.sqrt()
    lit = pixels * (_DIMMED + (1 - _DIMMED) * strength.sqrt())
    picture = torch.where(inside, (1 - tint) * lit + tint * colours(fraction), grey)
    first = torch.isin(labels, torch.tensor(list(overlay.regions[:NUMBERED]), dtype=labels.dtype))
    picture[_outline(labels, first)] = 1.0
    data = (picture.clamp(0, 1) * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
    drawn = Image.frombytes("RGB", photograph.size, data)
    pen = ImageDraw.Draw(drawn)
    for rank, label in enumerate(overlay.regions[:NUMBERED], 1):
        at = _middle(labels == label)
        pen.text(at, str(rank), (255, 255, 255), font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))
    return drawn


def scale_bar(width: int, height: int) -> Image.Image:
    """The colours from weight 0, on the left, to the largest."""
    row = (colours(torch.linspace(0, 1, width)) * 255).round().to(torch.uint8)
    return Image.frombytes("RGB", (width, height), row.expand(height, width, 3).contiguous().numpy().tobytes())


def _fractions(overlay: RegionOverlay, labels: Tensor) -> Tensor:
    """Each pixel's weight as a fraction of the largest; -1 for what is not in the map."""
    count = max(int(labels.max()), max(overlay.regions, default=0)) + 1
    of_label = torch.full((count + 1,), -1.0)  # the last for pixels of no region
    top = max(overlay.weights, default=0.0) or 1.0
    for label, weight in zip(overlay.regions, overlay.weights, strict=True):
        of_label[label] = weight / top
    return of_label[torch.where(labels < 0, count, labels)]


def _outline(labels: Tensor, chosen: Tensor) -> Tensor:
    """Pixels at the border of a chosen region."""
    border = torch.zeros_like(chosen)
    for here, there in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differs = (labels[here] != labels[there]) & (chosen[here] | chosen[there])
        border[here] |= differs & chosen[here]
        border[there] |= differs & chosen[there]
    return border


def _middle(inside: Tensor) -> tuple[float, float]:
    """The pixel of a region that is farthest from its border, or nearly: column and row."""
    left = inside.clone()
    last = left
    while bool(left.any()):  # peel it layer by layer
        last = left
        eroded = left.clone()
        eroded[1:] &= left[:-1]
        eroded[:-1] &= left[1:]
        eroded[:, 1:] &= left[:, :-1]
        eroded[:, :-1] &= left[:, 1:]
        eroded[0] = eroded[-1] = False
        eroded[:, 0] = eroded[:, -1] = False
        left = eroded
    rows, columns = torch.nonzero(last, as_tuple=True)
    middle = len(rows) // 2
    return float(columns[middle]), float(rows[middle])
