"""Krylov-Newton: certified second-order maps, at one value of lambda1 or along a path, for a few products.

Each step takes one Hessian-vector product an image. The first directions are Krylov's, from the gradient, until the
largest eigenvalue is known; then the problem with the Nystroem approximation of the Hessian is solved without touching
the network (`caso.solvers.reduced`), and the next direction is the new part of that solution. Its product makes the
solution's own residual known, which certifies it, and if that is too large improves the approximation exactly where it
was wrong. A certificate therefore costs no product of its own.

On a path the approximation is kept from value to value, and most values need no product of their own; how their
residuals are bounded is in `caso.solvers.path`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import kkt_residual, norms
from caso.solvers.basis import Basis, Spectrum
from caso.solvers.reduced import ReducedProblem
from caso.solvers.solution import CONVERGED, FLOOR, NOT_FINITE, STOPPED, Solution

_MOST_PRODUCTS = 96
_EIGENVALUE_TOLERANCE = 1e-3
"""Of `lambda_max`, relative, where the map itself does not need it more exactly."""
_ROUNDING = 16.0
"""Error of a product in units of the last place, where it was not measured."""
_FLOOR_REACHED = 30.0
"""How many times the estimate of the floor a residual may be that is called floor."""


@dataclass
class _Batch:
    """The images still being solved: everything that must shrink together when some are done."""

    rows: Tensor
    gradient: Tensor
    norm: Tensor
    basis: Basis
    delta: Tensor
    l2: Tensor
    restarts: Tensor
    """How many directions have been tried in search of eigenvectors orthogonal to the gradient, `[b]`."""
    settled: Tensor
    """Whether no direction is left in which more could be learnt of the largest eigenvalue, `[b]`."""
    usable: Tensor
    """Whether the products so far were finite, `[b]`."""
    frozen: Tensor
    """Whether a map has been recorded, so that `l2` stays what it is and a path is continuous, `[b]`."""
    residual: Tensor
    """Of the last map that a product was taken for, `[b]`."""
    z: Tensor
    """Reduced solution of the last value, `[b, m]`, for as long as the basis has not grown."""

    def select(self, keep: Tensor) -> None:
        self.basis.select(keep)
        for one in fields(self):
            if one.name != "basis":
                setattr(self, one.name, getattr(self, one.name)[keep])


class KrylovRun:
    """Images being solved: their subspaces, and what has been found so far."""

    def __init__(self, problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float) -> None:
        """Set up the images that have a gradient; the others are done."""
        gradient = problem.gradient.flatten(1)
        self.problem, self.shape, self.tol, self.lambda2 = problem, problem.gradient.shape[1:], tol, lambda2
        self.solution = Solution.empty(gradient, lambda1, lambda2)
        norm = norms(gradient)
        finite = torch.isfinite(problem.logits).all(1) & torch.isfinite(norm)
        for row in torch.nonzero(~finite)[:, 0].tolist():
            self.solution.status[row] = [NOT_FINITE] * lambda1.shape[1]
        # Without a gradient the zero map is optimal; where the softmax is saturated, the Hessian is zero, too.
        flat = finite & (norm == 0)
        saturated = flat & (torch.softmax(problem.logits, 1).amax(1) == 1)
        for row in torch.nonzero(flat)[:, 0].tolist():
            self.solution.status[row] = [CONVERGED] * lambda1.shape[1]
        for known in (self.solution.kkt_residual, self.solution.floor):
            known[flat] = 0
        self.solution.lambda_max[saturated] = self.solution.lambda_max_error[saturated] = 0
        rows = torch.nonzero(finite & (norm > 0))[:, 0]
        whole = len(rows) == len(gradient)
        gradient = gradient if whole else gradient[rows]
        no = torch.zeros_like(rows, dtype=torch.bool)
        self.batch = _Batch(
            rows, gradient, norm[rows], Basis(gradient), torch.zeros_like(gradient),
            torch.full_like(norm[rows], torch.nan), torch.zeros_like(rows), no, ~no, no.clone(),
            torch.full_like(norm[rows], torch.inf), norm.new_zeros(len(rows), 0),
        )  # fmt: skip
        self.rounding = 16 * torch.finfo(gradient.dtype).eps
        """A part outside the subspace of this share is noise."""
        self._selected: tuple[list[int], Linearisation] = (list(range(len(problem.gradient))), problem)
        self._spectrum: tuple[int, Spectrum] | None = None

    @property
    def spectrum(self) -> Spectrum:
        """Of the present basis."""
        basis = self.batch.basis
        if self._spectrum is None or self._spectrum[0] != basis.size:
            self._spectrum = basis.size, Spectrum(basis)
        return self._spectrum[1]

    def product(self, directions: Tensor, wanted: Tensor) -> None:
        """Extend the basis by `directions` `[b, d]` where `wanted` `[b]`, elsewhere by nothing."""
        rows = self.batch.rows[wanted]
        names = rows.tolist()
        if self._selected[0] != names:
            self._selected = names, self.problem.select(rows)
        shaped = directions[wanted].view(-1, *self.shape)
        products = self._selected[1].product(shaped).reshape(len(rows), -1)
        finite = torch.isfinite(products).all(1)
        if not bool(finite.all()):
            products = torch.where(finite[:, None], products, torch.zeros_like(products))
            self.give_up(rows[~finite])
            self.batch.usable[wanted] = finite
        if len(rows) < len(wanted):
            directions = directions * wanted.to(directions.dtype)[:, None]
            products = torch.zeros_like(directions).index_copy(0, torch.nonzero(wanted)[:, 0], products)
        self.batch.basis.append(directions, products)
        self.solution.hvps[rows] += 1

    def give_up(self, rows: Tensor) -> None:
        """Write down that the Hessian of the images `rows` is not finite, though their gradient is."""
        solution = self.solution
        solution.maps[rows] = 0
        solution.kkt_residual[rows] = solution.floor[rows] = torch.nan
        solution.lambda_max[rows] = solution.lambda_max_error[rows] = torch.nan
        for row in rows.tolist():
            solution.status[row] = [NOT_FINITE] * solution.lambda1.shape[1]

    def floor(self, size: Tensor) -> Tensor:
        """Residual that the products' rounding alone leaves at maps of norm `size * |g|`, like `size` `[b, ...]`."""
        batch = self.batch
        eps = torch.finfo(batch.delta.dtype).eps
        rounding = self.problem.rounding or _ROUNDING * eps
        noise = rounding * self.spectrum.values.abs().amax(1) + batch.basis.asymmetry + 2 * eps * batch.l2
        return noise.view(-1, *[1] * (size.dim() - 1)) * size + eps

    def record(
        self, done: Tensor, value: Tensor, residual: Tensor, floor: Tensor, certificate: str, status: list[str]
    ) -> None:
        """Write down the certificates of the images `done` `[b]` at the values `value` `[b]`."""
        batch, solution = self.batch, self.solution
        rows, values = batch.rows[done], value[done]
        solution.lambda2_effective[rows, values] = batch.l2[done]
        solution.kkt_residual[rows, values] = residual[done]
        solution.floor[rows, values] = floor[done]
        places = torch.nonzero(done)[:, 0].tolist()
        for place, row, column in zip(places, rows.tolist(), values.tolist(), strict=True):
            solution.status[row][column] = status[place]
            solution.certificate[row][column] = certificate
        batch.frozen = batch.frozen | done

    def reduced(self) -> ReducedProblem:
        """The problem with the Hessian as far as it is known."""
        return ReducedProblem(self.batch.gradient, self.batch.basis.products, self.spectrum, self.batch.l2)

    def tolerance(self) -> Tensor:
        """What the reduced problem's own residual may be, so that it adds little to the map's, `[b]`."""
        return 0.05 * self.tol * self.batch.norm / self.spectrum.values.abs().amax(1).sqrt().clamp_min(1e-300)

    def solve_reduced(self, lambda1: Tensor, pending: Tensor) -> None:
        """Set the maps of the images `pending` `[b]` to the solutions of the reduced problem."""
        batch, reduced = self.batch, self.reduced()
        start = batch.z if batch.z.shape[1] == batch.basis.size else reduced.guess(batch.delta)
        batch.z, solved, _ = reduced.solve(lambda1, start, torch.where(pending, self.tolerance(), torch.inf))
        batch.delta = solved if bool(pending.all()) else torch.where(pending[:, None], solved, batch.delta)

    def update_penalty(self) -> None:
        """Set the effective lambda2 by what is now known of the largest eigenvalue."""
        batch = self.batch
        batch.l2 = torch.where(batch.frozen, batch.l2, self.lambda2 + self.spectrum.largest.clamp_min(0))

    def onward(self, vague: Tensor) -> tuple[Tensor, Tensor]:
        """Directions in which the largest eigenvalue is sought, `[b, d]`, and which of them are more than noise, `[b]`.

        Krylov's. Where that space is exhausted (the gradient lies in an invariant subspace), a random one and then its
        product, since an eigenvector orthogonal to the gradient would never be seen.
        """
        batch, residual = self.batch, self.spectrum.residual
        ended = vague & self.ended() & (batch.restarts < 2)
        if bool(ended.any()):
            draw = torch.randn(residual.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            fresh = torch.where((batch.restarts == 0)[:, None], draw.to(residual), batch.basis.products[:, -1])
            residual = torch.where(ended[:, None], fresh, residual)
            batch.restarts = batch.restarts + ended
        outside, size = batch.basis.outside(residual)
        return outside, size > self.rounding * norms(residual)

    def ended(self) -> Tensor:
        """Whether Krylov's space is exhausted, `[b]`."""
        eps = 64 * torch.finfo(self.batch.gradient.dtype).eps
        return norms(self.spectrum.residual) <= eps * self.spectrum.values.abs().amax(1)

    def exhausted(self) -> Tensor:
        """Whether no more products are allowed, `[b]`."""
        return self.solution.hvps[self.batch.rows] >= min(_MOST_PRODUCTS, self.batch.gradient.shape[1])

    def known(self) -> Tensor:
        """Where nothing more need be learnt of the largest eigenvalue, whatever the map, `[b]`."""
        return self.batch.frozen | self.batch.settled | (self.spectrum.largest + self.spectrum.error < 0)

    def find_eigenvalue(self, lambda1: Tensor, pending: Tensor) -> None:
        """Make the largest eigenvalue known well enough, and set the maps to what the reduced problem then gives.

        Args:
            lambda1: `[b]`.
            pending: which images, `[b]`.
        """
        batch, basis = self.batch, self.batch.basis
        if basis.size == 0:
            self.product(batch.gradient / batch.norm.to(batch.gradient.dtype)[:, None], batch.usable.clone())
        solved = ~pending
        while True:
            pending = pending & batch.usable
            self.update_penalty()
            spectrum, known = self.spectrum, self.known()
            # Before the eigenvalue is known to a fraction of lambda2, the reduced problem may have no solution.
            scale = spectrum.largest.abs().clamp_min(0.01 * self.lambda2)
            loose = (_EIGENVALUE_TOLERANCE * scale).clamp(max=0.1 * self.lambda2)
            # An error at rounding level does not fall any more.
            falls = spectrum.error > 2 * torch.finfo(batch.delta.dtype).eps * spectrum.largest.abs()
            unclear = (spectrum.error > loose) & falls
            vague = pending & ~known & (unclear | (self.ended() & (batch.restarts < 2)))
            clear = pending & ~vague & ~solved
            if bool(clear.any()):
                self.solve_reduced(lambda1, clear)
                wrong = clear & ~known & falls & (spectrum.error * norms(batch.delta) / batch.norm > self.tol)
                solved, vague = solved | (clear & ~wrong), vague | wrong
            if not bool(vague.any()):
                return
            onward, new = self.onward(vague)
            seeking = vague & ~self.exhausted() & new
            batch.settled = batch.settled | (vague & ~seeking)
            if bool(seeking.any()):
                self.product(basis.orthonormal(onward), seeking)

    def certify(self, value: Tensor, pending: Tensor) -> Tensor:
        """Take the products along the new parts of the maps, which makes the maps' residuals known.

        Args:
            value: the maps' positions on the path, `[b]`.
            pending: which images, `[b]`; their maps solve the reduced problem.

        Returns:
            the images whose maps are done, and recorded, `[b]`.
        """
        tol, batch, basis = self.tol, self.batch, self.batch.basis
        lambda1 = self.solution.lambda1[batch.rows, value]
        size = norms(batch.delta) / batch.norm
        outside, beyond = basis.outside(batch.delta)
        beyond = beyond / batch.norm
        # A part outside that is at rounding level, or too small to matter, leaves nothing to be learnt.
        noise, reach = beyond <= self.rounding * size, beyond * self.spectrum.values.abs().amax(1)
        inside = noise | (reach <= 0.05 * tol)
        wanted = pending & ~(inside | self.exhausted())
        if bool(wanted.any()):
            self.product(basis.orthonormal(outside), wanted)
            pending = pending & batch.usable
            self.update_penalty()
        residual = kkt_residual(batch.delta, batch.gradient, basis.curved(batch.delta), lambda1, batch.l2)
        # Of a part outside without a product, all is counted that the Hessian could make of it.
        residual = torch.where(wanted | noise, residual, residual + reach)
        good = pending & (residual <= tol) & (self.known() | (self.spectrum.error * size <= tol))
        floor = self.floor(size)
        near = _FLOOR_REACHED * floor
        stuck = (residual <= near) & (reach <= near) & (residual > 0.5 * batch.residual)
        done = good | (pending & (~wanted | (residual <= floor) | stuck))
        batch.residual = torch.where(done, torch.inf, torch.where(pending, residual, batch.residual))
        if bool(done.any()):
            ending = torch.where(good & (floor <= tol), 0, torch.where(residual <= near, 1, 2)).tolist()
            self.solution.maps[batch.rows[done], value[done]] = batch.delta[done]
            self.record(done, value, residual, floor, "product", [(CONVERGED, FLOOR, STOPPED)[e] for e in ending])
        return done

    def at(self, value: Tensor, among: Tensor | None = None, may_leave: bool = False) -> None:
        """Solve images of the batch, each at one value of lambda1, until it is done.

        Args:
            value: positions on the path, `[b]`.
            among: which images, `[b]`; None for all.
            may_leave: whether images that are done leave the batch.
        """
        pending = self.batch.usable if among is None else self.batch.usable & among
        while bool(pending.any()):
            self.find_eigenvalue(self.solution.lambda1[self.batch.rows, value], pending)
            pending = pending & self.batch.usable
            pending = pending & ~self.certify(value, pending) & self.batch.usable
            self.conclude()
            if may_leave and not bool(pending.all()):
                keep = torch.nonzero(pending)[:, 0]
                self.batch.select(keep)
                self._spectrum = None
                pending, value = pending[keep], value[keep]

    def conclude(self) -> None:
        """Write down what is now known of the largest eigenvalue."""
        usable = self.batch.usable
        self.solution.lambda_max[self.batch.rows[usable]] = self.spectrum.largest[usable]
        self.solution.lambda_max_error[self.batch.rows[usable]] = self.spectrum.error[usable]
