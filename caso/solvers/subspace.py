"""A subspace of directions whose Hessian-vector products are known, one for each image of a batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from caso.linalg import combine, dots, largest_entries, norms

_CAPACITY = 16
"""Directions that fit before everything is copied; on a CPU, memory that is not written costs nothing."""


class Subspace:
    """An orthonormal basis `V` and its products `HV`, grown by one direction an image at a time.

    Attributes:
        projected: `V'HV`, symmetric, float64 `[B, m, m]`.
        empty: where an image has no direction, because others needed one more, `[B, m]`.
        asymmetry: what rounding left of `V'HV - (V'HV)'`, `[B]`: a measure of the products' own precision.
    """

    def __init__(self, like: Tensor) -> None:
        """Start empty, for images whose gradients are `like` `[B, d]`."""
        batch, d = like.shape
        self._v = like.new_empty(batch, _CAPACITY, d)
        self._hv = like.new_empty(batch, _CAPACITY, d)
        self.size = 0
        self.projected = torch.zeros(batch, 0, 0, dtype=torch.float64, device=like.device)
        self.empty = torch.zeros(batch, 0, dtype=torch.bool, device=like.device)
        self.asymmetry = torch.zeros(batch, dtype=torch.float64, device=like.device)

    @property
    def basis(self) -> Tensor:
        """`V`, `[B, m, d]`."""
        return self._v[:, : self.size]

    @property
    def products(self) -> Tensor:
        """`HV`, `[B, m, d]`."""
        return self._hv[:, : self.size]

    def orthogonal_part(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The component of `v` `[B, d]` orthogonal to the subspace, `[B, d]`, and its norm, `[B]`."""
        w = v - combine(dots(self.basis, v[:, None])[..., 0], self.basis) if self.size else v
        return w, norms(w)

    def orthonormalise(self, w: Tensor) -> Tensor:
        """Normalise directions `w` `[B, d]` that are orthogonal to the subspace but for rounding, and remove that."""
        tiny, size = torch.finfo(w.dtype).tiny, norms(w)
        for _ in range(2):
            w, size = self.orthogonal_part(w / size.to(w.dtype).clamp_min(tiny)[:, None])
        return w / size.to(w.dtype).clamp_min(tiny)[:, None]

    def append(self, w: Tensor, h_w: Tensor) -> None:
        """Add normalised, orthogonal directions `w` `[B, d]`, zero for images without one, and their products."""
        m = self.size
        if m == self._v.shape[1]:
            self._v = torch.cat([self._v, torch.empty_like(self._v)], 1)
            self._hv = torch.cat([self._hv, torch.empty_like(self._hv)], 1)
        self._v[:, m], self._hv[:, m] = w, h_w
        self.size = m + 1
        self.empty = torch.cat([self.empty, largest_entries(w)[:, None] == 0], 1)
        column = dots(self.basis, h_w[:, None])[..., 0]
        row = dots(self.products[:, :m], w[:, None])[..., 0] if m else column[:, :0]
        grown = torch.zeros(len(w), m + 1, m + 1, dtype=torch.float64, device=w.device)
        grown[:, :m, :m], grown[:, m, m] = self.projected, column[:, m]
        grown[:, :m, m] = (column[:, :m] + row) / 2
        grown[:, m, :m] = grown[:, :m, m]
        if m:
            self.asymmetry = torch.maximum(self.asymmetry, (column[:, :m] - row).abs().amax(1))
        self.projected = grown

    def restrict(self, images: Tensor | slice) -> Subspace:
        """The subspaces of some images; with a slice without copies, and then not to be grown."""
        part = copy.copy(self)
        for name in ("_v", "_hv", "projected", "empty", "asymmetry"):
            setattr(part, name, getattr(self, name)[images])
        return part

    def hvp(self, v: Tensor) -> Tensor:
        """`H v` for `v` `[B, d]` within the subspace: `[B, d]`."""
        return combine(dots(self.basis, v[:, None])[..., 0], self.products)
