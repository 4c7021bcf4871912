"""A subspace of directions whose Hessian products are known, one for each image of a batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from caso.objective import combine, dots, norms

_ROOM = 16
"""Directions that fit before everything is copied; on a CPU, memory that is not written costs nothing."""


class Basis:
    """Orthonormal directions `V` and their products `HV`, grown by one direction an image at a time.

    Attributes:
        directions: `V`, `[B, m, d]`.
        products: `HV`, `[B, m, d]`.
        projected: `V'HV`, symmetric, float64 `[B, m, m]`.
        empty: where an image has no direction, because others needed one more, `[B, m]`.
        asymmetry: what rounding left of `V'HV - (V'HV)'`, `[B]`: a measure of the products' own precision.
    """

    def __init__(self, like: Tensor) -> None:
        """Start empty, for images whose gradients are `like` `[B, d]`."""
        batch, d = like.shape
        self._v = like.new_empty(batch, _ROOM, d)
        self._hv = like.new_empty(batch, _ROOM, d)
        self.size = 0
        self.projected = torch.zeros(batch, 0, 0, dtype=torch.float64, device=like.device)
        self.empty = torch.zeros(batch, 0, dtype=torch.bool, device=like.device)
        self.asymmetry = torch.zeros(batch, dtype=torch.float64, device=like.device)

    @property
    def directions(self) -> Tensor:
        """`V`, `[B, m, d]`."""
        return self._v[:, : self.size]

    @property
    def products(self) -> Tensor:
        """`HV`, `[B, m, d]`."""
        return self._hv[:, : self.size]

    def outside(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The part of `v` `[B, d]` outside the subspace, `[B, d]`, and its norm, `[B]`."""
        w = v - combine(dots(self.directions, v[:, None])[..., 0], self.directions) if self.size else v
        return w, norms(w)

    def orthonormal(self, w: Tensor) -> Tensor:
        """Normalise directions `w` `[B, d]` that lie outside but for rounding, and remove that."""
        tiny, size = torch.finfo(w.dtype).tiny, norms(w)
        for _ in range(2):
            w, size = self.outside(w / size.to(w.dtype).clamp_min(tiny)[:, None])
        return w / size.to(w.dtype).clamp_min(tiny)[:, None]

    def append(self, w: Tensor, product: Tensor) -> None:
        """Add normalised, orthogonal directions `w` `[B, d]`, zero for images without one, and their products."""
        m = self.size
        if m == self._v.shape[1]:
            self._v = torch.cat([self._v, torch.empty_like(self._v)], 1)
            self._hv = torch.cat([self._hv, torch.empty_like(self._hv)], 1)
        self._v[:, m], self._hv[:, m] = w, product
        self.size = m + 1
        self.empty = torch.cat([self.empty, (w == 0).all(1, keepdim=True)], 1)
        columns = dots(self.directions, product[:, None])[..., 0]
        row = dots(self.products[:, :m], w[:, None])[..., 0] if m else columns[:, :0]
        grown = torch.zeros(len(w), m + 1, m + 1, dtype=torch.float64, device=w.device)
        grown[:, :m, :m], grown[:, m, m] = self.projected, columns[:, m]
        grown[:, :m, m] = (columns[:, :m] + row) / 2
        grown[:, m, :m] = grown[:, :m, m]
        if m:
            self.asymmetry = torch.maximum(self.asymmetry, (columns[:, :m] - row).abs().amax(1))
        self.projected = grown

    def select(self, rows: Tensor) -> None:
        """Keep the images in `rows` `[b]` alone."""
        self._v, self._hv = self._v[rows], self._hv[rows]
        self.projected = self.projected[rows]
        self.empty, self.asymmetry = self.empty[rows], self.asymmetry[rows]

    def part(self, images: slice) -> Basis:
        """The subspaces of some images, without copies; not to be grown."""
        part = copy.copy(self)
        for name in ("_v", "_hv", "projected", "empty", "asymmetry"):
            setattr(part, name, getattr(self, name)[images])
        return part

    def curved(self, v: Tensor) -> Tensor:
        """`H v` for `v` `[B, d]` within the subspace: `[B, d]`."""
        return combine(dots(self.directions, v[:, None])[..., 0], self.products)

    def spectrum(self) -> Spectrum:
        """The Hessian as seen through the subspace."""
        return Spectrum(self)


class Spectrum:
    """Ritz values of the Hessian, and its low-rank approximation.

    The approximation is Nystroem's, `(HV) (V'HV)^+ (HV)'`: symmetric, exact on the subspace, better than `V V'HV V'`
    off it. Ritz values at the level of the products' rounding are left out, since dividing by them would amplify it.

    Attributes:
        values: Ritz values, ascending, after a zero for each empty direction, `[B, m]`.
        largest: estimate of `lambda_max`, `[B]`, not above it but for rounding.
        error: estimate of its error, `[B]`.
        residual: `H u - largest u`, u the leading Ritz vector, `[B, d]`: where Krylov's method goes on.
        signs: `[B, m]` in {-1, 0, 1}.
        mix: `[B, m, m]`; `W = mix @ HV` are the factors of the approximation `W' diag(signs) W`.
    """

    def __init__(self, basis: Basis) -> None:
        """Diagonalise the projected Hessian of `basis`."""
        # Empty directions would be eigenvectors of eigenvalue 0; far below the others, they are the first to come.
        projected, empty = basis.projected, basis.empty.sum(1, keepdim=True)
        low = 2 * projected.abs().amax((1, 2)) + 1
        self.values, vectors = torch.linalg.eigh(projected - torch.diag_embed(basis.empty * low[:, None]))
        true = torch.arange(basis.size, device=empty.device) >= empty
        self.values = torch.where(true, self.values, torch.zeros_like(self.values))
        eps = torch.finfo(basis.directions.dtype).eps
        self.largest, u = self.values[:, -1], vectors[..., -1]
        self.residual = combine(u, basis.products) - combine(self.largest[:, None] * u, basis.directions)
        self.error = norms(self.residual)
        if basis.size > 1:
            # Kato-Temple: the error of a Ritz value is quadratic in its residual, once the gap is resolved.
            gap = self.largest - self.values[:, -2] - self.error
            quadratic = self.error**2 / gap
            self.error = torch.where(true[:, -2] & (gap > self.error), quadratic, self.error)
        self.error = torch.maximum(self.error, eps * self.largest.abs())
        reliable = true & (self.values.abs() > 100 * eps * self.values.abs().amax(1, keepdim=True))
        self.signs = torch.where(reliable, self.values.sign(), torch.zeros_like(self.values))
        scale = torch.where(reliable, self.values.abs().rsqrt(), torch.zeros_like(self.values))
        self.mix = scale[..., None] * vectors.mT
