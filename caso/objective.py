"""The explanation as an optimisation problem: objective, optimality conditions, certificate.

For one image with loss gradient `g` and Hessian `H` (Singla et al. 2019, arXiv 1902.00407)::

    maximise over D:   g'D + 1/2 D'HD - lambda1 |D|_1 - 1/2 lambda2_effective |D|_2^2

With groups of entries, `|D|_1` becomes `sum over G of sqrt(|G|) |D_G|_2` (see `caso.penalty`). First order (CAFO) drops
the Hessian term. Every function here treats each row of a batch `[B, d]` as one image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caso.linalg import dots, norms
from caso.penalty import ENTRIES, Penalty


def objective(
    delta: Tensor,
    gradient: Tensor,
    h_delta: Tensor,
    lambda1: Tensor,
    lambda2_effective: Tensor,
    penalty: Penalty = ENTRIES,
) -> Tensor:
    """The objective's value for each image, in float64: `[B]`.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        h_delta: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
        penalty: that lambda1 is the weight of.
    """
    linear = dots(delta[:, None], torch.stack([gradient, h_delta, delta], 1))[:, 0]
    smooth = linear[:, 0] + 0.5 * linear[:, 1] - 0.5 * lambda2_effective * linear[:, 2]
    return smooth - lambda1 * penalty.value(delta)


def kkt_residual(
    delta: Tensor,
    gradient: Tensor,
    h_delta: Tensor,
    lambda1: Tensor,
    lambda2_effective: Tensor,
    penalty: Penalty = ENTRIES,
) -> Tensor:
    """How far maps are from satisfying the optimality conditions, as a fraction of the gradient's norm: `[B]`.

    The norm of `lambda2_effective D - H D - g + lambda1 s` over that of `g`, `s` being the subgradient of the penalty
    that makes it smallest: for `|.|_1`, `sign D` on the support and the clipped `(g + H D) / lambda1` elsewhere; for
    groups, `w_G D_G / |D_G|` on those that are not zero and `(g + H D)_G / lambda1` shortened to `w_G` elsewhere. The
    objective is strongly concave with
    modulus `lambda2_effective - lambda_max(H) >= lambda2`, so the map is within `residual * |g| / lambda2` of the
    solution. An image without gradient has residual 0 at the zero map.

    Args:
        delta: the maps `[B, d]`.
        gradient: `g` `[B, d]`.
        h_delta: `H delta` `[B, d]`; zeros for first order.
        lambda1: `[B]`.
        lambda2_effective: `[B]`.
        penalty: that lambda1 is the weight of.
    """
    pull = gradient + h_delta
    subgradient = penalty.subgradient(delta, pull, lambda1)
    size = norms(lambda2_effective.to(delta.dtype)[:, None] * delta - pull + subgradient)
    scale = norms(gradient)
    return torch.where(size > 0, size / scale, torch.zeros_like(size))


def sparsity(maps: Tensor) -> Tensor:
    """Fraction of exact zeros in each map of `[B, ...]`: `[B]`, from 0 to 1."""
    entries = maps[0].numel()
    return (entries - (maps.flatten(1) != 0).sum(1, dtype=torch.int32)).double() / entries
