"""Solvers of the explanation problem, one a file, all returning a `Solution` with residual and status."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.solvers.closed_form import closed_form
from caso.solvers.descent import OPTIMIZERS, descent
from caso.solvers.iterative import Iteration
from caso.solvers.path import solve_krylov
from caso.solvers.proximal import proximal
from caso.solvers.solution import Solution

__all__ = ["SOLVERS", "Iteration", "Solution", "solve"]

SOLVERS: tuple[str, ...] = ("krylov", "closed_form", "proximal", *OPTIMIZERS)
"""Every solver by the name it has in configs and results."""


def solve(
    name: str, problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float, order: int, settings: Iteration
) -> Solution:
    """Solve by the solver of that name.

    Args:
        name: one of `SOLVERS`; krylov for second order only.
        problem: the loss around B images.
        lambda1: `[B, L]` float64, ascending along L.
        lambda2: positive.
        tol: on the residual, as a fraction of the gradient's norm.
        order: 1 or 2.
        settings: of the solvers that iterate.
    """
    if name == "krylov":
        return solve_krylov(problem, lambda1, lambda2, tol)
    if name == "closed_form":
        return closed_form(problem, lambda1, lambda2, tol, order)

    def at(values: Tensor) -> Solution:
        if name == "proximal":
            return proximal(problem, values, lambda2, tol, order, settings)
        return descent(problem, values, lambda2, tol, order, settings, name)

    return _beside([at(lambda1[:, i]) for i in range(lambda1.shape[1])])


def _beside(solutions: list[Solution]) -> Solution:
    """Solutions of one value each, put side by side as a path."""

    def along(name: str) -> Tensor:
        return torch.cat([getattr(s, name) for s in solutions], 1)

    def listed(name: str) -> list[list[str]]:
        images = zip(*(getattr(s, name) for s in solutions), strict=True)
        return [[entry for part in image for entry in part] for image in images]

    return Solution(
        maps=along("maps"),
        lambda1=along("lambda1"),
        lambda2_effective=along("lambda2_effective"),
        lambda_max=solutions[0].lambda_max,
        lambda_max_error=solutions[0].lambda_max_error,
        kkt_residual=along("kkt_residual"),
        floor=along("floor"),
        hvps=torch.stack([s.hvps for s in solutions]).sum(0),
        status=listed("status"),
        certificate=listed("certificate"),
    )
