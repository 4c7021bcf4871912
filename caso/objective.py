"""The explanation as an optimisation problem: objective, optimality conditions, certificate.

For one image with loss gradient `g` and Hessian `H` (Singla et al. 2019, arXiv 1902.00407):

    maximise over D:   g'D + 1/2 D'HD - lambda1 |D|_1 - 1/2 lambda2_effective |D|_2^2

First order (CAFO) drops the Hessian term. Every function here treats each row of a batch `[B, d]` as one image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caso.linalg import dots, norms


def soft_threshold(y: Tensor, threshold: Tensor) -> Tensor:
    """The proximal operator of `threshold * |.|_1`: shrink towards zero, and stay there. Shapes broadcast."""
    return y - torch.maximum(torch.minimum(y, threshold), -threshold)


def objective(delta: Tensor, gradient: Tensor, h_delta: Tensor, lambda1: Tensor, lambda2_effective: Tensor) -> Tensor:
    """The objective's value for each image, in float64: `[B]`.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        h_delta: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
    """
    linear = dots(delta[:, None], torch.stack([gradient, h_delta, delta], 1))[:, 0]
    sparse = torch.linalg.vector_norm(delta, 1, dim=-1, dtype=torch.float64)
    smooth = linear[:, 0] + 0.5 * linear[:, 1] - 0.5 * lambda2_effective * linear[:, 2]
    return smooth - lambda1 * sparse


def kkt_residual(
    delta: Tensor, gradient: Tensor, h_delta: Tensor, lambda1: Tensor, lambda2_effective: Tensor
) -> Tensor:
    """How far maps are from satisfying the optimality conditions, as a fraction of the gradient's norm: `[B]`.

    The norm of `lambda2_effective D - H D - g + lambda1 s` over that of `g`, where the subgradient `s` of `|.|_1` is
    `sign D` on the support and the clipped `(g + H D) / lambda1` elsewhere. The objective is strongly concave with
    modulus `lambda2_effective - lambda_max(H) >= lambda2`, so the map is within `residual * |g| / lambda2` of the
    solution. An image without gradient has residual 0 at the zero map.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        h_delta: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
    """
    dtype = delta.dtype
    l1, l2 = lambda1.to(dtype)[:, None], lambda2_effective.to(dtype)[:, None]
    pull = gradient + h_delta
    subgradient = torch.where(delta != 0, l1 * delta.sign(), torch.clamp(pull, -l1, l1))
    size = norms(l2 * delta - pull + subgradient)
    scale = norms(gradient)
    return torch.where(size > 0, size / scale, torch.zeros_like(size))


def sparsity(maps: Tensor) -> Tensor:
    """Fraction of exact zeros in each map of `[B, ...]`: `[B]`, from 0 to 1."""
    entries = maps[0].numel()
    return (entries - (maps.flatten(1) != 0).sum(1, dtype=torch.int32)).double() / entries
