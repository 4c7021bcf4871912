"""Certified second-order maps at one value of lambda1, or along a whole path.

On a path most values need no Hessian-vector product of their own. Once the largest eigenvalue is known, one product is
taken at the new part of the map of the smallest value, and one where larger values will lead out of the subspace known
by then. Then come rounds: all values still open are solved with the approximation of the Hessian as it stands. What is
unknown of such a map's residual is `E w`, `E` being the approximation's error and `w` the part of the map outside the
subspace. How large `|E w| / |w|` can be is not known, but what it was along the last product's direction is, and three
times that is the estimate. The maps that are by this estimate within the tolerance are done; their certificate reads
"estimate". If any are not, the next product is taken along a random combination of all their `w` (of that round's, so
that no map's `w` goes unseen): it measures `E` anew, and improves the approximation for the next round.

Who asks for a tolerance below 1e-4 wants certainty: then every value is certified by products, in ascending order, each
starting with what the last knew.
"""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import combine, dots, norms, soft_threshold
from caso.solvers.krylov import KrylovRun
from caso.solvers.reduced import ReducedProblem
from caso.solvers.solution import CONVERGED, FLOOR, Solution

_SAFETY = 3.0
"""How many times as strongly as along the measured direction the approximation's error may act elsewhere. Twice this on
an indefinite Hessian: products leave less and less of the error of a semidefinite one, but not of others."""
_CERTAIN = 1e-4
"""With a tolerance below this, nothing is estimated: every value is certified by products."""
_ROUNDS = 5
"""After so many, each round solves its worst value to the end."""


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
    if values == 1 or tol < _CERTAIN:
        for value in range(values):
            run.at(torch.full_like(run.batch.rows, value), may_leave=values == 1)
    elif len(run.batch.rows):
        _Path(run).solve()
    return run.solution


