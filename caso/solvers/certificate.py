"""How far maps are from the solution, for every solver: residual, floor, error bound and status."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.linalg import norms
from caso.objective import kkt_residual
from caso.solvers.solution import CONVERGED, FLOOR, NOT_FINITE, STOPPED, Solution
from caso.solvers.solver import Options

_HVP_ERROR = 16.0
"""Error of a Hessian-vector product in units of the last place, where it was not measured."""


def error_bound(residual: Tensor, floor: Tensor, gradient_norm: Tensor, lambda2: float) -> Tensor:
    """Bound on the distance between a map and the solution: `(residual + floor) |g| / lambda2`, by strong concavity.

    Args:
        residual: relative, `[B, L]`.
        floor: what rounding could hide of it, `[B, L]`.
        gradient_norm: `[B]`.
        lambda2: modulus of strong concavity.
    """
    return (residual + floor) * (gradient_norm[:, None] / lambda2)


def hvp_floor(
    model: QuadraticModel, size: Tensor, hessian_norm: Tensor, asymmetry: Tensor, lambda2_effective: Tensor
) -> Tensor:
    """Residual that the rounding of Hessian-vector products alone leaves.

    Args:
        model: whose products were taken.
        size: norms of the maps, as fractions of the gradient's, `[b, ...]`.
        hessian_norm: `[b]`.
        asymmetry: what rounding left of `V'HV - (V'HV)'`, `[b]`.
        lambda2_effective: `[b]`.
    """
    assert model.hessian is not None
    eps = torch.finfo(model.hessian.dtype).eps
    relative_error = model.hessian.relative_error or _HVP_ERROR * eps
    noise = relative_error * hessian_norm + asymmetry + 2 * eps * lambda2_effective
    return noise.view(-1, *[1] * (size.dim() - 1)) * size + eps


def status(converged: bool, at_floor: bool) -> str:
    """What a map that is done is called."""
    return CONVERGED if converged else FLOOR if at_floor else STOPPED


def certify(
    solution: Solution, model: QuadraticModel, delta: Tensor, h_delta: Tensor, column: int, options: Options
) -> None:
    """Write maps into a solution, with their certificates by true products.

    Args:
        solution: with its penalties set.
        model: of the same images.
        delta: maps `[B, d]`.
        h_delta: their Hessian-vector products `[B, d]`.
        column: index of their lambda1.
        options: `tol` on the residual, for the status, and the penalty.
    """
    gradient = model.gradient.flatten(1)
    l1, l2 = solution.lambda1[:, column], solution.lambda2_effective[:, column]
    finite = torch.stack([torch.isfinite(t).all(1) for t in (model.logits, gradient, h_delta, delta)]).all(0)
    solution.maps[:, column] = torch.where(finite[:, None], delta, torch.zeros_like(delta))
    residual = kkt_residual(delta, gradient, h_delta, l1, l2, options.penalty)
    solution.kkt_residual[:, column] = torch.where(finite, residual, torch.full_like(residual, torch.nan))
    scale = norms(gradient).clamp_min(torch.finfo(torch.float64).tiny)
    eps = torch.finfo(delta.dtype).eps
    solution.floor[:, column] = eps * (l2 * norms(delta) / scale).clamp_min(1)
    outcomes = torch.stack([residual <= options.tol, finite], 1)  # read at once: each reading waits for the device
    for image, (converged, known) in enumerate(outcomes.tolist()):
        solution.status[image][column] = status(converged, at_floor=False) if known else NOT_FINITE
