"""The whole problem in as many unknowns as the Hessian's approximation has directions.

With `H ~ W' diag(s) W` (`W` `[m, d]`, signs `s`), the optimality conditions read `D = soft(g + W'z, lambda1) / l2` with
`z = diag(s) W D`, that is, `F(z) = z - diag(s) W soft(g + W'z, lambda1) / l2 = 0`: m equations, piecewise linear,
solved by semismooth Newton steps that touch no network. (For the principle: Becker and Fadili, "A quasi-Newton proximal
splitting method", 2012.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.objective import combine, dots, norms, soft_threshold
from caso.solvers.basis import Spectrum

_STEPS = 60
_SHORTEST = 2.0**-30


@dataclass
class _State:
    """An iterate `z` of each image, and what has been computed there."""

    z: Tensor
    """`[B, m]`."""
    value: Tensor
    """`F(z)`, `[B, m]`."""
    size: Tensor
    """Its norm, `[B]`."""
    merit: Tensor
    """What a step must lower: `f(z) = |z|^2 / 2 - |soft(g + W'z, lambda1)|^2 / (2 l2)`, `[B]`."""
    rounding: Tensor
    """How exactly that is known, `[B]`."""
    shrunk: Tensor
    """`soft(g + W'z, lambda1)`, `[B, d]`: the map times `l2`."""

    def update(self, other: _State, where: Tensor, chosen: Tensor) -> None:
        """Take over the images `chosen` of `other` at the rows `where`."""
        for name in ("z", "value", "size", "merit", "rounding", "shrunk"):
            getattr(self, name)[where] = getattr(other, name)[chosen]


class ReducedProblem:
    """The problem for a batch, with the Hessian replaced by a low-rank approximation.

    Vectors of pixels stay in the network's dtype, what is summed over them is float64.

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
        self.convex = ~(self.signs < 0).any(1)

    def _at(self, z: Tensor, lambda1: Tensor, rows: Tensor) -> _State:
        """Evaluate `F` for the images `rows` `[b]`."""
        whole = len(rows) == len(self.gradient)
        gradient, products = (self.gradient, self.products) if whole else (self.gradient[rows], self.products[rows])
        coefficients = torch.einsum("bm,bmk->bk", z, self.mix[rows])
        shrunk = soft_threshold(gradient + combine(coefficients, products), lambda1.to(gradient.dtype)[:, None])
        summed = dots(products, shrunk[:, None])
        value = z - self.signs[rows] * (self.mix[rows] @ summed)[..., 0] / self.l2[rows, None]
        terms = (z**2).sum(1) / 2, norms(shrunk) ** 2 / (2 * self.l2[rows])
        rounding = 4 * torch.finfo(shrunk.dtype).eps * (terms[0] + terms[1])
        return _State(z, value, torch.linalg.vector_norm(value, dim=1), terms[0] - terms[1], rounding, shrunk)

    def _jacobian(self, state: _State, rows: Tensor) -> Tensor:
        """An element of the generalised Jacobian of `F`, `[b, m, m]`: the support as it stands."""
        whole = len(rows) == len(self.gradient)
        products, shrunk = (self.products, state.shrunk) if whole else (self.products[rows], state.shrunk[rows])
        gram = dots(products * (shrunk != 0)[:, None], products)
        scale = (self.signs[rows] / self.l2[rows, None])[..., None]
        identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        return identity - scale * (self.mix[rows] @ gram @ self.mix[rows].mT)

    def solve(self, lambda1: Tensor, start: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
        """Find `z` with `|F(z)| <= tolerance`, image by image.

        For a positive semidefinite approximation, `F` is the gradient of the convex `f`, and Newton steps are
        shortened until they lower it. Otherwise `f` has a saddle, `F` is still strongly monotone, and they are
        shortened until they lower `|F|`. Where no step does, it is a short one along `-F`, which comes nearer.

        Args:
            lambda1: `[B]`.
            start: first guess of `z`, `[B, m]`.
            tolerance: `[B]`; infinite for images that are not to be solved.

        Returns:
            `z` `[B, m]` and the maps `[B, d]`; on exhaustion the last ones, whose quality the certificate then tells.
        """
        every = torch.arange(len(start), device=start.device)
        state = self._at(start.clone(), lambda1, every)
        for _ in range(_STEPS):
            left = every[state.size > tolerance]
            if not len(left):
                break
            step = torch.zeros_like(state.z)
            step[left] = -torch.linalg.solve(self._jacobian(state, left), state.value[left])
            length = 1.0
            while len(left):
                then = self._at(state.z[left] + length * step[left], lambda1[left], left)
                slope = (state.value[left] * step[left]).sum(1)
                lower = then.merit <= state.merit[left] + 1e-4 * length * slope + state.rounding[left]
                smaller = then.size <= (1 - 1e-4 * length) * state.size[left]
                better = torch.where(self.convex[left], lower, smaller) | (then.size <= tolerance[left])
                state.update(then, left[better], better)
                left = left[~better]
                if length <= _SHORTEST and len(left):
                    self._contract(state, lambda1, left)
                    break
                length /= 2
        return state.z, state.shrunk / self.l2.to(state.shrunk.dtype)[:, None]

    def _contract(self, state: _State, lambda1: Tensor, rows: Tensor) -> None:
        """Replace `z` by `z - step * F(z)`, which comes nearer to the solution whatever `|F|` does."""
        step = 1 / (1 + self.negative[rows] / self.l2[rows]) ** 2
        then = self._at(state.z[rows] - step[:, None] * state.value[rows], lambda1[rows], rows)
        state.update(then, rows, torch.arange(len(rows), device=rows.device))

    def curved(self, v: Tensor) -> Tensor:
        """The approximated Hessian times `v` `[B, d]`: `[B, d]`."""
        return combine(torch.einsum("bm,bmk->bk", self.guess(v), self.mix), self.products)

    def guess(self, delta: Tensor) -> Tensor:
        """`z` of given maps `[B, d]`: `[B, m]`."""
        return self.signs * (self.mix @ dots(self.products, delta[:, None]))[..., 0]
