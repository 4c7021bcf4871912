"""Krylov-Newton: certified second-order maps, at one value of lambda1 or along a path, for a few products.

Each step takes one Hessian-vector product an image. The first directions are Krylov's, from the gradient, until the
largest eigenvalue is known; then the problem with the Nystroem approximation of the Hessian is solved without touching
the network (`caso.solvers.reduced`), and the next direction is the new part of that solution. Its product makes the
solution's own residual known, which certifies it, and if that is too large improves the approximation exactly where it
was wrong. A certificate therefore costs no product of its own.

On a path the approximation is kept from value to value. Where the solution hardly leaves the known subspace, its
residual is bounded by `|H - H_approx| * |part outside|`, the first factor being twice what the last product measured
(the largest that any measured, where the solution has just been improved at the same value: what is left outside then
is what the approximation knows least). As soon as the bound exceeds the tolerance, that is, where it is largest, a true
product takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import kkt_residual, norms
from caso.solvers.basis import Basis, Spectrum
from caso.solvers.reduced import ReducedProblem
from caso.solvers.solution import CONVERGED, FLOOR, NOT_FINITE, STOPPED, Solution

_MOST_PRODUCTS = 64
_EIGENVALUE_TOLERANCE = 1e-3
"""Of `lambda_max`, relative, where the map itself does not need it more exactly."""
_SAFETY = 2.0
"""On a measured ratio that stands for a neighbouring value of lambda1."""


@dataclass
class _Batch:
    """The images still being solved: everything that must shrink together when some are done."""

    rows: Tensor
    gradient: Tensor
    norm: Tensor
    basis: Basis
    delta: Tensor
    l2: Tensor
    ratio: Tensor
    """Last measured `|(H - H_approx) D| / |part of D outside|`, `[b]`; NaN before the first measurement."""
    largest_ratio: Tensor
    """Largest measured, `[b]`."""
    z: Tensor
    """Reduced solution of the last value, `[b, m]`, for as long as the basis has not grown."""

    def select(self, keep: Tensor) -> None:
        self.basis.select(keep)
        for name in ("rows", "gradient", "norm", "delta", "l2", "ratio", "largest_ratio", "z"):
            setattr(self, name, getattr(self, name)[keep])


class KrylovRun:
    """One call of [`krylov`][caso.solvers.krylov.krylov]."""

    def __init__(self, problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float) -> None:
        """Set up the images that have a gradient; the others are done."""
        gradient = problem.gradient.flatten(1)
        self.problem, self.shape, self.tol, self.lambda2 = problem, problem.gradient.shape[1:], tol, lambda2
        self.solution = Solution.empty(gradient, lambda1, lambda2)
        norm = norms(gradient)
        finite = torch.isfinite(problem.logits).all(1) & torch.isfinite(norm)
        for row in torch.nonzero(~finite)[:, 0].tolist():
            self.solution.status[row] = [NOT_FINITE] * lambda1.shape[1]
        # Without a gradient the softmax is saturated: p is one-hot, the Hessian is zero, and so is the map.
        flat = finite & (norm == 0)
        for row in torch.nonzero(flat)[:, 0].tolist():
            self.solution.status[row] = [CONVERGED] * lambda1.shape[1]
        for known in (self.solution.kkt_residual, self.solution.floor):
            known[flat] = 0
        self.solution.lambda_max[flat] = self.solution.lambda_max_error[flat] = 0
        rows = torch.nonzero(finite & (norm > 0))[:, 0]
        whole = len(rows) == len(gradient)
        gradient = gradient if whole else gradient[rows]
        nothing = torch.full_like(norm[rows], torch.nan)
        self.batch = _Batch(
            rows, gradient, norm[rows], Basis(gradient), torch.zeros_like(gradient), nothing, nothing.clone(),
            torch.zeros_like(nothing), gradient.new_zeros(len(rows), 0, dtype=torch.float64),
        )  # fmt: skip
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
        if len(rows) < len(wanted):
            directions = directions * wanted.to(directions.dtype)[:, None]
            products = torch.zeros_like(directions).index_copy(0, torch.nonzero(wanted)[:, 0], products)
        self.batch.basis.append(directions, products)
        self.solution.hvps[rows] += 1

    def floor(self) -> Tensor:
        """Residual that the products' rounding alone leaves at the present maps, `[b]`."""
        batch = self.batch
        eps = torch.finfo(batch.delta.dtype).eps
        noise = 4 * batch.basis.asymmetry + 2 * eps * self.spectrum.values.abs().amax(1)
        return noise * norms(batch.delta) / batch.norm

    def record(self, done: Tensor, value: int, residual: Tensor, certificate: str, status: list[str]) -> None:
        """Write down the maps of the images `done` `[b]`."""
        batch, solution = self.batch, self.solution
        rows = batch.rows[done]
        solution.maps[rows, value] = batch.delta[done]
        solution.lambda2_effective[rows, value] = batch.l2[done]
        solution.kkt_residual[rows, value] = residual[done]
        solution.floor[rows, value] = self.floor()[done]
        for place, row in zip(torch.nonzero(done)[:, 0].tolist(), rows.tolist(), strict=True):
            solution.status[row][value] = status[place]
            solution.certificate[row][value] = certificate

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
        batch.z, solved = reduced.solve(lambda1, start, torch.where(pending, self.tolerance(), torch.inf))
        batch.delta = solved if bool(pending.all()) else torch.where(pending[:, None], solved, batch.delta)

    def effective(self, frozen: Tensor) -> Tensor:
        """The effective lambda2 by what is known of the largest eigenvalue, `[b]`; kept where it is `frozen`."""
        return torch.where(frozen, self.batch.l2, self.lambda2 + self.spectrum.largest.clamp_min(0))

    def at(self, value: int, may_bound: bool, may_leave: bool) -> None:
        """Solve every image of the batch at one value of lambda1.

        Args:
            value: its position on the path.
            may_bound: whether a bound will do for a certificate.
            may_leave: whether images that are done leave the batch.
        """
        tol, batch, basis = self.tol, self.batch, self.batch.basis
        eps = 16 * torch.finfo(batch.gradient.dtype).eps
        pending = torch.ones(len(batch.rows), dtype=torch.bool, device=batch.rows.device)
        if basis.size == 0 and len(pending):
            self.product(batch.gradient / batch.norm.to(batch.gradient.dtype)[:, None], pending)
        # Along a path the penalty stays what it was at the first value, so that the path is continuous.
        frozen = ~torch.isnan(batch.l2)
        improved = torch.zeros_like(pending)
        while bool(pending.any()):
            spectrum = self.spectrum
            lambda1 = self.solution.lambda1[batch.rows, value]
            batch.l2 = self.effective(frozen)
            self.solve_reduced(lambda1, pending)
            size = norms(batch.delta) / batch.norm
            outside, share = basis.outside(batch.delta)

            vague = ~frozen & (
                spectrum.error > torch.minimum(_EIGENVALUE_TOLERANCE * spectrum.largest.abs(), tol / size)
            )
            # A part outside that is at rounding level, or too small to matter, leaves nothing to be learnt.
            inside = (share <= eps) | (share * spectrum.values.abs().amax(1) * size <= 0.05 * tol)
            if may_bound:
                ratio = torch.where(improved, batch.largest_ratio, _SAFETY * batch.ratio)
                bound = ratio * share * size + self.floor()
                bounded = pending & ~vague & ~inside & (bound <= tol)
                if bool(bounded.any()):
                    self.record(bounded, value, bound, "bound", [CONVERGED] * len(bounded))
                    pending = pending & ~bounded

            wanted = pending & (~inside | vague)
            if bool((wanted & vague).any()):
                krylov, krylov_share = basis.outside(spectrum.residual)
                outside = torch.where(vague[:, None], krylov, outside)
                wanted &= ~vague | (krylov_share > eps)
            exhausted = basis.size >= _MOST_PRODUCTS
            if bool(wanted.any()) and not exhausted:
                self.product(basis.orthonormal(outside), wanted)
                batch.l2 = self.effective(frozen)
            tried = pending & ~(wanted & vague) if not exhausted else pending
            if bool(tried.any()):
                curved = basis.curved(batch.delta)
                residual = kkt_residual(batch.delta, batch.gradient, curved, lambda1, batch.l2)
                measured = tried & wanted & (share > eps)
                batch.ratio = torch.where(measured, residual / (share * size), batch.ratio)
                batch.largest_ratio = torch.fmax(batch.largest_ratio, batch.ratio)
                improved |= measured
                good = tried & (residual <= tol) & (frozen | (self.spectrum.error * size <= tol))
                done = good | (tried & (~wanted | (residual <= self.floor()))) | (pending & exhausted)
                if bool(done.any()):
                    limit = STOPPED if exhausted else FLOOR
                    self.record(done, value, residual, "product", [CONVERGED if ok else limit for ok in good.tolist()])
                    pending = pending & ~done
            self.conclude()
            if may_leave and not bool(pending.all()):
                keep = torch.nonzero(pending)[:, 0]
                batch.select(keep)
                self._spectrum = None
                pending, frozen, improved = pending[keep], frozen[keep], improved[keep]

    def conclude(self) -> None:
        """Write down what is now known of the largest eigenvalue."""
        self.solution.lambda_max[self.batch.rows] = self.spectrum.largest
        self.solution.lambda_max_error[self.batch.rows] = self.spectrum.error


def krylov(problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float) -> Solution:
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
    last = lambda1.shape[1] - 1
    for value in range(last + 1):
        run.at(value, may_bound=value > 0, may_leave=last == 0)
    return run.solution
