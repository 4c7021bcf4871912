"""Find the lambda1 at which a map has a wanted sparsity."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.objective import sparsity as fraction_of_zeros
from caso.solvers.closed_form import closed_form
from caso.solvers.krylov import KrylovNewton
from caso.solvers.newton import Newton
from caso.solvers.solution import Solution
from caso.solvers.solver import Options

_ROUNDS = 6
_HALVINGS = 24
_CLOSE = 1e-3


def solve_at_sparsity(model: QuadraticModel, sparsity: float, options: Options) -> Solution:
    """Solve at the lambda1, found for each image, whose map has a fraction `sparsity` of zeros.

    First order: lambda1 is that quantile of `|g|`, exactly. Second order: bisection on the reduced problem, which takes
    no products, in turn with certified solves, which improve it. Where the sparsity jumps past the wanted value (which
    it can on a few pixels) the map on the sparser side is given.

    Args:
        model: of B images.
        sparsity: from 0 to 1.
        options: `lambda2` and `tol`.

    Returns:
        maps `[B, 1, d]`.
    """
    lambda1 = _quantile(model.gradient.flatten(1), sparsity)[:, None]
    if model.order == 1:
        return closed_form(model, lambda1, options)
    solve = KrylovNewton(model, lambda1, options)
    index = solve.state.index
    column = torch.zeros_like(index)
    for _ in range(_ROUNDS if len(index) else 0):
        solve.run(column)
        off = (fraction_of_zeros(solve.solution.maps[index, 0]) - sparsity).abs() > _CLOSE
        if not bool(off.any()):
            break
        solve.solution.lambda1[index[off], 0] = _bisect(solve, sparsity)[off]
    else:
        solve.run(column)
    return solve.solution


def _quantile(gradient: Tensor, sparsity: float) -> Tensor:
    """The threshold under which a fraction `sparsity` of the entries of `gradient` `[B, d]` lie, `[B]`."""
    d = gradient.shape[1]
    zeros = min(d, round(sparsity * d))
    if zeros == 0:
        return torch.zeros(len(gradient), dtype=torch.float64, device=gradient.device)
    return gradient.abs().nan_to_num().kthvalue(zeros, dim=1).values.double()


def _bisect(solve: KrylovNewton, sparsity: float) -> Tensor:
    """The lambda1 of that sparsity for the reduced problem, without products: `[b]`."""
    state, problem = solve.state, solve.reduced_problem()
    newton = Newton(problem)
    low = torch.zeros_like(state.gradient_norm)
    high = state.gradient.abs().amax(1).double()
    z, tolerance = problem.approximation.coordinates(state.delta), solve.reduced_tolerance()
    lambda1 = solve.solution.lambda1[state.index, 0].clamp(max=high)
    for _ in range(_HALVINGS):
        z, maps, _ = newton.solve(lambda1, z, tolerance)
        found = fraction_of_zeros(maps)
        low, high = torch.where(found < sparsity, lambda1, low), torch.where(found < sparsity, high, lambda1)
        lambda1 = (low + high) / 2
        if bool(((found - sparsity).abs() <= _CLOSE / 2).all()):
            break
    return high
