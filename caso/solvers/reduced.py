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
_QUICK = 0.2
"""A step that leaves this much of `|F|` or less is good, whatever the merit."""


@dataclass
class _State:
    """An iterate `z` of each image, and what has been computed there."""

    z: Tensor
    """`[B, m]`."""
    value: Tensor
    """`F(z)`, `[B, m]`."""
    size: Tensor
    """Its norm, `[B]`."""
    shrunk: Tensor
    """`soft(g + W'z, lambda1)`, `[B, d]`: the map times `l2`."""

    def updated(self, other: _State, where: Tensor, chosen: Tensor) -> _State:
        """With the images `chosen` `[k]` of `other` at the rows `where` of those."""
        if len(where) == len(self.z):
            return other
        for name in ("z", "value", "size", "shrunk"):
            getattr(self, name)[where] = getattr(other, name)[chosen]
        return self


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
        self._slope: Tensor | None = None
        self.steady = torch.zeros_like(self.convex)
        """Whose last solve needed no new Jacobian, `[B]`: their support hardly changed."""

    def _at(self, z: Tensor, lambda1: Tensor, rows: Tensor) -> _State:
        """Evaluate `F` for the images `rows` `[b]`."""
        gradient, products, mix, signs, l2 = self._of(rows)
        coefficients = (z[:, None] @ mix)[:, 0]
        shrunk = soft_threshold(gradient + combine(coefficients, products), lambda1.to(gradient.dtype)[:, None])
        summed = dots(products, shrunk[:, None])
        value = z - signs * (mix @ summed)[..., 0] / l2[:, None]
        return _State(z, value, torch.linalg.vector_norm(value, dim=1), shrunk)

    def _merit(self, state: _State, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`f(z) = |z|^2 / 2 - |soft(g + W'z, lambda1)|^2 / (2 l2)` for the images `rows` `[b]`, and its rounding."""
        terms = (state.z**2).sum(1) / 2, norms(state.shrunk) ** 2 / (2 * self.l2[rows])
        return terms[0] - terms[1], 4 * torch.finfo(state.shrunk.dtype).eps * (terms[0] + terms[1])

    def _jacobian(self, state: _State, rows: Tensor) -> Tensor:
        """An element of the generalised Jacobian of `F`, `[b, m, m]`: the support as it stands."""
        _, products, mix, signs, l2 = self._of(rows)
        gram = dots(products * (state.shrunk[rows] != 0)[:, None], products)
        identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        return identity - (signs / l2[:, None])[..., None] * (mix @ gram @ mix.mT)

    def _of(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Gradient, products, mix, signs and effective lambda2 of the images `rows` `[b]`."""
        every = self.gradient, self.products, self.mix, self.signs, self.l2
        if len(rows) == len(self.gradient):
            return every
        gradient, products, mix, signs, l2 = (part[rows] for part in every)
        return gradient, products, mix, signs, l2

    def solve(self, lambda1: Tensor, start: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
        """Find `z` with `|F(z)| <= tolerance`, image by image.

        The last Jacobian serves again for as long as its steps reduce `|F|` well, also from call to call. Otherwise
        Newton steps are taken with a new one. For a positive semidefinite approximation, `F` is the gradient of the
        convex `f`, and they are shortened until they lower it. Otherwise `f` has a saddle, `F` is still strongly
        monotone, and they are shortened until they lower `|F|`. Where no step does, it is a short one along `-F`, which
        comes nearer.

        Args:
            lambda1: `[B]`.
            start: first guess of `z`, `[B, m]`.
            tolerance: `[B]`; infinite for images that are not to be solved.

        Returns:
            `z` `[B, m]` and the maps `[B, d]`; on exhaustion the last ones, whose quality the certificate then tells.
        """
        every = torch.arange(len(start), device=start.device)
        state = self._at(start.clone(), lambda1, every)
        if self._slope is None:
            self._slope = torch.eye(start.shape[1], dtype=start.dtype, device=start.device).repeat(len(start), 1, 1)
        self.steady = torch.ones_like(state.size, dtype=torch.bool)
        usable = self.steady.clone()
        for _ in range(_STEPS):
            left = every[state.size > tolerance]
            if not len(left):
                break
            again = left[usable[left]]
            if len(again):
                step = -torch.linalg.solve(self._slope[again], state.value[again])
                then = self._at(state.z[again] + step, lambda1[again], again)
                quick = (then.size <= _QUICK * state.size[again]) | (then.size <= tolerance[again])
                state = state.updated(then, again[quick], quick)
                usable[again] = quick
            left = left[~usable[left]]
            if len(left):
                self.steady[left] = False
                self._slope[left] = self._jacobian(state, left)
                before = state.size[left]
                state = self._newton(state, lambda1, tolerance, left)
                usable[left] = state.size[left] <= _QUICK * before
        return state.z, state.shrunk / self.l2.to(state.shrunk.dtype)[:, None]

    def _newton(self, state: _State, lambda1: Tensor, tolerance: Tensor, left: Tensor) -> _State:
        """One Newton step of the images `left`, each as long as it may be."""
        assert self._slope is not None
        step = torch.zeros_like(state.z)
        step[left] = -torch.linalg.solve(self._slope[left], state.value[left])
        length = 1.0
        while len(left):
            then = self._at(state.z[left] + length * step[left], lambda1[left], left)
            better = (then.size <= _QUICK * state.size[left]) | (then.size <= tolerance[left])
            if not bool(better.all()):
                before = _State(state.z[left], state.value[left], state.size[left], state.shrunk[left])
                (merit, rounding), (merit_then, _) = self._merit(before, left), self._merit(then, left)
                slope = (before.value * step[left]).sum(1)
                lower = merit_then <= merit + 1e-4 * length * slope + rounding
                smaller = then.size <= (1 - 1e-4 * length) * before.size
                better |= torch.where(self.convex[left], lower, smaller)
            state = state.updated(then, left[better], better)
            left = left[~better]
            if length <= _SHORTEST and len(left):
                return self._contracted(state, lambda1, left)
            length /= 2
        return state

    def _contracted(self, state: _State, lambda1: Tensor, rows: Tensor) -> _State:
        """Replace `z` by `z - step * F(z)`, which comes nearer to the solution whatever `|F|` does."""
        step = 1 / (1 + self.negative[rows] / self.l2[rows]) ** 2
        then = self._at(state.z[rows] - step[:, None] * state.value[rows], lambda1[rows], rows)
        return state.updated(then, rows, torch.arange(len(rows), device=rows.device))

    def curved(self, v: Tensor) -> Tensor:
        """The approximated Hessian times `v` `[B, d]`: `[B, d]`."""
        return combine(torch.einsum("bm,bmk->bk", self.guess(v), self.mix), self.products)

    def guess(self, delta: Tensor) -> Tensor:
        """`z` of given maps `[B, d]`: `[B, m]`."""
        return self.signs * (self.mix @ dots(self.products, delta[:, None]))[..., 0]
