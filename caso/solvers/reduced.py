"""The whole problem in as many unknowns as the Hessian's approximation has directions.

With `H ~ W' diag(s) W` (`W` `[m, d]`, signs `s`), the optimality conditions read `D = soft(g + W'z, lambda1) / l2` with
`z = diag(s) W D`, that is, `F(z) = z - diag(s) W soft(g + W'z, lambda1) / l2 = 0`: m equations, piecewise linear, solved by
semismooth Newton steps that touch no network. (For the principle: Becker and Fadili, "A quasi-Newton proximal splitting
method", 2012.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.objective import chunks, combine, dots, soft_threshold
from caso.solvers.basis import Spectrum

_STEPS = 60
_SHORTEST = 2.0**-6


@dataclass
class _Evaluation:
    value: Tensor
    """`F(z)`, `[B, m]`."""
    size: Tensor
    """Its norm, `[B]`."""
    jacobian: Tensor
    """An element of its generalised Jacobian, `[B, m, m]`."""

    def update(self, other: _Evaluation, where: Tensor) -> None:
        self.value[where], self.size[where], self.jacobian[where] = other.value, other.size, other.jacobian


class ReducedProblem:
    """The problem for a batch, with the Hessian replaced by a low-rank approximation.

    Args:
        gradient: `g`, `[B, d]`.
        products: `HV`, `[B, m, d]`.
        spectrum: what was found of the Hessian.
        lambda2_effective: `l2`, `[B]`.
    """

    def __init__(self, gradient: Tensor, products: Tensor, spectrum: Spectrum, lambda2_effective: Tensor) -> None:
        """Keep references; nothing is computed yet."""
        self.gradient, self.products = gradient, products
        self.mix, self.signs = spectrum.mix, spectrum.signs
        self.l2 = lambda2_effective
        self.negative = (-spectrum.values[:, 0]).clamp_min(0)

    def _evaluate(self, z: Tensor, lambda1: Tensor, rows: Tensor) -> _Evaluation:
        gradient, products, mix = self.gradient, self.products, self.mix[rows]
        whole = len(rows) == len(gradient)
        coefficients = torch.einsum("bm,bmk->bk", z, mix)
        batch, m, d = len(rows), products.shape[1], gradient.shape[1]
        summed = torch.zeros(batch, m, dtype=torch.float64, device=z.device)
        gram = torch.zeros(batch, m, m, dtype=torch.float64, device=z.device)
        threshold = lambda1[:, None]
        for part in chunks(batch, 3 * m, d, z.device):
            hv = (products[..., part] if whole else products[rows, :, part]).double()
            g = (gradient[:, part] if whole else gradient[rows, part]).double()
            y = torch.baddbmm(g[:, None], coefficients[:, None], hv)[:, 0]
            s = soft_threshold(y, threshold)
            summed += (hv @ s[..., None])[..., 0]
            gram += (hv * (s != 0)[:, None]) @ hv.mT
        scale = self.signs[rows] / self.l2[rows, None]
        value = z - scale * torch.einsum("bmk,bk->bm", mix, summed)
        identity = torch.eye(m, dtype=z.dtype, device=z.device)
        jacobian = identity - scale[..., None] * (mix @ gram @ mix.mT)
        return _Evaluation(value, torch.linalg.vector_norm(value, dim=1), jacobian)

    def solve(self, lambda1: Tensor, start: Tensor, tolerance: Tensor) -> Tensor:
        """Find `z` with `|F(z)| <= tolerance`, image by image.

        Newton steps are shortened until they reduce `|F|`; where none does (a kink), the step is `z - F(z)`, for a
        positive semidefinite approximation the contraction whose fixed point is sought.

        Args:
            lambda1: `[B]`.
            start: first guess of `z`, `[B, m]`.
            tolerance: `[B]`.

        Returns:
            `z` `[B, m]`; on exhaustion the best found, whose quality the certificate then tells.
        """
        z = start.clone()
        rows = torch.arange(len(z), device=z.device)
        now = self._evaluate(z, lambda1, rows)
        for _ in range(_STEPS):
            active = rows[now.size > tolerance]
            if not len(active):
                break
            step = -torch.linalg.solve(now.jacobian[active], now.value[active])
            length = torch.ones(len(active), dtype=z.dtype, device=z.device)
            left = torch.arange(len(active), device=z.device)
            while len(left):
                at = active[left]
                trial = z[at] + length[left, None] * step[left]
                then = self._evaluate(trial, lambda1[at], at)
                better = then.size <= (1 - 1e-4 * length[left]) * now.size[at]
                better |= then.size <= tolerance[at]
                stuck = ~better & (length[left] <= _SHORTEST)
                z[at[better]] = trial[better]
                taken = _Evaluation(then.value[better], then.size[better], then.jacobian[better])
                now.update(taken, at[better])
                if stuck.any():
                    self._contract(z, now, lambda1, at[stuck])
                left = left[~better & ~stuck]
                length[left] /= 2
        return z

    def _contract(self, z: Tensor, now: _Evaluation, lambda1: Tensor, rows: Tensor) -> None:
        """Replace `z` by `z - step * F(z)`, which comes nearer to the solution whatever `|F|` does."""
        step = 1 / (1 + self.negative[rows] / self.l2[rows]) ** 2
        z[rows] -= step[:, None] * now.value[rows]
        now.update(self._evaluate(z[rows], lambda1[rows], rows), rows)

    def guess(self, delta: Tensor) -> Tensor:
        """`z` of given maps `[B, d]`: `[B, m]`."""
        known = dots(self.products, delta[:, None])[..., 0]
        return self.signs * torch.einsum("bmk,bk->bm", self.mix, known)

    def maps(self, z: Tensor, lambda1: Tensor) -> Tensor:
        """The maps `[B, d]` of reduced solutions `z` `[B, m]`, in the gradient's dtype."""
        coefficients = torch.einsum("bm,bmk->bk", z, self.mix)
        delta = torch.empty_like(self.gradient)
        for part in chunks(len(z), self.products.shape[1] + 2, delta.shape[1], delta.device):
            hv, g = self.products[..., part].double(), self.gradient[:, part].double()
            y = torch.baddbmm(g[:, None], coefficients[:, None], hv)[:, 0]
            delta[:, part] = (soft_threshold(y, lambda1[:, None]) / self.l2[:, None]).to(delta.dtype)
        return delta

    def pulls(self, z: Tensor) -> Tensor:
        """`g + W'z`, whose entries beyond lambda1 are the support, `[B, d]`."""
        coefficients = torch.einsum("bm,bmk->bk", z, self.mix)
        return self.gradient + combine(coefficients, self.products)
