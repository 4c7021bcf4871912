"""Small cases for the tests, and a classifier whose probability is known by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from caso.metrics import Case
from tests import networks


class Linear(nn.Module):
    """Two classes; the probability of the first is the sum of weights times pixels, exactly."""

    def __init__(self, weights: Tensor) -> None:
        """Keeps the weights `[C, H, W]`."""
        super().__init__()
        self.weights = nn.Parameter(weights.double())

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, C, H, W]` to logits `[B, 2]`."""
        p = (x.double() * self.weights).flatten(1).sum(1).clamp(0, 1)
        return torch.stack([p, 1 - p], 1).log()


def gradients(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The gradient of the logit of the explained class, as a method that explains."""

    def explain(images: Tensor, targets: Tensor) -> Tensor:
        with torch.enable_grad():
            images = images.detach().clone().requires_grad_(True)
            logits = network(images).gather(1, targets[:, None])
            return torch.autograd.grad(logits.sum(), images)[0]

    return explain


def case(*shape: int, seed: int = 0, dtype: torch.dtype = networks.DOUBLE) -> Case:
    """Images under a small ReLU network with gradient maps; targets are not all predicted. `shape` is [B, C, H, W]."""
    network = networks.small(channels=shape[1], gain=8, dtype=dtype)
    images = networks.images(*shape, seed=seed, dtype=dtype)
    targets = network(images).argmax(1)
    targets[::2] = (targets[::2] + 1) % 6
    return Case(network, images, gradients(network)(images, targets), targets, gradients(network), gradients)
