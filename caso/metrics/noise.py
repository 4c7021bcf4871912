"""Seeded noise: drawn on the CPU in float64, so that it is the same on every device, and the same for every image."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_noise(images: Tensor, count: int, seed: int) -> Tensor:
    """Draws from [0, 1): `[count, C, H, W]`, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *images.shape[1:], generator=generator, dtype=torch.float64)


def normal_noise(images: Tensor, count: int, stddev: float, seed: int) -> Tensor:
    """Gaussian noise: `[count, C, H, W]`, in the images' precision."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, *images.shape[1:], generator=generator, dtype=torch.float64)
    return (stddev * noise).to(images)


def scaled_noise(images: Tensor, epsilon: float, seed: int) -> Tensor:
    """Images with noise of plus or minus `epsilon` times the pixel, clipped to [0, 1].

    Args:
        images: `[B, C, H, W]`.
        epsilon: size of the noise, relative to the pixel.
        seed: of the signs.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = 2 * torch.randint(2, (1, *images.shape[1:]), generator=generator) - 1
    return (images * (1 + epsilon * signs.to(images))).clamp(0, 1)
