"""Certified second-order maps along a whole path of values of lambda1.

On a path most values need no Hessian-vector product of their own. Once the largest eigenvalue is known, one product is
taken at the new part of the map of the smallest value, and one where larger values will lead out of the subspace known
by then. Then come rounds: all values still open are solved with the approximation of the Hessian as it stands. What is
unknown of such a map's residual is `E w`, `E` being the approximation's error and `w` the part of the map orthogonal to
the subspace. How large `|E w| / |w|` can be is not known, but what it was along the last product's direction is, and
three times that is the estimate. The maps that are by this estimate within the tolerance are done; their certificate
reads "estimate". The next product is taken along a random combination of the `w` of all that are still open, so that
none goes unseen: it measures `E` anew, and improves the approximation for the next round.

For a tolerance below 1e-4 every value is certified by HVPs, in ascending order, each starting with what the last knew
(see `caso.solvers.krylov`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from caso.linalg import combine, dots, norms, together
from caso.penalty import largest_lambda1
from caso.solvers.eigenvalue import seek_eigenvalue
from caso.solvers.newton import Newton
from caso.solvers.nystrom import NystromApproximation
from caso.solvers.reduced import ReducedProblem
from caso.solvers.state import Phase

if TYPE_CHECKING:
    from caso.solvers.krylov import KrylovNewton

CERTIFY_EVERY_VALUE = 1e-4
"""With a tolerance below this, nothing is estimated."""
_SAFETY = 3.0
"""How many times as strongly as along the measured direction the approximation's error may act elsewhere. Twice this on
an indefinite Hessian: products leave less and less of the error of a semidefinite one, but not of others."""
_ROUNDS = 5
"""After so many, each round solves its farthest value to the end."""
_NEGLIGIBLE = 0.05
"""Fraction of the tolerance that an estimate leaves to the reduced problem's own residual."""


def solve_path(solve: KrylovNewton) -> None:
    """Solve every image at all its values of lambda1.

    Args:
        solve: in progress, with at least one image.
    """
    path = _Path(solve)
    path.certify_smallest()
    path.explore()
    for number in count():
        if not bool(path.open.any()):
            break
        path.round(to_the_end=number >= _ROUNDS)
    solve.record_eigenvalue()


