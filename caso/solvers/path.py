"""Certified second-order maps at one value of lambda1, or along a whole path.

On a path most values need no Hessian-vector product of their own: their solutions hardly leave the subspace that the
others have made known, and pass provisionally. What remains unknown of such a residual is `E w`, `E` being the
approximation's error and `w` the part of the solution outside the subspace. All of these are then checked at once:
for a combination of the `w` with standard normal weights, one product gives `E` times the combination, whose norm falls
short of a twentieth of any single `|E w|` with probability 0.04 at most (a normal variable is that small with that
probability). Two such combinations leave 0.0016. Twenty times the larger norm is the bound; where it is too large, the
value with the largest part outside gets a product of its own, and the others are checked again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import kkt_residual, norms
from caso.solvers.krylov import KrylovRun
from caso.solvers.solution import Solution

_PROBES = 2
_FACTOR = 20.0


def solve_krylov(problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float) -> Solution:
    """Solve for CASO maps to a residual of at most `tol`, or to the precision's floor.

    Args:
        problem: the loss to second order around B images.
        lambda1: `[B, L]` float64, non-negative, ascending along L.
        lambda2: positive; the effective one is `lambda2 + max(lambda_max, 0)`.
        tol: on the residual, as a fraction of the gradient's norm.

    Returns:
        maps `[B, L, d]` with their certificates.
    """
    run = KrylovRun(problem, lambda1, lambda2, tol)
    values = lambda1.shape[1]
    for value in range(values):
        run.at(value, provisional=value > 0, may_leave=values == 1)
    generator = torch.Generator().manual_seed(0)
    open_ = _provisional(run)
    while bool(open_.any()):
        open_ = _check(run, open_, torch.randn(_PROBES, values, generator=generator, dtype=torch.float64))
    return run.solution


def _provisional(run: KrylovRun) -> Tensor:
    """Which values of which images rest on expectation so far, `[b, L]`."""
    certificates = [run.solution.certificate[row] for row in run.batch.rows.tolist()]
    table = [[c == "bound" for c in one] for one in certificates]
    shape = len(table), run.solution.lambda1.shape[1]
    return torch.tensor(table, dtype=torch.bool, device=run.batch.rows.device).view(shape) & run.batch.usable[:, None]


def _check(run: KrylovRun, open_: Tensor, weights: Tensor) -> Tensor:
    """Bound the residuals of the values `open_` `[b, L]` by products with two combinations; return what stays open."""
    batch, solution, rows = run.batch, run.solution, run.batch.rows
    before = run.reduced()
    combined = [torch.zeros_like(batch.gradient) for _ in weights]
    known, floor, beyond = (torch.zeros(open_.shape, dtype=torch.float64, device=rows.device) for _ in range(3))
    for value in torch.nonzero(open_.any(0))[:, 0].tolist():
        batch.delta = solution.maps[rows, value]
        outside, _ = batch.basis.outside(batch.delta)
        outside = outside * open_[:, value, None]
        for total, weight in zip(combined, weights[:, value].tolist(), strict=True):
            total += weight * outside
        lambda1, l2 = solution.lambda1[rows, value], solution.lambda2_effective[rows, value]
        curved = before.curved(batch.delta)
        known[:, value] = kkt_residual(batch.delta, batch.gradient, curved, lambda1, l2)
        floor[:, value], beyond[:, value] = run.floor(), norms(outside)
    checked = open_.any(1) & batch.usable
    for total in combined:
        outside, share = batch.basis.outside(total)
        new = checked & batch.usable & (share > run.rounding)
        if bool(new.any()):
            run.product(batch.basis.orthonormal(outside), new)
    missed = torch.stack([norms(batch.basis.curved(total) - before.curved(total)) for total in combined]).amax(0)
    bound = known + (_FACTOR * missed / batch.norm)[:, None] + floor
    good = open_ & (bound <= run.tol) & batch.usable[:, None]
    solution.kkt_residual[rows] = torch.where(good, bound, solution.kkt_residual[rows])
    open_ = open_ & ~good & batch.usable[:, None]
    # Where the bound fails, the value that reaches farthest outside is solved with products of its own.
    farthest = torch.where(open_, beyond, torch.full_like(beyond, -1.0)).argmax(1, keepdim=True)
    worst = torch.zeros_like(open_).scatter(1, farthest, True) & open_
    for value in torch.nonzero(worst.any(0))[:, 0].tolist():
        batch.delta = solution.maps[rows, value]
        run.at(value, among=worst[:, value])
    return open_ & ~worst & batch.usable[:, None]
