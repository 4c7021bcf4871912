"""Ritz values: what a subspace shows of the Hessian's eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.linalg import combine, norms
from caso.solvers.subspace import Subspace


class RitzPairs:
    """Eigenpairs of the Hessian projected onto a subspace (Rayleigh and Ritz).

    Attributes:
        values: ascending, after a zero for each empty direction, `[B, m]`.
        vectors: in the subspace's basis, `[B, m, m]`.
        occupied: which of them are not for empty directions, `[B, m]`.
        lambda_max: estimate of the largest eigenvalue, `[B]`, not above it but for rounding.
        error: estimate of its error, `[B]`.
        residual: `H u - lambda_max u`, u the leading Ritz vector, `[B, d]`: Krylov's next direction.
    """

    def __init__(self, subspace: Subspace) -> None:
        """Diagonalise the projected Hessian."""
        # Empty directions would be eigenvectors of eigenvalue 0; far below the others, they are the first to come.
        projected, empty = subspace.projected, subspace.empty.sum(1, keepdim=True)
        low = 2 * projected.abs().amax((1, 2)) + 1
        values, self.vectors = torch.linalg.eigh(projected - torch.diag_embed(subspace.empty * low[:, None]))
        self.occupied = torch.arange(subspace.size, device=empty.device) >= empty
        self.values = torch.where(self.occupied, values, torch.zeros_like(values))
        self.lambda_max, u = self.values[:, -1], self.vectors[..., -1]
        self.residual = combine(u, subspace.products) - combine(self.lambda_max[:, None] * u, subspace.basis)
        self.error = self._error(torch.finfo(subspace.basis.dtype).eps)

    @property
    def norm(self) -> Tensor:
        """Largest magnitude of a Ritz value, `[B]`: the Hessian's spectral norm, as far as it is known."""
        return self.values.abs().amax(1)

    def _error(self, eps: float) -> Tensor:
        error = norms(self.residual)
        if self.values.shape[1] > 1:
            # Kato-Temple: the error of a Ritz value is quadratic in its residual, once the gap is resolved.
            gap = self.lambda_max - self.values[:, -2] - error
            error = torch.where(self.occupied[:, -2] & (gap > error), error**2 / gap, error)
        return torch.maximum(error, eps * self.lambda_max.abs())