class _Path:
    """The values of the images that are not done yet."""

    def __init__(self, run: KrylovRun) -> None:
        self.run, self.rows = run, run.batch.rows
        self.lambda1 = run.solution.lambda1[self.rows]
        self.open = torch.ones_like(self.lambda1, dtype=torch.bool)
        self.wrong = torch.zeros_like(run.batch.norm)
        """What the approximation's error made of the last direction that a product was taken along, `[b]`."""
        self.summed: Tensor | None = None
        """Inner products of the maps with the Hessian's products, as of the last sweep, `[b, L, m]`."""
        self.generator = torch.Generator().manual_seed(0)

    def solve(self) -> None:
        self.begin()
        self.explore()
        for number in count():
            if not bool(self.open.any()):
                break
            self.round(thorough=number >= _ROUNDS)
        self.run.conclude()

    def begin(self) -> None:
        """Find the largest eigenvalue, and certify the smallest value's map once, whatever comes of it."""
        run, batch, smallest = self.run, self.run.batch, torch.zeros_like(self.rows)
        run.find_eigenvalue(self.lambda1[:, 0], batch.usable)
        self.wrong = run.spectrum.values.abs().amax(1)
        before = run.reduced()
        done = run.certify(smallest, batch.usable)
        if batch.basis.size > before.products.shape[1]:
            self.learn(before, ~batch.basis.empty[:, -1])
        self.open[:, 0] = ~done
        run.find_eigenvalue(self.lambda1[:, 0], batch.usable & ~done)
        self.open &= batch.usable[:, None]
        batch.frozen = batch.frozen | batch.usable
        batch.residual = torch.full_like(batch.residual, torch.inf)

    def explore(self) -> None:
        """Take a product where the maps of larger lambda1 will leave the subspace, going by the smallest one's pull."""
        batch = self.run.batch
        pull = batch.gradient + batch.basis.curved(batch.delta)
        expected = torch.zeros_like(pull)
        for value in range(1, self.lambda1.shape[1], 3):
            expected += soft_threshold(pull, self.lambda1[:, value, None].to(pull.dtype))
        self.measure(expected, self.open.any(1))

    def measure(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Take products along the parts of `vectors` `[b, d]` outside the subspace, where `wanted` `[b]` and possible.

        Returns:
            where one was taken, `[b]`.
        """
        run, basis = self.run, self.run.batch.basis
        outside, beyond = basis.outside(vectors)
        wanted = wanted & (beyond > run.rounding * norms(vectors)) & ~run.exhausted()
        if bool(wanted.any()):
            before = run.reduced()
            run.product(basis.orthonormal(outside), wanted)
            self.learn(before, wanted)
        return wanted

    def learn(self, before: ReducedProblem, measured: Tensor) -> None:
        """See from the newest product how wrong the approximation `before` it was."""
        basis = self.run.batch.basis
        wrong = norms(basis.products[:, -1] - before.curved(basis.directions[:, -1]))
        self.wrong = torch.where(measured, wrong, self.wrong)

    def round(self, thorough: bool) -> None:
        """Solve the open values, and take a product along a combination of their new parts where that is needed."""
        run, batch = self.run, self.run.batch
        first = self.open
        size, beyond = self.sweep(run.reduced())
        self.passed(size, beyond, torch.zeros_like(beyond))
        pending = self.open.any(1)
        if not bool(pending.any()):
            return
        if thorough:
            far = torch.where(self.open, beyond, torch.full_like(beyond, -1.0)).argmax(1)
            run.at(far, among=pending)
            self.open &= ~(torch.zeros_like(self.open).scatter(1, far[:, None], True) & pending[:, None])
            self.open &= batch.usable[:, None]
            return
        weights = torch.randn(first.shape[1], generator=self.generator, dtype=torch.float64)
        if bool(self.measure(self.combined(weights.to(first.device) * first, pending), pending).any()):
            along = self.along(batch.basis.directions[:, -1:], pending)[..., 0].abs() / batch.norm[:, None]
            self.passed(size, (beyond**2 - along**2).clamp_min(0).sqrt(), along * self.wrong[:, None])
        self.open &= batch.usable[:, None]

    def sweep(self, reduced: ReducedProblem) -> tuple[Tensor, Tensor]:
        """Solve the reduced problem at the open values, in ascending order.

        Returns:
            the maps' norms, and those of their parts outside the subspace, as fractions of the gradient's: `[b, L]`.
        """
        size, beyond = torch.zeros_like(self.lambda1), torch.zeros_like(self.lambda1)
        images = len(self.rows)
        # On a CPU one image after the other: its vectors stay in the cache. On a GPU all at once.
        step = 1 if self.rows.device.type == "cpu" else images
        tolerance, again, products = self.run.tolerance(), self.summed is not None, self.run.batch.basis.products
        known = self.lambda1.new_zeros(*self.lambda1.shape, 0) if self.summed is None else self.summed
        self.summed = torch.cat([known, self.along(products[:, known.shape[2] :], self.open.any(1) & again)], 2)
        for first in range(0, images, step):
            part = slice(first, first + step)
            size[part], beyond[part] = self.sweep_part(reduced.part(part), part, tolerance[part], again)
        return size, beyond

    def along(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Inner products of the maps with `vectors` `[b, k, d]` of the images `wanted` `[b]`: `[b, L, k]`."""
        maps, found = self.run.solution.maps, self.lambda1.new_zeros(*self.lambda1.shape, vectors.shape[1])
        for image in torch.nonzero(wanted)[:, 0].tolist():  # the others' maps are not even read
            found[image] = dots(maps[self.rows[image], None], vectors[image : image + 1])[0]
        return found

    def combined(self, weights: Tensor, wanted: Tensor) -> Tensor:
        """Combinations `[b, L]` of the maps of the images `wanted` `[b]`: `[b, d]`."""
        maps, found = self.run.solution.maps, torch.zeros_like(self.run.batch.gradient)
        for image in torch.nonzero(wanted)[:, 0].tolist():
            found[image] = combine(weights[image, None], maps[self.rows[image], None])[0]
        return found

    def sweep_part(self, reduced: ReducedProblem, part: slice, tolerance: Tensor, again: bool) -> tuple[Tensor, Tensor]:
        """Do so for some of the images; `again` where the maps are those of an earlier sweep."""
        assert self.summed is not None
        batch, rows, values, open_ = self.run.batch, self.rows[part], self.lambda1[part], self.open[part]
        basis, norm = batch.basis.part(part), batch.norm[part]
        size, beyond = torch.zeros_like(values), torch.zeros_like(values)
        z, top = reduced.guess(batch.delta[part]), batch.gradient[part].abs().amax(1)
        last, trend = values[:, 0], torch.zeros_like(z)
        for value in torch.nonzero(open_.any(0))[:, 0].tolist():
            chosen, lambda1 = open_[:, value], values[:, value]
            if again:
                start = reduced.reduce(self.summed[part, value])
            else:
                # While the support stays, z is linear in lambda1.
                start = z + torch.where(reduced.steady, lambda1 - last, 0.0)[:, None] * trend
            start = torch.where((lambda1 >= top)[:, None], 0.0, start)  # where the map is zero, exactly
            solved, delta, summed = reduced.solve(lambda1, start, torch.where(chosen, tolerance, torch.inf))
            further = torch.where(lambda1 > last, lambda1 - last, torch.inf)
            trend, z, last = (solved - z) / further[:, None], solved, lambda1
            self.run.solution.maps[rows[chosen], value] = delta[chosen]
            self.summed[part, value] = torch.where(chosen[:, None], summed, self.summed[part, value])
            size[:, value] = norms(delta) / norm
            beyond[:, value] = basis.outside(delta)[1] / norm
        return size, beyond

    def passed(self, size: Tensor, beyond: Tensor, known: Tensor) -> None:
        """Close the open values whose residual is estimated to be within the tolerance.

        Args:
            size: the maps' norms, `[b, L]`.
            beyond: the norms of their parts along which no product is known, `[b, L]`.
            known: what is known of their residuals, `[b, L]`.
        """
        run, floor = self.run, self.run.floor(size)
        safety = torch.where(run.reduced().convex, _SAFETY, 2 * _SAFETY)
        estimate = 0.05 * run.tol + known + beyond * (safety * self.wrong)[:, None]
        # Where rounding alone is above the tolerance, no product would change that.
        good = self.open & (estimate + floor.where(floor <= run.tol, 0) <= run.tol) & run.batch.usable[:, None]
        for value in torch.nonzero(good.any(0))[:, 0].tolist():
            position = torch.full_like(self.rows, value)
            status = [CONVERGED if fine else FLOOR for fine in (floor[:, value] <= run.tol).tolist()]
            residual = estimate[:, value] + floor[:, value]
            run.record(good[:, value], position, residual, floor[:, value], "estimate", status)
        self.open &= ~good
