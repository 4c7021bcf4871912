"""Solutions that need no iteration: first order at any lambda1, second order at lambda1 = 0."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import dots, kkt_residual, norms, soft_threshold
from caso.solvers.solution import CONVERGED, NOT_FINITE, STOPPED, Solution


def judge(solution: Solution, problem: Linearisation, curved: Tensor, delta: Tensor, value: int, tol: float) -> None:
    """Write maps `delta` `[B, d]`, whose Hessian products are `curved`, and what they are worth into a solution."""
    gradient = problem.gradient.flatten(1)
    l1, l2 = solution.lambda1[:, value], solution.lambda2_effective[:, value]
    finite = torch.stack([torch.isfinite(t).all(1) for t in (problem.logits, gradient, curved, delta)]).all(0)
    solution.maps[:, value] = torch.where(finite[:, None], delta, torch.zeros_like(delta))
    residual = kkt_residual(delta, gradient, curved, l1, l2)
    solution.kkt_residual[:, value] = torch.where(finite, residual, torch.full_like(residual, torch.nan))
    scale = norms(gradient).clamp_min(torch.finfo(torch.float64).tiny)
    eps = torch.finfo(delta.dtype).eps
    solution.floor[:, value] = eps * (l2 * norms(delta) / scale).clamp_min(1)
    for row, (ok, known) in enumerate(zip((residual <= tol).tolist(), finite.tolist(), strict=True)):
        solution.status[row][value] = (CONVERGED if ok else STOPPED) if known else NOT_FINITE


def closed_form(problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float, order: int) -> Solution:
    """Solve exactly.

    First order: `soft(g, lambda1) / lambda2`. Second order at `lambda1 = 0`: `(l2 I - H)^-1 g` by the factors `M` of
    `H = M M'` (Woodbury's identity; a K x K system), and `lambda_max` from the spectrum of `M'M`.

    Args:
        problem: the loss around B images; for second order with its `factors`.
        lambda1: `[B, L]`, for second order all zero.
        lambda2: positive.
        tol: on the residual, for the status.
        order: 1 or 2.

    Raises:
        ValueError: second order with a positive lambda1, which has no closed form.
    """
    gradient = problem.gradient.flatten(1)
    solution = Solution.empty(gradient, lambda1, lambda2)
    if order == 1:
        for value in range(lambda1.shape[1]):
            threshold = lambda1[:, value, None].to(gradient.dtype)
            delta = soft_threshold(gradient, threshold) / lambda2
            judge(solution, problem, torch.zeros_like(gradient), delta, value, tol)
        return solution
    if bool((lambda1 > 0).any()):
        raise ValueError("solver: closed_form solves second order at lambda1=0 only; use krylov for lambda1 > 0")
    if problem.factors is None:
        raise ValueError("solver: closed_form needs curvature=closed_form for second order")
    factors = problem.factors
    gram = dots(factors, factors)
    finite = torch.isfinite(gram).all(-1).all(-1)
    gram = torch.where(finite[:, None, None], gram, torch.zeros_like(gram))
    values, vectors = torch.linalg.eigh(gram)
    largest = values[:, -1].clamp_min(0)
    l2 = lambda2 + largest
    pulled = dots(factors, gradient[:, None])
    weights = vectors @ ((vectors.mT @ pulled) / (l2[:, None] - values)[..., None])
    delta = (gradient + torch.einsum("bkd,bk->bd", factors, weights[..., 0].to(factors.dtype))) / l2[:, None].to(
        gradient.dtype
    )
    solution.lambda_max = torch.where(finite, largest, torch.full_like(largest, torch.nan))
    solution.lambda_max_error = torch.finfo(gradient.dtype).eps * solution.lambda_max
    curved = problem.product(delta.view_as(problem.gradient)).flatten(1)
    solution.hvps += 1
    for value in range(lambda1.shape[1]):
        solution.lambda2_effective[:, value] = l2
        judge(solution, problem, curved, delta, value, tol)
    return solution
