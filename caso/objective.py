"""The explanation as an optimisation problem: objective, optimality conditions, certificate.

For one image with loss gradient `g` and Hessian `H` (Singla et al. 2019, arXiv 1902.00407):

    maximise over D:   g'D + 1/2 D'HD - lambda1 |D|_1 - 1/2 lambda2_effective |D|_2^2

First order (CAFO) drops the Hessian term. Every function here treats each row of a batch `[B, d]` as one image.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024
"""Pixels whose products are summed in the working precision, before float64 takes over."""


def soft_threshold(y: Tensor, threshold: Tensor) -> Tensor:
    """The proximal operator of `threshold * |.|_1`: shrink towards zero, and stay there. Shapes broadcast."""
    return y - torch.maximum(torch.minimum(y, threshold), -threshold)


def dots(a: Tensor, b: Tensor) -> Tensor:
    """All inner products of each image's vectors, in float64: `[B, m, d]` and `[B, k, d]` to `[B, m, k]`.

    Sums over blocks in the working precision, then in float64. Plain float32 sums over 150 000 pixels lose two digits
    that the reduced problem, whose condition is `lambda2_effective / lambda2`, needs.
    """
    if a.dtype == torch.float64:
        return a @ b.mT
    total = torch.empty(a.shape[0], a.shape[1], b.shape[1], dtype=torch.float64, device=a.device)
    cut = a.shape[2] // _BLOCK * _BLOCK
    for out, x, y in zip(total, a, b, strict=True):
        # Views, so that nothing is copied: [blocks, m, block] and [blocks, k, block].
        x_blocks, y_blocks = (t[:, :cut].unflatten(1, (-1, _BLOCK)).transpose(0, 1) for t in (x, y))
        out.copy_(torch.bmm(x_blocks, y_blocks.mT).double().sum(0))
        if cut < a.shape[2]:
            out += (x[:, cut:] @ y[:, cut:].mT).double()
    return total


def norms(v: Tensor) -> Tensor:
    """Euclidean norm of each row of `[B, d]`, in float64: `[B]`."""
    return torch.linalg.vector_norm(v, dim=-1, dtype=torch.float64)


def combine(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Linear combinations `[B, m]` of each image's vectors `[B, m, d]`: `[B, d]`, in the vectors' dtype."""
    return (coefficients.to(vectors.dtype)[:, None] @ vectors)[:, 0]


def objective(delta: Tensor, gradient: Tensor, curved: Tensor, lambda1: Tensor, lambda2_effective: Tensor) -> Tensor:
    """The objective's value for each image, in float64: `[B]`.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        curved: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
    """
    linear = dots(delta[:, None], torch.stack([gradient, curved, delta], 1))[:, 0]
    sparse = torch.linalg.vector_norm(delta, 1, dim=-1, dtype=torch.float64)
    smooth = linear[:, 0] + 0.5 * linear[:, 1] - 0.5 * lambda2_effective * linear[:, 2]
    return smooth - lambda1 * sparse


def kkt_residual(delta: Tensor, gradient: Tensor, curved: Tensor, lambda1: Tensor, lambda2_effective: Tensor) -> Tensor:
    """How far maps are from satisfying the optimality conditions, as a fraction of the gradient's norm: `[B]`.

    The norm of `lambda2_effective D - H D - g + lambda1 s` over that of `g`, where the subgradient `s` of `|.|_1` is
    `sign D` on the support and the clipped `(g + H D) / lambda1` elsewhere. The objective is strongly concave with
    modulus `lambda2_effective - lambda_max(H) >= lambda2`, so the map is within `residual * |g| / lambda2` of the
    solution. An image without gradient has residual 0 at the zero map.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        curved: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
    """
    dtype = delta.dtype
    l1, l2 = lambda1.to(dtype)[:, None], lambda2_effective.to(dtype)[:, None]
    pull = gradient + curved
    subgradient = torch.where(delta != 0, l1 * delta.sign(), torch.clamp(pull, -l1, l1))
    size = norms(l2 * delta - pull + subgradient)
    scale = norms(gradient)
    return torch.where(size > 0, size / scale, torch.zeros_like(size))


def sparsity(maps: Tensor) -> Tensor:
    """Fraction of exact zeros in each map of `[B, ...]`: `[B]`, from 0 to 1."""
    entries = maps[0].numel()
    return (entries - (maps.flatten(1) != 0).sum(1, dtype=torch.int32)).double() / entries