class _Path:
    """The values that are still open.

    Attributes:
        lambda1: `[b, L]`.
        open: which values are not done yet, `[b, L]`.
        error: `|E u|` along the last product's direction `u`, `E` the approximation's error before that product, `[b]`.
        projections: inner products of the maps with `HV`, as of the last sweep, `[b, L, m]`; None before the first.
    """

    def __init__(self, solve: KrylovNewton) -> None:
        self.solve, self.index = solve, solve.state.index
        self.lambda1 = solve.solution.lambda1[self.index]
        self.open = torch.ones_like(self.lambda1, dtype=torch.bool)
        self.error = torch.zeros_like(solve.state.gradient_norm)
        self.projections: Tensor | None = None
        self.generator = torch.Generator().manual_seed(0)

    def certify_smallest(self) -> None:
        """Find the largest eigenvalue, and certify the smallest value's map once, whatever comes of it."""
        solve, state, first = self.solve, self.solve.state, torch.zeros_like(self.index)
        state.enter(Phase.SEEKING, torch.ones_like(self.open[:, 0]))
        seek_eigenvalue(solve, self.lambda1[:, 0])
        self.error = solve.ritz.norm
        before = solve.reduced_problem().approximation
        solve.certify(first)
        if state.subspace.size > before.products.shape[1]:
            self.measure_error(before, ~state.subspace.empty[:, -1])
        self.open[:, 0] = state.seeking
        seek_eigenvalue(solve, self.lambda1[:, 0])
        state.enter(Phase.IDLE, state.solved)
        self.open &= state.finite[:, None]
        state.penalty_fixed = state.penalty_fixed | state.finite
        state.last_residual = torch.full_like(state.last_residual, torch.inf)

    def explore(self) -> None:
        """Take a product where the maps of larger lambda1 will leave the subspace, going by the smallest one's."""
        state = self.solve.state
        target = state.gradient + state.subspace.hvp(state.delta)
        expected = torch.zeros_like(target)
        for column in range(1, self.lambda1.shape[1], 3):
            expected += state.penalty.threshold(target, self.lambda1[:, column])
        self.expand(expected, self.open.any(1))

    def expand(self, vectors: Tensor, images: Tensor) -> bool:
        """Take products along the components of `vectors` `[b, d]` orthogonal to the subspace, for the `images` `[b]`.

        Returns:
            whether any was more than rounding, and allowed.
        """
        solve, subspace = self.solve, self.solve.state.subspace
        part, size = subspace.orthogonal_part(vectors)
        images = images & (size > solve.negligible_part * norms(vectors)) & ~solve.exhausted()
        before = solve.reduced_problem().approximation
        expanded = solve.expand(part, images)
        if expanded:
            self.measure_error(before, images)
        return expanded

    def measure_error(self, before: NystromApproximation, images: Tensor) -> None:
        """See from the newest product how wrong the approximation `before` it was."""
        subspace = self.solve.state.subspace
        error = norms(subspace.products[:, -1] - before.hvp(subspace.basis[:, -1]))
        self.error = torch.where(images, error, self.error)

    def round(self, to_the_end: bool) -> None:
        """Solve the open values, and take a product along a combination of their new parts where that is needed."""
        solve, state = self.solve, self.solve.state
        size, part_size = self.sweep(solve.reduced_problem())
        self.close(size, part_size, torch.zeros_like(part_size))
        images = self.open.any(1)
        if not bool(images.any()):
            return
        if to_the_end:
            self.finish_farthest(part_size, images)
            return
        weights = torch.randn(self.open.shape[1], generator=self.generator, dtype=torch.float64).to(self.open.device)
        if self.expand(self.combined(weights * self.open, images), images):
            along = self.project(state.subspace.basis[:, -1:], images)[..., 0].abs() / state.gradient_norm[:, None]
            self.close(size, (part_size**2 - along**2).clamp_min(0).sqrt(), along * self.error[:, None])
        self.open &= state.finite[:, None]

    def finish_farthest(self, part_size: Tensor, images: Tensor) -> None:
        """Solve, for each of the `images` `[b]`, the open value that is farthest from the subspace to the end."""
        farthest = torch.where(self.open, part_size, torch.full_like(part_size, -1.0)).argmax(1)
        self.solve.run(farthest, among=images)
        done = torch.zeros_like(self.open).scatter(1, farthest[:, None], True) & images[:, None]
        self.open &= ~done & self.solve.state.finite[:, None]

    def sweep(self, problem: ReducedProblem) -> tuple[Tensor, Tensor]:
        """Solve the reduced problem at the open values, in ascending order.

        Returns:
            the maps' norms, and those of their parts orthogonal to the subspace, over the gradient's: `[b, L]`.
        """
        size, part_size = torch.zeros_like(self.lambda1), torch.zeros_like(self.lambda1)
        tolerance, swept_before = self.solve.reduced_tolerance(), self.projections is not None
        known = self.lambda1.new_zeros(*self.lambda1.shape, 0) if self.projections is None else self.projections
        new = self.project(problem.approximation.products[:, known.shape[2] :], self.open.any(1) & swept_before)
        self.projections = torch.cat([known, new], 2)
        for images in together(self.index):
            newton = Newton(problem.restrict(images))
            size[images], part_size[images] = self.sweep_images(newton, images, tolerance[images], swept_before)
        return size, part_size

    def sweep_images(self, newton: Newton, images: slice, tolerance: Tensor, again: bool) -> tuple[Tensor, Tensor]:
        """Do so for some of the images; `again` where the maps are those of an earlier sweep."""
        assert self.projections is not None
        state, approximation = self.solve.state, newton.problem.approximation
        index, lambda1, open_ = self.index[images], self.lambda1[images], self.open[images]
        subspace, norm = state.subspace.restrict(images), state.gradient_norm[images]
        size, part_size = torch.zeros_like(lambda1), torch.zeros_like(lambda1)
        z = approximation.coordinates(state.delta[images])
        top = largest_lambda1(newton.problem.penalty, state.gradient[images])
        last, trend = lambda1[:, 0], torch.zeros_like(z)
        for column, which in enumerate(open_.T.tolist()):
            if not any(which):
                continue
            chosen, value = open_[:, column], lambda1[:, column]
            if again:
                start = approximation.reduce(self.projections[images, column])
            else:
                # While the support stays, z is linear in lambda1.
                start = z + torch.where(newton.same_support, value - last, 0.0)[:, None] * trend
            start = torch.where((value >= top)[:, None], 0.0, start)  # where the map is zero, exactly
            solved, delta, projections = newton.solve(value, start, torch.where(chosen, tolerance, torch.inf))
            further = torch.where(value > last, value - last, torch.inf)
            trend, z, last = (solved - z) / further[:, None], solved, value
            maps = self.solve.solution.maps
            maps[index, column] = delta if all(which) else torch.where(chosen[:, None], delta, maps[index, column])
            before = self.projections[images, column]
            self.projections[images, column] = torch.where(chosen[:, None], projections, before)
            size[:, column] = norms(delta) / norm
            part_size[:, column] = subspace.orthogonal_part(delta)[1] / norm
        return size, part_size

    def project(self, vectors: Tensor, images: Tensor) -> Tensor:
        """Inner products of the maps with `vectors` `[b, k, d]` for the `images` `[b]`: `[b, L, k]`."""
        found = self.lambda1.new_zeros(*self.lambda1.shape, vectors.shape[1])
        for part, maps in self.maps_of(images):
            found[part] = dots(maps, vectors[part])
        return torch.where(images[:, None, None], found, 0)

    def combined(self, weights: Tensor, images: Tensor) -> Tensor:
        """Combinations `[b, L]` of the maps of the `images` `[b]`: `[b, d]`."""
        found = torch.zeros_like(self.solve.state.gradient)
        for part, maps in self.maps_of(images):
            found[part] = combine(weights[part], maps)
        return torch.where(images[:, None], found, 0)

    def maps_of(self, images: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The maps `[k, L, d]` of the `images` `[b]`, as many at once as is best, and perhaps of others between."""
        chosen, maps = images.tolist(), self.solve.solution.maps
        for part in together(images):
            numbers = self.solve.state.numbers[part]
            if any(chosen[part]):  # the others' maps are not even read
                first, last = numbers[0], numbers[-1]
                successive = last - first == len(numbers) - 1
                yield part, maps[first : last + 1] if successive else maps[self.index[part]]

    def close(self, size: Tensor, part_size: Tensor, known: Tensor) -> None:
        """Close the open values whose residual is estimated to be within the tolerance.

        Args:
            size: the maps' norms, `[b, L]`.
            part_size: the norms of their parts along which no product is known, `[b, L]`.
            known: what is known of their residuals, `[b, L]`.
        """
        solve, tol = self.solve, self.solve.options.tol
        semidefinite = NystromApproximation.of(solve.state.subspace, solve.ritz).semidefinite
        safety = torch.where(semidefinite, _SAFETY, 2 * _SAFETY)
        floor = solve.floor(size)
        estimate = _NEGLIGIBLE * tol + known + part_size * (safety * self.error)[:, None]
        # Where rounding alone is above the tolerance, no product would change that.
        within = estimate + floor.where(floor <= tol, 0) <= tol
        good = self.open & within & solve.state.finite[:, None]
        rows, columns = good.nonzero(as_tuple=True)
        if len(rows):
            residual, floor = (estimate + floor)[rows, columns], floor[rows, columns]
            converged = floor <= tol
            solve.record(rows, columns, residual, floor, "estimate", converged, ~converged)
        self.open &= ~good
