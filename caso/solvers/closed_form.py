"""Solutions that need no iteration: first order at any lambda1, second order at lambda1 = 0."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.linalg import dots
from caso.solvers.certificate import certify
from caso.solvers.solution import Solution
from caso.solvers.solver import Options, Solver


def closed_form(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """Solve exactly, in closed form.

    Args:
        model: of B images; to second order with the factors of its Hessian.
        lambda1: `[B, L]`, to second order all zero.
        options: `lambda2`, and `tol` for the status.

    Raises:
        ValueError: second order with a positive lambda1, which has no closed form, or without factors.
    """
    if model.order == 1:
        return _first_order(model, lambda1, options)
    if bool((lambda1 > 0).any()):
        raise ValueError("solver: closed_form solves second order at lambda1=0 only; use krylov for lambda1 > 0")
    return _second_order(model, lambda1, options)


def _first_order(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """`soft(g, lambda1) / lambda2`, by the penalty's proximal operator."""
    gradient = model.gradient.flatten(1)
    solution = Solution.empty(gradient, lambda1, options.lambda2)
    for column in range(lambda1.shape[1]):
        delta = options.penalty.threshold(gradient, lambda1[:, column]) / options.lambda2
        certify(solution, model, delta, torch.zeros_like(gradient), column, options)
    return solution


def _second_order(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """`(l2 I - H)^-1 g` by the factors `M` of `H = M'M`: Woodbury's identity, a K x K system; lambda_max from `MM'`."""
    factors = None if model.hessian is None else model.hessian.factors
    if factors is None:
        raise ValueError("solver: closed_form needs curvature=closed_form for second order")
    gradient = model.gradient.flatten(1)
    gram = dots(factors, factors)
    finite = torch.isfinite(gram).all(-1).all(-1)
    gram = torch.where(finite[:, None, None], gram, torch.zeros_like(gram))
    values, vectors = torch.linalg.eigh(gram)
    lambda_max = values[:, -1].clamp_min(0)
    l2 = options.lambda2 + lambda_max
    projected = dots(factors, gradient[:, None])
    weights = vectors @ ((vectors.mT @ projected) / (l2[:, None] - values)[..., None])
    delta = gradient + torch.einsum("bkd,bk->bd", factors, weights[..., 0].to(factors.dtype))
    delta = delta / l2[:, None].to(gradient.dtype)
    solution = Solution.empty(gradient, lambda1, options.lambda2)
    solution.lambda2_effective[:] = l2[:, None]
    solution.lambda_max = torch.where(finite, lambda_max, torch.full_like(lambda_max, torch.nan))
    solution.lambda_max_error = torch.finfo(gradient.dtype).eps * solution.lambda_max
    h_delta = model.hvp(delta)
    solution.hvps += 1
    for column in range(lambda1.shape[1]):
        certify(solution, model, delta, h_delta, column, options)
    return solution


CLOSED_FORM = Solver("closed_form", closed_form)
