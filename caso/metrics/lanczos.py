"""The largest eigenvalue of a symmetric matrix that is known by its products, with its eigenvector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MOST = 60
"""Products at most."""


def leading_pair(product: Callable[[Tensor], Tensor], start: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Lanczos's method with full reorthogonalisation, for some matrices at once, in float64.

    Each matrix stops by itself, so that its result does not depend on the others. The eigenvalue found is the largest
    of those whose eigenvectors the start has a part of.

    Args:
        product: `[b, d]` to `[b, d]`, each row by its own matrix.
        start: `[b, d]`; where it is zero, a random vector that is the same for all.
        tolerance: of the residual `|H u - theta u|`, relative to the largest magnitude of an eigenvalue.

    Returns:
        eigenvalues `[b]` and unit eigenvectors `[b, d]`; NaN where products are not finite, or after `MOST` products.
    """
    start = start.double()
    count, size = start.shape
    fine = torch.isfinite(start).all(1)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(start.device)
    start = torch.where((start == 0).all(1, keepdim=True), noise, start.nan_to_num(0, 0, 0))
    basis = _unit(start)[:, None]
    tridiagonal = start.new_zeros(count, MOST + 1, MOST + 1)
    value, vector = start.new_full((count,), torch.nan), torch.full_like(start, torch.nan)
    done = ~fine
    for step in range(min(MOST, size)):
        image = product(basis[:, -1]).double()
        fine &= torch.isfinite(image).all(1)
        image = image.nan_to_num(0, 0, 0)
        for _ in range(2):
            parts = torch.einsum("bmd,bd->bm", basis, image)
            image = image - torch.einsum("bmd,bm->bd", basis, parts)
            tridiagonal[:, step, step] += parts[:, -1]
        length = image.norm(dim=1)
        values, vectors = torch.linalg.eigh(tridiagonal[:, : step + 1, : step + 1])
        residual = length * vectors[:, -1, -1].abs()
        last = step + 1 == size
        found = ~done & (last | (residual <= tolerance * values.abs().amax(1)))
        value = torch.where(found, values[:, -1], value)
        vector = torch.where(found[:, None], torch.einsum("bmd,bm->bd", basis, vectors[:, :, -1]), vector)
        done |= found | ~fine
        if bool(done.all()):
            break
        tridiagonal[:, step, step + 1] = tridiagonal[:, step + 1, step] = length
        basis = torch.cat([basis, _unit(image)[:, None]], 1)
    return torch.where(fine, value, torch.nan), torch.where(fine[:, None], vector, torch.nan)


def _unit(rows: Tensor) -> Tensor:
    lengths = rows.norm(dim=1, keepdim=True)
    return rows / lengths.where(lengths > 0, 1)
