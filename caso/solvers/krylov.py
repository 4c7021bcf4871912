"""Krylov-Newton: certified second-order maps, at one value of lambda1 or along a path, for a few products.

Each step takes one Hessian-vector product an image. The first directions are Krylov's, from the gradient, until the
largest eigenvalue is known (`caso.solvers.eigenvalue`); then the problem with the Nyström approximation of the Hessian
is solved without touching the network (`caso.solvers.reduced`, `caso.solvers.newton`), and the next direction is the
new part of that solution. Its product makes the solution's own residual known, which certifies it, and if that is too
large improves the approximation exactly where it was wrong. A certificate therefore costs no product of its own.

On a path the approximation is kept from value to value, and most values need no product of their own
(`caso.solvers.path`).
"""

from __future__ import annotations

from itertools import compress

import torch
from torch import Tensor

from caso.curvature import HessianOperator, QuadraticModel
from caso.linalg import largest_entries, norms
from caso.objective import kkt_residual
from caso.solvers.certificate import hvp_floor, status
from caso.solvers.eigenvalue import eigenvalue_known, seek_eigenvalue
from caso.solvers.newton import Newton
from caso.solvers.nystrom import NystromApproximation
from caso.solvers.path import CERTIFY_EVERY_VALUE, solve_path
from caso.solvers.reduced import ReducedProblem
from caso.solvers.ritz import RitzPairs
from caso.solvers.solution import Solution
from caso.solvers.solver import Options, Solver
from caso.solvers.state import Phase, State

_MOST_HVPS = 96
_NEAR_FLOOR = 30.0
"""How many times the estimate of the floor a residual may be that is called floor."""
_NEGLIGIBLE = 0.05
"""Fraction of the tolerance that may be left to what is not looked at."""


