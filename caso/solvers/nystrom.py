"""Nyström's low-rank approximation of the Hessian."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from caso.linalg import combine, dots
from caso.solvers.ritz import RitzPairs
from caso.solvers.subspace import Subspace


@dataclass(frozen=True)
class NystromApproximation:
    """`H ~ (HV) (V'HV)^+ (HV)' = W' diag(s) W`: symmetric, exact on the subspace, better than `V V'HV V'` off it.

    Attributes:
        products: `HV`, `[B, m, d]`.
        mix: `[B, m, m]`; the factors are `W = mix @ HV`, `[B, m, d]`, and never formed.
        signs: `s`, `[B, m]` in {-1, 0, 1}.
        norm: largest magnitude of a Ritz value, `[B]`.
        lowest: magnitude of the smallest Ritz value where that is negative, else 0, `[B]`.
    """

    products: Tensor
    mix: Tensor
    signs: Tensor
    norm: Tensor
    lowest: Tensor

    @staticmethod
    def of(subspace: Subspace, ritz: RitzPairs) -> NystromApproximation:
        """Approximate by all that a subspace knows.

        Ritz values at the level of the products' rounding are left out (s = 0): dividing by them would amplify it.
        """
        eps = torch.finfo(subspace.basis.dtype).eps
        values, zero = ritz.values, torch.zeros_like(ritz.values)
        reliable = ritz.occupied & (values.abs() > 100 * eps * ritz.norm[:, None])
        signs = torch.where(reliable, values.sign(), zero)
        scale = torch.where(reliable, values.abs().rsqrt(), zero)
        lowest = (-values.amin(1)).clamp_min(0)
        return NystromApproximation(subspace.products, scale[..., None] * ritz.vectors.mT, signs, ritz.norm, lowest)

    @property
    def semidefinite(self) -> Tensor:
        """Whether it is positive semidefinite, `[B]`."""
        return ~(self.signs < 0).any(1)

    def restrict(self, images: slice) -> NystromApproximation:
        """The approximations of some images, without copies."""
        return NystromApproximation(*(getattr(self, one.name)[images] for one in fields(self)))

    def combine(self, z: Tensor) -> Tensor:
        """`W'z` for `z` `[B, m]`: `[B, d]`."""
        return combine((z[:, None] @ self.mix)[:, 0], self.products)

    def reduce(self, projections: Tensor) -> Tensor:
        """`diag(s) W D` for maps `D` whose inner products with `HV` are known, `[B, m]`: `[B, m]`."""
        return self.signs * (self.mix @ projections[..., None])[..., 0]

    def coordinates(self, delta: Tensor) -> Tensor:
        """`diag(s) W D` for maps `D` `[B, d]`: `[B, m]`."""
        return self.reduce(dots(self.products, delta[:, None])[..., 0])

    def hvp(self, v: Tensor) -> Tensor:
        """The approximated Hessian times `v` `[B, d]`: `[B, d]`."""
        return self.combine(self.coordinates(v))
