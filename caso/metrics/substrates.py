"""Substitutes for removed pixels."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from caso.arguments import one_of
from caso.metrics.noise import uniform_noise

SUBSTRATES = ("black", "mean", "blur", "noise")
Substrate = Annotated[str, one_of(*SUBSTRATES)]

BLUR_KERNEL, BLUR_SIGMA = 11, 5.0
"""Of RISE's insertion (Petsiuk, Das, Saenko 2018, arXiv 1806.07421)."""


def substrate(name: str, images: Tensor, seed: int = 0) -> Tensor:
    """An image of substitutes for each image, of the same shape.

    Args:
        name: "black": zeros. "mean": the image's own mean colour. "blur": the image under a Gaussian blur of 11 x 11
            pixels and standard deviation 5, its border repeated outwards. "noise": uniform in [0, 1], the same draws
            for every image.
        images: `[B, C, H, W]`.
        seed: of the noise.
    """
    if name == "black":
        return torch.zeros_like(images)
    if name == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if name == "blur":
        return _blur(images)
    return uniform_noise(images, 1, seed).to(images).expand_as(images)


def _blur(images: Tensor) -> Tensor:
    offsets = torch.arange(BLUR_KERNEL, device=images.device, dtype=images.dtype) - BLUR_KERNEL // 2
    weights = torch.exp(-0.5 * (offsets / BLUR_SIGMA) ** 2)
    weights = weights / weights.sum()
    # Channels as images of one channel; rows, then columns.
    single = images.flatten(0, 1).unsqueeze(1)
    margin = BLUR_KERNEL // 2
    padded = F.pad(single, (margin, margin, margin, margin), mode="replicate")
    rows = F.conv2d(padded, weights.view(1, 1, 1, -1))
    return F.conv2d(rows, weights.view(1, 1, -1, 1)).view_as(images)