def krylov(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """Solve for CASO maps to a residual of at most `tol`, or to the precision's floor.

    Args:
        model: of B images, to second order.
        lambda1: `[B, L]` float64, non-negative, ascending along L.
        options: `lambda2` (the effective one is `lambda2 + max(lambda_max, 0)`) and `tol`.
    """
    solve = KrylovNewton(model, lambda1, options)
    columns = lambda1.shape[1]
    if columns == 1:
        solve.run(torch.zeros_like(solve.state.index), drop_done=True)
    elif options.tol < CERTIFY_EVERY_VALUE:
        for column in range(columns):
            solve.run(torch.full_like(solve.state.index, column))
    elif len(solve.state.index):
        solve_path(solve)
    return solve.solution


class KrylovNewton:
    """A solve in progress.

    Attributes:
        state: of the images that are being solved.
        solution: of all images, so far.
        ritz: Ritz pairs of the state's subspace.
    """

    def __init__(self, model: QuadraticModel, lambda1: Tensor, options: Options) -> None:
        """Set up the images that have a gradient; the others are done. The arguments are those of `krylov`."""
        self.model, self.options = model, options
        self.solution = Solution.empty(model.gradient.flatten(1), lambda1, options.lambda2)
        self.state = State.begin(model, self.solution, options.penalty)
        self.negligible_part = 16 * torch.finfo(model.gradient.dtype).eps
        """A part outside the subspace of this share of a vector is rounding."""
        assert model.hessian is not None
        self._whole_hessian = model.hessian
        self._restricted = list(range(len(model.gradient))), model.hessian
        self._ritz: tuple[int, RitzPairs] | None = None

    def run(self, column: Tensor, among: Tensor | None = None, drop_done: bool = False) -> None:
        """Expand the subspace, solve the reduced problem, certify; until every image's map is done.

        Args:
            column: index of the value of lambda1 at which each image is solved, `[b]`.
            among: which images, `[b]`; None for all.
            drop_done: whether images that are done leave the state.
        """
        self.state.enter(Phase.SEEKING, torch.ones_like(column, dtype=torch.bool) if among is None else among)
        seeking = self.state.seeking.tolist()
        while any(seeking):
            seek_eigenvalue(self, self.solution.lambda1[self.state.index, column])
            self.certify(column)
            self.record_eigenvalue()
            seeking = self.state.seeking.tolist()
            if drop_done and not all(seeking):
                keep = torch.nonzero(self.state.seeking)[:, 0]
                self.state, self._ritz, column = self.state.restrict(keep, seeking), None, column[keep]

    @property
    def ritz(self) -> RitzPairs:
        """Of the present subspace."""
        subspace = self.state.subspace
        if self._ritz is None or self._ritz[0] != subspace.size:
            self._ritz = subspace.size, RitzPairs(subspace)
        return self._ritz[1]

    def expand(self, parts: Tensor, images: Tensor) -> bool:
        """Extend the subspaces of the `images` `[b]` by parts `[b, d]` orthogonal to them, of any length.

        Returns:
            whether there was any image.
        """
        wanted = list(compress(self.state.numbers, images.tolist()))
        if wanted:
            self.append(self.state.subspace.orthonormalise(parts), images, wanted)
        return bool(wanted)

    def append(self, directions: Tensor, images: Tensor, wanted: list[int] | None = None) -> None:
        """Extend the subspaces of the `images` `[b]` by `directions` `[b, d]`, the others' by nothing.

        Args:
            directions: orthonormal to the subspaces.
            images: which.
            wanted: their numbers; None where all are.
        """
        if wanted is None or len(wanted) == len(directions):
            products = self._hessian(self.state.numbers, self.state.index) @ directions
        else:
            rows = torch.nonzero(images)[:, 0]
            part = self._hessian(wanted, self.state.index[rows]) @ directions[rows]
            products = torch.zeros_like(directions).index_copy(0, rows, part)
            directions = directions * images.to(directions.dtype)[:, None]
        finite = torch.isfinite(largest_entries(products))
        if not bool(finite.all()):
            products = torch.where(finite[:, None], products, torch.zeros_like(products))
            self.solution.discard(self.state.index[~finite])
            self.state.enter(Phase.NOT_FINITE, ~finite)
        self.state.subspace.append(directions, products)
        self.solution.hvps[self.state.index] += images

    def _hessian(self, numbers: list[int], index: Tensor) -> HessianOperator:
        """Of the images `numbers`, and the same as `index` `[b]`; kept, since most products are of the last ones'."""
        if self._restricted[0] != numbers:
            self._restricted = numbers, self._whole_hessian.restrict(index)
        return self._restricted[1]

    def update_penalty(self) -> None:
        """Set the effective lambda2 by what is now known of the largest eigenvalue, where it is not fixed yet."""
        state = self.state
        penalty = self.options.lambda2 + self.ritz.lambda_max.clamp_min(0)
        state.lambda2_effective = torch.where(state.penalty_fixed, state.lambda2_effective, penalty)

    def reduced_problem(self) -> ReducedProblem:
        """The problem with the Hessian as far as it is known."""
        approximation = NystromApproximation.of(self.state.subspace, self.ritz)
        return ReducedProblem(self.state.gradient, approximation, self.state.lambda2_effective, self.state.penalty)

    def reduced_tolerance(self) -> Tensor:
        """What the reduced problem's own residual may be, so that it adds little to the map's, `[b]`."""
        scale = self.state.gradient_norm / self.ritz.norm.sqrt().clamp_min(1e-300)
        return _NEGLIGIBLE * self.options.tol * scale

    def solve_reduced(self, lambda1: Tensor, images: Tensor, everyone: bool) -> None:
        """Set the maps of the `images` `[b]`, or of everyone, to the reduced problem's solutions at `lambda1` `[b]`."""
        state, problem = self.state, self.reduced_problem()
        grown = state.z.shape[1] != state.subspace.size
        start = problem.approximation.coordinates(state.delta) if grown else state.z
        tolerance = torch.where(images, self.reduced_tolerance(), torch.inf)
        state.z, maps, _ = Newton(problem).solve(lambda1, start, tolerance)
        state.delta = maps if everyone else torch.where(images[:, None], maps, state.delta)

    def exhausted(self) -> Tensor:
        """For which images no more products are allowed, `[b]`."""
        return self.solution.hvps[self.state.index] >= min(_MOST_HVPS, self.state.gradient.shape[1])

    def floor(self, size: Tensor) -> Tensor:
        """Residual that rounding alone leaves at maps of norm `size * |g|`, like `size` `[b, ...]`."""
        state = self.state
        return hvp_floor(self.model, size, self.ritz.norm, state.subspace.asymmetry, state.lambda2_effective)

    def certify(self, column: Tensor) -> None:
        """Take products along the new parts of the maps that await it, which makes these maps' residuals known.

        Maps that are done are recorded, and their images idle; the others seek on.

        Args:
            column: index of the maps' lambda1, `[b]`.
        """
        state, subspace = self.state, self.state.subspace
        size = norms(state.delta) / state.gradient_norm
        part, part_size = subspace.orthogonal_part(state.delta)
        part_size = part_size / state.gradient_norm
        # A part outside that is rounding, or too small to matter, leaves nothing to be learnt.
        noise, unknown = part_size <= self.negligible_part * size, part_size * self.ritz.norm
        negligible = noise | (unknown <= _NEGLIGIBLE * self.options.tol)
        expanded = state.solved & ~negligible & ~self.exhausted()
        if self.expand(part, expanded):
            self.update_penalty()
        lambda1, h_delta = self.solution.lambda1[state.index, column], subspace.hvp(state.delta)
        l2 = state.lambda2_effective
        residual = kkt_residual(state.delta, state.gradient, h_delta, lambda1, l2, state.penalty)
        # Of a part outside without a product, all is counted that the Hessian could make of it.
        residual = torch.where(expanded | noise, residual, residual + unknown)
        self._judge(column, size, residual, unknown, expanded)

    def _judge(self, column: Tensor, size: Tensor, residual: Tensor, unknown: Tensor, expanded: Tensor) -> None:
        """Record the maps that are good enough, or that no further product would improve."""
        tol, state = self.options.tol, self.state
        floor = self.floor(size)
        near_floor = residual <= _NEAR_FLOOR * floor
        accurate = eigenvalue_known(self) | (self.ritz.error * size <= tol)
        converged = state.solved & (residual <= tol) & accurate
        stagnates = near_floor & (unknown <= _NEAR_FLOOR * floor) & (residual > 0.5 * state.last_residual)
        done = converged | (state.solved & (~expanded | (residual <= floor) | stagnates))
        state.last_residual = torch.where(done, torch.inf, torch.where(state.solved, residual, state.last_residual))
        rows = torch.nonzero(done)[:, 0]
        if len(rows):
            columns = column[rows]
            self.solution.maps[state.index[rows], columns] = state.delta[rows]
            outcome = converged & (floor <= tol), near_floor
            self.record(rows, columns, residual[rows], floor[rows], "product", *(t[rows] for t in outcome))
        state.enter(Phase.SEEKING, state.solved & ~done)
        state.enter(Phase.IDLE, done)

    def record(
        self,
        rows: Tensor,
        columns: Tensor,
        residual: Tensor,
        floor: Tensor,
        certificate: str,
        converged: Tensor,
        at_floor: Tensor,
    ) -> None:
        """Write down the certificates of maps that are done; their images' penalties are fixed from now on.

        Args:
            rows: the maps' images in the state, `[n]`.
            columns: index of their lambda1, `[n]`.
            residual: relative, `[n]`.
            floor: of the residual, `[n]`.
            certificate: "product" or "estimate".
            converged: whether residual and floor are within the tolerance, `[n]`.
            at_floor: where they are not, whether no product in this precision would help, `[n]`.
        """
        state, solution = self.state, self.solution
        index = state.index[rows]
        solution.lambda2_effective[index, columns] = state.lambda2_effective[rows]
        solution.kkt_residual[index, columns] = residual
        solution.floor[index, columns] = floor
        # Read at once: each reading waits for the device.
        for image, value, good, low in torch.stack([index, columns, converged, at_floor], 1).tolist():
            solution.status[image][value] = status(good, low)
            solution.certificate[image][value] = certificate
        state.penalty_fixed = state.penalty_fixed.index_fill(0, rows, True)

    def record_eigenvalue(self) -> None:
        """Write down what is now known of the largest eigenvalue."""
        index, finite = self.state.index, self.state.finite
        known = ((self.solution.lambda_max, self.ritz.lambda_max), (self.solution.lambda_max_error, self.ritz.error))
        for recorded, now in known:
            recorded[index] = torch.where(finite, now, recorded[index])


KRYLOV = Solver("krylov", krylov, orders=(2,))
