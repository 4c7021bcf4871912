"""The penalised objective as the released code's optimisers see it: power iteration, value and gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.linalg import norms
from caso.solvers.certificate import certify
from caso.solvers.solution import Solution
from caso.solvers.solver import Options

_POWER_ITERATIONS = 10
"""The released code's number."""


class PenalisedObjective:
    """The objective's smooth part for a batch at one value of lambda1, to be minimised; counts its products.

    Attributes:
        gradient: `g`, `[B, d]`.
        l1: `[B]`, float64.
        l2: effective lambda2, `[B, 1]`.
        penalty: that lambda1 is the weight of.
        hvps: Hessian-vector products taken so far, an image.
    """

    def __init__(self, model: QuadraticModel, lambda1: Tensor, options: Options) -> None:
        """Estimate the largest eigenvalue by power iteration (second order), and set the penalties.

        Args:
            model: of B images.
            lambda1: `[B]` float64.
            options: `lambda2`, and `tol` for the status.
        """
        self._model, self._options = model, options
        self.gradient = model.gradient.flatten(1)
        self.hvps = 0
        self.lambda_max = torch.full(lambda1.shape, torch.nan, dtype=torch.float64, device=lambda1.device)
        self.lambda_max_error = self.lambda_max.clone()
        l2 = torch.full_like(lambda1, options.lambda2)
        if model.order == 2:
            self._power_iteration()
            l2 = l2 + self.lambda_max.clamp_min(0).nan_to_num()
        self.l1, self.l2, self.penalty = lambda1, l2.to(self.gradient.dtype)[:, None], options.penalty

    def _power_iteration(self) -> None:
        v = self.gradient / norms(self.gradient).clamp_min(1e-300).to(self.gradient.dtype)[:, None]
        for _ in range(_POWER_ITERATIONS):
            h_v = self.hvp(v)
            self.lambda_max = (v.double() * h_v.double()).sum(1)
            self.lambda_max_error = norms(h_v - self.lambda_max.to(v.dtype)[:, None] * v)
            v = h_v / norms(h_v).clamp_min(1e-300).to(v.dtype)[:, None]

    def hvp(self, delta: Tensor) -> Tensor:
        """`H delta`, `[B, d]`: one product (none for first order)."""
        self.hvps += self._model.order - 1
        return self._model.hvp(delta)

    def smooth_gradient(self, delta: Tensor, h_delta: Tensor) -> Tensor:
        """Gradient of the smooth part, `l2 D - g - H D`, `[B, d]`."""
        return self.l2 * delta - self.gradient - h_delta

    def smooth_value(self, delta: Tensor, h_delta: Tensor) -> Tensor:
        """The smooth part, `l2 |D|^2 / 2 - g'D - D'HD / 2`, float64 `[B]`."""
        return (delta.double() * (self.l2 * delta / 2 - self.gradient - h_delta / 2).double()).sum(1)

    def certified(self, delta: Tensor) -> Solution:
        """The solution `delta` `[B, d]`, certified by a product of its own."""
        solution = Solution.empty(self.gradient, self.l1[:, None], self._options.lambda2)
        solution.lambda2_effective[:, 0] = self.l2[:, 0].double()
        solution.lambda_max, solution.lambda_max_error = self.lambda_max, self.lambda_max_error
        certify(solution, self._model, delta, self.hvp(delta), 0, self._options)
        solution.hvps += self.hvps
        return solution


def value_by_value(
    solve: Callable[[QuadraticModel, Tensor, Options], Solution],
    model: QuadraticModel,
    lambda1: Tensor,
    options: Options,
) -> Solution:
    """Solve for each column of `lambda1` `[B, L]` anew by `solve`, which takes one value an image, `[B]`."""
    return Solution.beside([solve(model, column, options) for column in lambda1.unbind(1)])
