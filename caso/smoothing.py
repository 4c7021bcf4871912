"""Smooth explanations: means of gradient and Hessian over noisy copies of each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation


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
    extent = (flat.amax(1) - flat.amin(1)).view(-1, *[1] * (inputs.dim() - 1))
    return inputs + stddev * extent * noise.to(inputs)


def smoothed(
    linearise: Callable[[Tensor, Tensor], Linearisation], copies: Tensor, logits: Tensor, target: Tensor, at_once: int
) -> Linearisation:
    """Average linearisations over noisy copies; the Hessian-vector product is the mean of the copies' products.

    Args:
        linearise: gives the loss to second order around a batch.
        copies: `[n, B, ...]`.
        logits: of the clean images, `[B, K]`.
        target: `[B]`, not negative: all copies of an image explain the same class.
        at_once: copies of the whole batch in one pass, at least 1.
    """
    n, batch = copies.shape[:2]
    parts = [linearise(part.flatten(0, 1), target.repeat(len(part))) for part in copies.split(max(1, at_once))]

    def mean(of: Callable[[Linearisation], Tensor], size: int) -> Tensor:
        total: Tensor | None = None
        for part in parts:
            values = of(part)
            values = values.reshape(-1, size, *values.shape[1:]).sum(0)
            total = values if total is None else total + values
        assert total is not None
        return total / n

    def product_of(products: list[Callable[[Tensor], Tensor]], counts: list[int]) -> Callable[[Tensor], Tensor]:
        def product(v: Tensor) -> Tensor:
            total = torch.zeros_like(v)
            for one, count in zip(products, counts, strict=True):
                repeated = v.repeat(count, *[1] * (v.dim() - 1))
                total += one(repeated).reshape(count, *v.shape).sum(0)
            return total / n

        return product

    counts = [len(part.gradient) // batch for part in parts]

    def restrict(rows: Tensor) -> Callable[[Tensor], Tensor]:
        chosen = [
            part.select((torch.arange(count, device=rows.device)[:, None] * batch + rows).flatten()).product
            for part, count in zip(parts, counts, strict=True)
        ]
        return product_of(chosen, counts)

    gradient = mean(lambda part: part.gradient, batch)
    finite = torch.isfinite(torch.stack([p.logits.reshape(-1, batch, p.logits.shape[1]).sum(0) for p in parts])).all(0)
    logits = torch.where(finite, logits, torch.full_like(logits, torch.nan))
    product = product_of([part.product for part in parts], counts)
    return Linearisation(logits, gradient, product, restrict, None, parts[0].rounding)
