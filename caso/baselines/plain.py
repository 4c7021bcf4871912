"""Maps that need no network, to keep metrics honest."""

from __future__ import annotations

import zlib
from ctypes import string_at
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caso.baselines.baseline import Baseline


@dataclass(kw_only=True, eq=False)
class Random(Baseline):
    """Standard normal noise, seeded by the image's content: the same image has the same map in every batch.

    Attributes:
        seed: joins the image's content.
    """

    seed: int = 0

    name = "random"

    @property
    def gradients(self) -> float:
        """None."""
        return 0.0

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        return torch.stack([self._noise(image) for image in images])

    def _noise(self, image: Tensor) -> Tensor:
        memory = image.cpu().contiguous()
        values = string_at(memory.data_ptr(), memory.nbytes)  # NumPy, which would give them, need not be there
        # One number of 32 bits: the CPU's generator does not look at more of a seed.
        content = zlib.crc32(values, zlib.crc32(str(self.seed).encode()))
        generator = torch.Generator().manual_seed(content)
        return torch.randn(image.shape, generator=generator, dtype=torch.float64).to(image)


@dataclass(kw_only=True, eq=False)
class Edges(Baseline):
    """Magnitude of each channel's Sobel gradient, the border repeated outwards: a map that no network has seen."""

    name = "edges"

    @property
    def gradients(self) -> float:
        """None."""
        return 0.0

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        single = F.pad(images.flatten(0, 1).unsqueeze(1), (1, 1, 1, 1), mode="replicate")
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(images)
        slopes = F.conv2d(single, torch.stack([kernel, kernel.T]).unsqueeze(1))
        return slopes.square().sum(1).sqrt().view_as(images)
