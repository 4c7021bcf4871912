"""Find the lambda1 at which a map has a wanted sparsity."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import sparsity as fraction_of_zeros
from caso.solvers.closed_form import closed_form
from caso.solvers.krylov import KrylovRun
from caso.solvers.solution import Solution

_ROUNDS = 6
_HALVINGS = 24
_CLOSE = 1e-3


def _threshold(pull: Tensor, sparsity: float) -> Tensor:
    """The threshold under which a fraction `sparsity` of the entries of `pull` `[B, d]` lie, `[B]`."""
    d = pull.shape[1]
    zeros = min(d, round(sparsity * d))
    if zeros == 0:
        return torch.zeros(len(pull), dtype=torch.float64, device=pull.device)
    return pull.abs().nan_to_num().kthvalue(zeros, dim=1).values.double()


def _bisect(run: KrylovRun, sparsity: float) -> Tensor:
    """The lambda1 of that sparsity for the reduced problem, without products: `[b]`."""
    batch, reduced = run.batch, run.reduced()
    low = torch.zeros_like(batch.norm)
    high = batch.gradient.abs().amax(1).double()
    z, tolerance = reduced.guess(batch.delta), run.tolerance()
    lambda1 = run.solution.lambda1[batch.rows, 0].clamp(max=high)
    for _ in range(_HALVINGS):
        z, maps, _ = reduced.solve(lambda1, z, tolerance)
        found = fraction_of_zeros(maps)
        low, high = torch.where(found < sparsity, lambda1, low), torch.where(found < sparsity, high, lambda1)
        lambda1 = (low + high) / 2
        if bool(((found - sparsity).abs() <= _CLOSE / 2).all()):
            break
    return high


def solve_for_sparsity(problem: Linearisation, sparsity: float, lambda2: float, tol: float, order: int) -> Solution:
    """Solve at the lambda1, found for each image, whose map has a fraction `sparsity` of zeros.

    First order: lambda1 is that quantile of `|g|`, exactly. Second order: bisection on the reduced problem, which takes
    no products, in turn with certified solves, which improve it. Where the sparsity jumps past the wanted value (which
    it can on a few pixels) the map on the sparser side is given.

    Args:
        problem: the loss to second order around B images.
        sparsity: from 0 to 1.
        lambda2: positive.
        tol: on the residual.
        order: 1 or 2.

    Returns:
        maps `[B, 1, d]`.
    """
    lambda1 = _threshold(problem.gradient.flatten(1), sparsity)
    if order == 1:
        return closed_form(problem, lambda1[:, None], lambda2, tol, order)
    run = KrylovRun(problem, lambda1[:, None], lambda2, tol)
    rows = run.batch.rows
    first = torch.zeros_like(rows)
    for _ in range(_ROUNDS if len(rows) else 0):
        run.at(first)
        off = (fraction_of_zeros(run.solution.maps[rows, 0]) - sparsity).abs() > _CLOSE
        if not bool(off.any()):
            break
        run.solution.lambda1[rows[off], 0] = _bisect(run, sparsity)[off]
    else:
        run.at(first)
    return run.solution
