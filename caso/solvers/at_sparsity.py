"""Find the lambda1 at which a map has a wanted sparsity, or so many groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.objective import sparsity as fraction_of_zeros
from caso.penalty import Groups, Penalty, largest_lambda1
from caso.solvers.closed_form import closed_form
from caso.solvers.krylov import KrylovNewton
from caso.solvers.newton import Newton
from caso.solvers.solution import Solution
from caso.solvers.solver import Options

_ROUNDS = 6
_HALVINGS = 24
_CLOSE = 1e-3


@dataclass(frozen=True)
class Sparsity:
    """What a map is to have: a fraction of zero entries, or a number of groups.

    Attributes:
        zeros: fraction of the entries, from 0 to 1; None where groups are counted.
        keep: groups that are not zero; None where entries are counted.
    """

    zeros: float | None = None
    keep: int | None = None

    def first_order(self, gradient: Tensor, penalty: Penalty) -> Tensor:
        """The lambda1 of a first-order map with that sparsity, or the next sparser one there is: `[B]`."""
        if self.keep is None:
            assert self.zeros is not None
            return penalty.at_zeros(gradient, min(gradient.shape[1], round(self.zeros * gradient.shape[1])))
        assert isinstance(penalty, Groups)
        return penalty.at_kept(gradient, self.keep)

    def missing(self, maps: Tensor, penalty: Penalty) -> Tensor:
        """How much sparser the maps `[B, d]` should be, as a fraction of entries or in groups: `[B]`."""
        if self.keep is None:
            assert self.zeros is not None
            return self.zeros - fraction_of_zeros(maps)
        assert isinstance(penalty, Groups)
        wanted = (penalty.sizes > 0).sum(1).clamp_max(self.keep)
        return (penalty.norms(maps) > 0).sum(1).double() - wanted


def solve_at_sparsity(model: QuadraticModel, wanted: Sparsity, options: Options) -> Solution:
    """Solve at the lambda1, found for each image, whose map has the wanted sparsity.

    First order: lambda1 is a quantile of `|g|`, or of the groups' `|g_G| / w_G`, exactly. Second order: bisection on
    the reduced problem, which takes no products, in turn with certified solves, which improve it. Where the sparsity
    jumps past the wanted value (which it can on a few pixels, and does with groups) the map on the sparser side is
    given.

    Args:
        model: of B images.
        wanted: the sparsity.
        options: `lambda2`, `tol` and `penalty`.

    Returns:
        maps `[B, 1, d]`.
    """
    lambda1 = wanted.first_order(model.gradient.flatten(1), options.penalty)[:, None]
    if model.order == 1:
        return closed_form(model, lambda1, options)
    solve = KrylovNewton(model, lambda1, options)
    index, penalty = solve.state.index, solve.state.penalty
    column = torch.zeros_like(index)
    for _ in range(_ROUNDS if len(index) else 0):
        solve.run(column)
        missing = wanted.missing(solve.solution.maps[index, 0], penalty)
        off = missing.abs() > _CLOSE
        if not bool(off.any()):
            break
        better, missing_there = _bisect(solve, wanted)
        # A jump past the wanted value: no lambda1 comes nearer from the sparser side.
        off &= ~((missing < 0) & ((missing - missing_there).abs() < _CLOSE / 2))
        if not bool(off.any()):
            break
        solve.solution.lambda1[index, 0] = torch.where(off, better, solve.solution.lambda1[index, 0])
    else:
        solve.run(column)
    return solve.solution


def _bisect(solve: KrylovNewton, wanted: Sparsity) -> tuple[Tensor, Tensor]:
    """The lambda1 of that sparsity for the reduced problem, without products, and what is missing there: `[b]` each."""
    state, problem = solve.state, solve.reduced_problem()
    newton = Newton(problem)
    low = torch.zeros_like(state.gradient_norm)
    high = largest_lambda1(state.penalty, state.gradient)
    missing_there = torch.full_like(high, -torch.inf)
    z, tolerance = problem.approximation.coordinates(state.delta), solve.reduced_tolerance()
    lambda1 = torch.minimum(solve.solution.lambda1[state.index, 0], high)
    for _ in range(_HALVINGS):
        z, maps, _ = newton.solve(lambda1, z, tolerance)
        missing = wanted.missing(maps, state.penalty)
        sparse = missing <= 0
        low, high = torch.where(sparse, low, lambda1), torch.where(sparse, lambda1, high)
        missing_there = torch.where(sparse, missing, missing_there)
        lambda1 = (low + high) / 2
        if bool((missing.abs() <= _CLOSE / 2).all()):
            break
    return high, missing_there
