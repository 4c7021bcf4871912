"""The largest eigenvalue of the Hessian, on which the problem's penalty depends: sought along Krylov's directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from caso.linalg import any_of, norms
from caso.solvers.state import Phase

if TYPE_CHECKING:
    from caso.solvers.krylov import KrylovNewton

_TOLERANCE = 1e-3
"""Of `lambda_max`, relative, where the map itself does not need it more exactly."""
_RESTARTS = 2


def seek_eigenvalue(solve: KrylovNewton, lambda1: Tensor) -> None:
    """Make the largest eigenvalue known well enough, and set the maps to what the reduced problem then gives.

    Args:
        solve: in progress; its images that seek are solved afterwards, but for those with products that are not finite.
        lambda1: `[b]`.
    """
    state = solve.state
    if state.subspace.size == 0:
        solve.append(state.gradient / state.gradient_norm.to(state.gradient.dtype)[:, None], state.finite)
    while True:
        solve.update_penalty()
        ready = state.seeking & ~(_unclear(solve) & ~eigenvalue_known(solve))
        some_ready, some_not, left, invariant = any_of(ready, ~ready, state.seeking, _restartable(solve))
        if some_ready:
            solve.solve_reduced(lambda1, ready, everyone=not some_not)
            state.enter(Phase.SOLVED, ready & ~_too_vague_for_map(solve))
            (left,) = any_of(state.seeking)
        if not left:
            return
        direction, new = _next_direction(solve, invariant)
        expandable = state.seeking & ~solve.exhausted() & new
        state.eigenvalue_settled = state.eigenvalue_settled | (state.seeking & ~expandable)
        solve.expand(direction, expandable)


def eigenvalue_known(solve: KrylovNewton) -> Tensor:
    """Where nothing more need be learnt of the largest eigenvalue, whatever the map, `[b]`."""
    negative = solve.ritz.lambda_max + solve.ritz.error < 0
    return solve.state.penalty_fixed | solve.state.eigenvalue_settled | negative


def _unclear(solve: KrylovNewton) -> Tensor:
    """Where the reduced problem may have no solution yet, since the eigenvalue is not known to a part of lambda2."""
    scale = solve.ritz.lambda_max.abs().clamp_min(0.01 * solve.options.lambda2)
    loose = (_TOLERANCE * scale).clamp(max=0.1 * solve.options.lambda2)
    return ((solve.ritz.error > loose) & _falls(solve)) | _restartable(solve)


def _too_vague_for_map(solve: KrylovNewton) -> Tensor:
    """Where the eigenvalue's error moves the map by more than the tolerance, `[b]`."""
    moved = solve.ritz.error * norms(solve.state.delta) / solve.state.gradient_norm
    return ~eigenvalue_known(solve) & _falls(solve) & (moved > solve.options.tol)


def _falls(solve: KrylovNewton) -> Tensor:
    """Where the eigenvalue's error is above rounding, below which it does not fall any more, `[b]`."""
    eps = torch.finfo(solve.state.delta.dtype).eps
    return solve.ritz.error > 2 * eps * solve.ritz.lambda_max.abs()


def _invariant(solve: KrylovNewton) -> Tensor:
    """Where the subspace is invariant, so that Krylov's next direction is rounding, `[b]`."""
    eps = 64 * torch.finfo(solve.state.gradient.dtype).eps
    return norms(solve.ritz.residual) <= eps * solve.ritz.norm


def _restartable(solve: KrylovNewton) -> Tensor:
    """Where an eigenvector orthogonal to the gradient may hide, and has not been looked for often enough, `[b]`."""
    return _invariant(solve) & (solve.state.restarts < _RESTARTS)


def _next_direction(solve: KrylovNewton, some_restart: bool) -> tuple[Tensor, Tensor]:
    """Directions in which the largest eigenvalue is sought, `[b, d]`, and which of them are more than noise, `[b]`.

    Krylov's. Where that space is exhausted (the gradient lies in an invariant subspace), a random one and then its
    product, since an eigenvector orthogonal to the gradient would never be seen; `some_restart` says whether any space
    is.
    """
    state, residual = solve.state, solve.ritz.residual
    if some_restart:
        restarted = state.seeking & _restartable(solve)
        draw = torch.randn(residual.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        fresh = torch.where((state.restarts == 0)[:, None], draw.to(residual), state.subspace.products[:, -1])
        residual = torch.where(restarted[:, None], fresh, residual)
        state.restarts = state.restarts + restarted
    part, size = state.subspace.orthogonal_part(residual)
    return part, size > solve.negligible_part * norms(residual)
