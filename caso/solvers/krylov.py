"""Krylov-Newton: certified second-order maps, at one value of lambda1 or along a path, for a few products.

Each step takes one Hessian-vector product an image. The first directions are Krylov's, from the gradient, until the
largest eigenvalue is known; then the problem with the Nystroem approximation of the Hessian is solved without touching
the network (`caso.solvers.reduced`), and the next direction is the new part of that solution. Its product makes the
solution's own residual known, which certifies it, and if that is too large improves the approximation exactly where it
was wrong. A certificate therefore costs no product of its own.

On a path the approximation is kept from value to value. Where the solution hardly leaves the known subspace, the
residual is bounded by `|H - H_approx| * |part outside|`, the first factor as last measured, doubled; the value with the
largest bound is then checked by a true product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import kkt_residual, norms
from caso.solvers.basis import Basis, Spectrum
from caso.solvers.reduced import ReducedProblem
from caso.solvers.solution import CONVERGED, FLOOR, NOT_FINITE, Solution

_MOST_PRODUCTS = 64
_EIGENVALUE_TOLERANCE = 1e-3
"""Of `lambda_max`, relative, where the map itself does not need it more exactly."""
_SAFETY = 2.0


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
    """Last measured `|(H - H_approx) D| / |new part of D|`; NaN before the first measurement."""

    def select(self, keep: Tensor) -> None:
        self.basis.select(keep)
        for name in ("rows", "gradient", "norm", "delta", "l2", "ratio"):
            setattr(self, name, getattr(self, name)[keep])


class KrylovRun:
    """One call of [`krylov`][caso.solvers.krylov.krylov]."""

    def __init__(self, problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float) -> None:
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
            rows, gradient, norm[rows], Basis(gradient), torch.zeros_like(gradient), nothing, nothing.clone()
        )
        self._selected: tuple[list[int], Linearisation] = (list(range(len(problem.gradient))), problem)

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

    def floor(self, spectrum: Spectrum) -> Tensor:
        """Residual that the products' rounding alone leaves at the present maps, `[b]`."""
        batch = self.batch
        eps = torch.finfo(batch.delta.dtype).eps
        noise = 4 * batch.basis.asymmetry + 2 * eps * spectrum.values.abs().amax(1)
        return noise * norms(batch.delta) / batch.norm

    def record(
        self, done: Tensor, value: int, residual: Tensor, spectrum: Spectrum, certificate: str, status: list[str]
    ) -> None:
        """Write down the maps of the images `done` `[b]`."""
        batch, solution = self.batch, self.solution
        rows = batch.rows[done]
        solution.maps[rows, value] = batch.delta[done]
        solution.lambda2_effective[rows, value] = batch.l2[done]
        solution.kkt_residual[rows, value] = residual[done]
        solution.floor[rows, value] = self.floor(spectrum)[done]
        for place, row in zip(torch.nonzero(done)[:, 0].tolist(), rows.tolist(), strict=True):
            solution.status[row][value] = status[place]
            solution.certificate[row][value] = certificate

    def conclude(self, spectrum: Spectrum) -> None:
        """Write down what is now known of the largest eigenvalue."""
        self.solution.lambda_max[self.batch.rows] = spectrum.largest
        self.solution.lambda_max_error[self.batch.rows] = spectrum.error

    def at(self, value: int, may_bound: bool, may_leave: bool) -> None:
        """Solve every image of the batch at one value of lambda1.

        Args:
            value: its position on the path.
            may_bound: whether a bound will do for a certificate.
            may_leave: whether images that are done leave the batch.
        """
        tol, batch, basis = self.tol, self.batch, self.batch.basis
        pending = torch.ones(len(batch.rows), dtype=torch.bool, device=batch.rows.device)
        if basis.size == 0 and len(pending):
            self.product(batch.gradient / batch.norm.to(batch.gradient.dtype)[:, None], pending)
        frozen = ~torch.isnan(batch.l2)
        while pending.any():
            spectrum = basis.spectrum()
            lambda1 = self.solution.lambda1[batch.rows, value]
            batch.l2 = torch.where(frozen, batch.l2, self.lambda2 + spectrum.largest.clamp_min(0))
            reduced = ReducedProblem(batch.gradient, basis.products, spectrum, batch.l2)
            inner = 0.02 * tol * batch.norm / spectrum.values.abs().amax(1).sqrt().clamp_min(1e-30)
            inner = torch.where(pending, inner, torch.full_like(inner, torch.inf))
            solved = reduced.maps(reduced.solve(lambda1, reduced.guess(batch.delta), inner), lambda1)
            batch.delta = torch.where(pending[:, None], solved, batch.delta)
            size = norms(batch.delta)
            new, share = basis.orthogonal(batch.delta)

            spread = spectrum.error * size / batch.norm
            vague = ~frozen & ((spectrum.error > _EIGENVALUE_TOLERANCE * spectrum.largest.abs()) | (spread > tol))
            exhausted = basis.size >= _MOST_PRODUCTS
            # A new part at rounding level carries no information; the map lies in the known subspace.
            eps = torch.finfo(batch.delta.dtype).eps
            reach = share * spectrum.values.abs().amax(1) * size / batch.norm
            inside = (share <= 16 * eps) | (reach <= 0.05 * tol)
            bound = _SAFETY * batch.ratio * share * size / batch.norm
            bounded = pending & ~vague & ~inside & (bound <= tol) if may_bound else torch.zeros_like(pending)
            if bounded.any():
                self.record(bounded, value, bound, spectrum, "bound", [CONVERGED] * len(bounded))
                pending = pending & ~bounded

            wanted = pending & (~inside | vague)
            if exhausted:
                wanted = torch.zeros_like(pending)
            krylov, krylov_share = basis.orthogonal(spectrum.residual)
            direction = torch.where(vague[:, None], krylov, new)
            wanted &= ~vague | (krylov_share > 16 * eps)
            if wanted.any():
                self.product(direction, wanted)
                spectrum = basis.spectrum()
                moved = self.lambda2 + spectrum.largest.clamp_min(0)
                batch.l2 = torch.where(frozen, batch.l2, moved)
            curved = basis.curved(batch.delta)
            residual = kkt_residual(batch.delta, batch.gradient, curved, lambda1, batch.l2)
            tried = pending & ~(wanted & vague)
            measured = tried & wanted & (share > 16 * eps)
            batch.ratio = torch.where(measured, residual * batch.norm / (share * size), batch.ratio)
            spread = spectrum.error * size / batch.norm
            good = tried & (residual <= tol) & (frozen | (spread <= tol))
            stuck = tried & ~good & (~wanted | (residual <= self.floor(spectrum)))
            done = good | stuck
            if done.any():
                limit = "stopped" if exhausted else FLOOR
                status = [CONVERGED if ok else limit for ok in good.tolist()]
                self.record(done, value, residual, spectrum, "product", status)
                pending = pending & ~done
            self.conclude(spectrum)
            if may_leave and not pending.all():
                keep = torch.nonzero(pending)[:, 0]
                batch.select(keep)
                pending, frozen = pending[keep], frozen[keep]


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
