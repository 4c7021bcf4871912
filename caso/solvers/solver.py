"""What a solver is: one signature for all, and what it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.penalty import ENTRIES, Penalty
from caso.solvers.solution import Solution


@dataclass(frozen=True)
class Options:
    """Settings of a solve; a solver reads those that concern it.

    Attributes:
        lambda2: weight of the squared L2 penalty, > 0, without the largest eigenvalue.
        tol: on the residual, as a fraction of the gradient's norm.
        n_iter: iterations of the released code's optimisers.
        lr: their initial step.
        init: their start: "zero", or "random", 1e-3 times a standard normal draw, the same for every image.
        seed: of the random start.
        penalty: that lambda1 is the weight of, for the images of the model.
    """

    lambda2: float = 4.0
    tol: float = 1e-3
    n_iter: int = 10
    lr: float = 0.05
    init: str = "zero"
    seed: int = 0
    penalty: Penalty = ENTRIES

    def start(self, gradient: Tensor) -> Tensor:
        """The first iterate for gradients `[B, d]`: `[B, d]`."""
        if self.init == "zero":
            return torch.zeros_like(gradient)
        generator = torch.Generator().manual_seed(self.seed)
        draw = torch.randn(1, gradient.shape[1], generator=generator, dtype=torch.float64)
        return (1e-3 * draw).to(gradient).expand_as(gradient).clone()


Solve = Callable[[QuadraticModel, Tensor, Options], Solution]
"""From a quadratic model of B images and values of lambda1 (`[B, L]` float64, ascending along L) to their maps."""


@dataclass(frozen=True)
class Solver:
    """A solver, and what it serves.

    Attributes:
        name: in configs and results.
        solve: solves.
        orders: of the models that it serves.
        iterates: whether it reads `n_iter`, `lr`, `init` and `seed`.
    """

    name: str
    solve: Solve
    orders: tuple[int, ...] = (1, 2)
    iterates: bool = False
