"""Smooth explanations: means of gradient and Hessian over noisy copies of each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature import HessianOperator, QuadraticModel, hessian
from caso.curvature.operator import Product
from caso.linalg import like_images


def noisy_copies(inputs: Tensor, n_samples: int, stddev: float, seed: int) -> Tensor:
    """Copies of each image under Gaussian noise.

    Every image of a batch sees the same draws, scaled by its own range of values, so that a map does not depend on its
    neighbours in the batch.

    Args:
        inputs: `[B, ...]`.
        n_samples: copies an image.
        stddev: of the noise, as a fraction of the image's largest minus smallest value.
        seed: of the draws, which do not depend on the device.

    Returns:
        `[n_samples, B, ...]`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_samples, 1, *inputs.shape[1:], generator=generator, dtype=torch.float64)
    flat = inputs.flatten(1)
    extent = like_images(flat.amax(1) - flat.amin(1), inputs)
    return inputs + stddev * extent * noise.to(inputs)


def smoothed(
    model_of: Callable[[Tensor, Tensor], QuadraticModel], copies: Tensor, logits: Tensor, target: Tensor, at_once: int
) -> QuadraticModel:
    """Average quadratic models over noisy copies; a Hessian-vector product is the mean of the copies' products.

    Args:
        model_of: gives the quadratic model of images `[b, ...]` with target classes `[b]`.
        copies: `[n, B, ...]`.
        logits: of the clean images, `[B, K]`.
        target: `[B]`, not negative: all copies of an image explain the same class.
        at_once: copies of the whole batch in one pass, at least 1.
    """
    n, batch = copies.shape[:2]
    models = [model_of(part.flatten(0, 1), target.repeat(len(part))) for part in copies.split(max(1, at_once))]
    gradient = torch.zeros_like(copies[0])
    finite = torch.ones_like(logits, dtype=torch.bool)
    for model in models:
        gradient += _sum_of_copies(model.gradient, batch)
        finite &= torch.isfinite(_sum_of_copies(model.logits, batch))
    gradient /= n
    logits = torch.where(finite, logits, torch.full_like(logits, torch.nan))
    operators = [model.hessian for model in models if model.hessian is not None]
    if not operators:
        return QuadraticModel(logits, gradient, None)
    mean = _MeanProduct(operators, batch, n)
    error = operators[0].relative_error
    return QuadraticModel(logits, gradient, hessian(gradient, mean, mean.restrict, relative_error=error))


def _sum_of_copies(values: Tensor, batch: int) -> Tensor:
    """Sum values `[k * B, ...]` of k copies of a batch: `[B, ...]`."""
    return values.reshape(-1, batch, *values.shape[1:]).sum(0)


@dataclass(frozen=True)
class _MeanProduct:
    """Mean of the products of operators, each of some copies of the whole batch.

    Attributes:
        operators: of k copies each, `[k * B, ...]`.
        batch: B.
        copies: in all.
    """

    operators: list[HessianOperator]
    batch: int
    copies: int

    def __call__(self, v: Tensor) -> Tensor:
        """The mean product of each image's direction `[B, ...]`."""
        total = torch.zeros_like(v)
        for operator in self.operators:
            copies = operator.images[0] // self.batch
            total += _sum_of_copies(operator @ v.repeat(copies, *[1] * (v.dim() - 1)), self.batch)
        return total / self.copies

    def restrict(self, index: Tensor) -> Product:
        """The same for the images `index` `[b]` alone."""
        chosen = []
        for operator in self.operators:
            copies = torch.arange(operator.images[0] // self.batch, device=index.device)
            chosen.append(operator.restrict((copies[:, None] * self.batch + index).flatten()))
        return _MeanProduct(chosen, len(index), self.copies)
