"""The whole problem in as many unknowns as the Hessian's approximation has directions.

With `H ~ W' diag(s) W` (`W` `[m, d]`, signs `s`), the optimality conditions read `D = soft(g + W'z, lambda1) / l2` with
`z = diag(s) W D`, that is, `F(z) = z - diag(s) W soft(g + W'z, lambda1) / l2 = 0`: m equations, piecewise linear,
solved by semismooth Newton steps that touch no network. (For the principle: Becker and Fadili, "A quasi-Newton proximal
splitting method", 2012.)
"""

from __future__ import annotations

import copy
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
    summed: Tensor
    """Its inner products with the Hessian's, `[B, m]`."""

    def updated(self, other: _State, where: Tensor) -> _State:
        """Taken from `other` for the images `where` `[B]`."""
        if bool(where.all()):
            return other
        names = ("z", "value", "size", "shrunk", "summed")
        chosen = {name: where.view(-1, *[1] * (getattr(self, name).dim() - 1)) for name in names}
        return _State(*(torch.where(chosen[n], getattr(other, n), getattr(self, n)) for n in names))


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
        self.negative = (-spectrum.values.amin(1)).clamp_min(0)
        self.strength = spectrum.values.abs().amax(1)
        self.convex = ~(self.signs < 0).any(1)
        eye = torch.eye(self.mix.shape[1], dtype=self.mix.dtype, device=self.mix.device)
        self.slope = eye.repeat(len(gradient), 1, 1)
        """The Jacobians that steps are taken with, `[B, m, m]`."""
        self.steady = torch.zeros_like(self.convex)
        """Whose last solve needed no new Jacobian, `[B]`: their support hardly changed."""

    def part(self, images: slice) -> ReducedProblem:
        """The problem of some images, without copies."""
        part = copy.copy(self)
        for name in ("gradient", "products", "mix", "signs", "l2", "negative", "strength", "convex", "slope", "steady"):
            setattr(part, name, getattr(self, name)[images])
        return part

    def _at(self, z: Tensor, lambda1: Tensor) -> _State:
        """Evaluate `F`, for all images: leaving some out would copy the products of the others."""
        pull = self.gradient + combine((z[:, None] @ self.mix)[:, 0], self.products)
        shrunk = soft_threshold(pull, lambda1.to(pull.dtype)[:, None])
        summed = dots(self.products, shrunk[:, None])[..., 0]
        value = z - self.reduce(summed) / self.l2[:, None]
        return _State(z, value, torch.linalg.vector_norm(value, dim=1), shrunk, summed)

    def _merit(self, state: _State) -> tuple[Tensor, Tensor]:
        """`f(z) = |z|^2 / 2 - |soft(g + W'z, lambda1)|^2 / (2 l2)`, and its rounding, `[B]`."""
        terms = (state.z**2).sum(1) / 2, norms(state.shrunk) ** 2 / (2 * self.l2)
        return terms[0] - terms[1], 4 * torch.finfo(state.shrunk.dtype).eps * (terms[0] + terms[1])

    def _rounding(self, state: _State) -> Tensor:
        """What rounding leaves of `|F|` at a solution, `[B]`."""
        return torch.finfo(state.shrunk.dtype).eps * self.strength.sqrt() * norms(state.shrunk) / self.l2

    def _renew(self, state: _State, rows: list[int]) -> None:
        """Set the Jacobians of some images to an element of the generalised Jacobian of `F` at their iterates."""
        identity = torch.eye(self.slope.shape[1], dtype=self.slope.dtype, device=self.slope.device)
        for row in rows:
            products, mix = self.products[row : row + 1], self.mix[row]
            gram = dots(products * (state.shrunk[row] != 0), products)[0]
            self.slope[row] = identity - (self.signs[row] / self.l2[row])[:, None] * (mix @ gram @ mix.mT)

    def solve(self, lambda1: Tensor, start: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find `z` with `|F(z)| <= tolerance`, image by image.

        The last Jacobian serves again for as long as its steps reduce `|F|` well, also from call to call. Otherwise
        Newton steps are taken with a new one. For a positive semidefinite approximation, `F` is the gradient of the
        convex `f`, and they are shortened until they lower it. Otherwise `f` has a saddle, `F` is still strongly
        monotone, and they are shortened until they lower `|F|`. Where no step does, it is a short one along `-F`, which
        comes nearer.

        Args:
            lambda1: `[B]`.
            start: first guess of `z`, `[B, m]`.
            tolerance: `[B]`; infinite for images that are not to be solved. Below rounding nothing is sought.

        Returns:
            `z` `[B, m]`, the maps `[B, d]` and their inner products with the Hessian's `[B, m]`; on exhaustion the last
            ones, whose quality the certificate then tells.
        """
        state = self._at(start, lambda1)
        self.steady = torch.ones_like(self.convex)
        usable = self.steady
        for _ in range(_STEPS):
            left = state.size > tolerance
            if not bool(left.any()):
                break
            enough = torch.maximum(tolerance, self._rounding(state))
            left = state.size > enough
            if not bool(left.any()):
                break
            again = left & usable
            if bool(again.any()):
                then = self._at(state.z - torch.linalg.solve(self.slope, state.value), lambda1)
                quick = again & ((then.size <= _QUICK * state.size) | (then.size <= enough))
                state, usable = state.updated(then, quick), usable & (quick | ~again)
            left = left & ~usable
            if bool(left.any()):
                self.steady = self.steady & ~left
                self._renew(state, torch.nonzero(left)[:, 0].tolist())
                before = state.size
                state = self._newton(state, lambda1, enough, left)
                usable = usable | (left & (state.size <= _QUICK * before))
        maps = state.shrunk / self.l2.to(state.shrunk.dtype)[:, None]
        return state.z, maps, state.summed / self.l2[:, None]

    def _newton(self, state: _State, lambda1: Tensor, tolerance: Tensor, left: Tensor) -> _State:
        """One Newton step of the images `left` `[B]`, each as long as it may be."""
        step = -torch.linalg.solve(self.slope, state.value) * left[:, None]
        slope = (state.value * step).sum(1)
        length = 1.0
        while True:
            then = self._at(state.z + length * step, lambda1)
            better = (then.size <= _QUICK * state.size) | (then.size <= tolerance)
            if not bool((better | ~left).all()):
                (merit, rounding), (merit_then, _) = self._merit(state), self._merit(then)
                lower = merit_then <= merit + 1e-4 * length * slope + rounding
                smaller = then.size <= (1 - 1e-4 * length) * state.size
                better |= torch.where(self.convex, lower, smaller)
            state = state.updated(then, left & better)
            left = left & ~better
            if not bool(left.any()):
                return state
            step = step * left[:, None]
            if length <= _SHORTEST:
                # What comes nearer to the solution whatever `|F|` does.
                short = 1 / (1 + self.negative / self.l2) ** 2
                return state.updated(self._at(state.z - short[:, None] * state.value, lambda1), left)
            length /= 2

    def curved(self, v: Tensor) -> Tensor:
        """The approximated Hessian times `v` `[B, d]`: `[B, d]`."""
        return combine(torch.einsum("bm,bmk->bk", self.guess(v), self.mix), self.products)

    def guess(self, delta: Tensor) -> Tensor:
        """`z` of given maps `[B, d]`: `[B, m]`."""
        return self.reduce(dots(self.products, delta[:, None])[..., 0])

    def reduce(self, summed: Tensor) -> Tensor:
        """`z` of maps whose inner products with the Hessian's products are known, `[B, m]`: `[B, m]`."""
        return self.signs * (self.mix @ summed[..., None])[..., 0]
