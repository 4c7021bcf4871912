"""Find the lambda1 at which a map has a wanted sparsity."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import sparsity as fraction_of_zeros
from caso.solvers.closed_form import closed_form
from caso.solvers.krylov import KrylovRun
from caso.solvers.solution import Solution

_ROUNDS = 12
_CLOSE = 2e-3


def _threshold(pull: Tensor, sparsity: float) -> Tensor:
    """The threshold under which a fraction `sparsity` of the entries of `pull` `[B, d]` lie, `[B]`."""
    d = pull.shape[1]
    zeros = min(d, round(sparsity * d))
    if zeros == 0:
        return torch.zeros(len(pull), dtype=torch.float64, device=pull.device)
    return pull.abs().nan_to_num().kthvalue(zeros, dim=1).values.double()


def solve_for_sparsity(problem: Linearisation, sparsity: float, lambda2: float, tol: float, order: int) -> Solution:
    """Solve at the lambda1, found for each image, whose map has a fraction `sparsity` of zeros.

    An entry of the map is zero where `|g + H D|` is at most lambda1, so lambda1 is that quantile of `|g + H D|`, which
    hardly changes with lambda1: a fixed point. First order: the quantile of `|g|`, exactly.

    Args:
        problem: the loss to second order around B images.
        sparsity: from 0 to 1.
        lambda2: positive.
        tol: on the residual.
        order: 1 or 2.

    Returns:
        maps `[B, 1, d]`.
    """
    gradient = problem.gradient.flatten(1)
    lambda1 = _threshold(gradient, sparsity)
    if order == 1:
        return closed_form(problem, lambda1[:, None], lambda2, tol, order)
    run = KrylovRun(problem, lambda1[:, None], lambda2, tol)
    rows = run.batch.rows
    for _ in range(_ROUNDS):
        run.at(0, may_bound=False, may_leave=False)
        if not len(rows):
            break
        off = (fraction_of_zeros(run.solution.maps[rows, 0]) - sparsity).abs() > _CLOSE
        if not bool(off.any()):
            break
        pull = run.batch.gradient + run.batch.basis.curved(run.batch.delta)
        run.solution.lambda1[rows[off], 0] = _threshold(pull, sparsity)[off]
    return run.solution
