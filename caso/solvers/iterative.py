"""What the released code's optimisers share: power iteration, starting point, and the final judgement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import norms
from caso.solvers.closed_form import judge
from caso.solvers.solution import Solution

POWER_ITERATIONS = 10
"""The released code's number."""


@dataclass(frozen=True)
class Iteration:
    """Settings of the released code's optimisers.

    Attributes:
        n_iter: iterations.
        lr: initial step.
        init: "zero", or "random": 1e-3 times a standard normal draw, the same for every image.
        seed: of the random start.
    """

    n_iter: int = 10
    lr: float = 0.05
    init: str = "zero"
    seed: int = 0

    def start(self, gradient: Tensor) -> Tensor:
        """The first iterate, `[B, d]`."""
        if self.init == "zero":
            return torch.zeros_like(gradient)
        generator = torch.Generator().manual_seed(self.seed)
        draw = torch.randn(1, gradient.shape[1], generator=generator, dtype=torch.float64)
        return (1e-3 * draw).to(gradient).expand_as(gradient).clone()


class Objective:
    """The smooth part of the objective for a batch at one lambda1, counting its products.

    Attributes:
        gradient: `g`, `[B, d]`.
        l1: `[B, 1]`.
        l2: effective lambda2, `[B, 1]`.
        products: Hessian-vector products taken so far, an image.
    """

    def __init__(self, problem: Linearisation, lambda1: Tensor, lambda2: float, order: int) -> None:
        """Estimate the largest eigenvalue by power iteration (second order), and set the penalties."""
        self._problem, self._order = problem, order
        self.gradient = problem.gradient.flatten(1)
        self.products = 0
        self.largest = torch.full(lambda1.shape, torch.nan, dtype=torch.float64, device=lambda1.device)
        self.error = self.largest.clone()
        l2 = torch.full_like(lambda1, lambda2)
        if order == 2:
            self._power_iteration()
            l2 = l2 + self.largest.clamp_min(0).nan_to_num()
        self.l1, self.l2 = (t.to(self.gradient.dtype)[:, None] for t in (lambda1, l2))

    def _power_iteration(self) -> None:
        v = self.gradient / norms(self.gradient).clamp_min(1e-300).to(self.gradient.dtype)[:, None]
        for _ in range(POWER_ITERATIONS):
            curved = self.curved(v)
            self.largest = (v.double() * curved.double()).sum(1)
            self.error = norms(curved - self.largest.to(v.dtype)[:, None] * v)
            v = curved / norms(curved).clamp_min(1e-300).to(v.dtype)[:, None]

    def curved(self, delta: Tensor) -> Tensor:
        """`H delta`, `[B, d]`: one product (none for first order)."""
        if self._order == 1:
            return torch.zeros_like(delta)
        self.products += 1
        return self._problem.product(delta.view_as(self._problem.gradient)).reshape(delta.shape)

    def descent(self, delta: Tensor, curved: Tensor) -> Tensor:
        """Gradient of the smooth part to be minimised, `l2 D - g - H D`, `[B, d]`."""
        return self.l2 * delta - self.gradient - curved

    def smooth(self, delta: Tensor, curved: Tensor) -> Tensor:
        """The smooth part to be minimised, `l2 |D|^2 / 2 - g'D - D'HD / 2`, float64 `[B]`."""
        return (delta.double() * (self.l2 * delta / 2 - self.gradient - curved / 2).double()).sum(1)

    def finish(self, delta: Tensor, lambda1: Tensor, tol: float) -> Solution:
        """Judge the last iterate by a product of its own."""
        solution = Solution.empty(self.gradient, lambda1[:, None], 0.0)
        solution.lambda2_effective[:, 0] = self.l2[:, 0].double()
        solution.lambda_max, solution.lambda_max_error = self.largest, self.error
        judge(solution, self._problem, self.curved(delta), delta, 0, tol)
        solution.hvps += self.products
        return solution
