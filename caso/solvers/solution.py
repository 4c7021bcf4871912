"""What every solver returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

CONVERGED = "converged"
"""The residual is at most the tolerance asked for, and so is what rounding could hide."""
FLOOR = "floor"
"""The residual, or what rounding could hide of it, is above the tolerance; no product in this precision lowers it."""
STOPPED = "stopped"
"""The solver's iterations ran out before the tolerance was reached."""
NOT_FINITE = "not_finite"
"""The network gave NaN or infinity for this image: there is no map, only zeros."""


_ALONG = ("maps", "lambda1", "lambda2_effective", "kkt_residual", "floor")
"""What has an entry for each value of lambda1, `[B, L, ...]`."""
_LISTED = ("status", "certificate")


@dataclass
class Solution:
    """Maps of a batch at L values of lambda1, and how far they are from the optimum.

    Attributes:
        maps: `[B, L, d]`.
        lambda1: `[B, L]`.
        lambda2_effective: `[B, L]`.
        lambda_max: largest eigenvalue of the Hessian, `[B]`; NaN where it was not sought.
        lambda_max_error: estimate of its error, `[B]`.
        kkt_residual: `[B, L]`, as `caso.objective.kkt_residual` defines it, or the bound on it.
        floor: estimate of the residual that rounding alone leaves, `[B, L]`.
        hvps: Hessian-vector products taken, `[B]`.
        status: `[B][L]`.
        certificate: `[B][L]`: "product" where the residual is formed with a true product at the map, "estimate" where
            it rests on the approximation's error as it was measured nearby.
    """

    maps: Tensor
    lambda1: Tensor
    lambda2_effective: Tensor
    lambda_max: Tensor
    lambda_max_error: Tensor
    kkt_residual: Tensor
    floor: Tensor
    hvps: Tensor
    status: list[list[str]] = field(default_factory=list)
    certificate: list[list[str]] = field(default_factory=list)

    @staticmethod
    def empty(gradient: Tensor, lambda1: Tensor, lambda2: float) -> Solution:
        """Zero maps for gradients `[B, d]` at `lambda1` `[B, L]`, nothing known of them yet."""
        batch, values = lambda1.shape
        unknown = torch.full_like(lambda1, torch.nan)
        return Solution(
            maps=gradient.new_zeros(batch, values, gradient.shape[1]),
            lambda1=lambda1,
            lambda2_effective=torch.full_like(lambda1, lambda2),
            lambda_max=unknown[:, 0].clone(),
            lambda_max_error=unknown[:, 0].clone(),
            kkt_residual=unknown.clone(),
            floor=unknown.clone(),
            hvps=torch.zeros(batch, dtype=torch.long, device=gradient.device),
            status=[[STOPPED] * values for _ in range(batch)],
            certificate=[["product"] * values for _ in range(batch)],
        )

    @staticmethod
    def beside(solutions: Sequence[Solution]) -> Solution:
        """Put solutions of the same images at one value of lambda1 each side by side, as a path."""
        if len(solutions) == 1:
            return solutions[0]
        first = solutions[0]
        images = range(len(first.lambda1))
        joined: dict[str, Any] = {name: torch.cat([getattr(s, name) for s in solutions], 1) for name in _ALONG}
        for name in _LISTED:
            joined[name] = [[entry for s in solutions for entry in getattr(s, name)[image]] for image in images]
        joined["hvps"] = torch.stack([s.hvps for s in solutions]).sum(0)
        return Solution(**joined, lambda_max=first.lambda_max, lambda_max_error=first.lambda_max_error)

    @staticmethod
    def below(solutions: Sequence[Solution]) -> Solution:
        """Put solutions of other images, at as many values of lambda1, behind one another."""
        joined: dict[str, Any] = {}
        for one in fields(Solution):
            values = [getattr(solution, one.name) for solution in solutions]
            tensors = isinstance(values[0], Tensor)
            joined[one.name] = torch.cat(values) if tensors else [entry for value in values for entry in value]
        return Solution(**joined)

    def take(self, index: list[int]) -> Solution:
        """The solution of some of the images, copied."""
        taken: dict[str, Any] = {}
        for one in fields(Solution):
            values = getattr(self, one.name)
            taken[one.name] = values[index] if isinstance(values, Tensor) else [values[i] for i in index]
        return Solution(**taken)

    def column(self, index: int) -> Solution:
        """The solution at one value of lambda1."""
        part: dict[str, Any] = {name: getattr(self, name)[:, index : index + 1] for name in _ALONG}
        part |= {name: [entry[index : index + 1] for entry in getattr(self, name)] for name in _LISTED}
        return replace(self, **part)

    def mark(self, index: Tensor, status: str) -> None:
        """Give all maps of the images `index` `[b]` one status."""
        for image in index.tolist():
            self.status[image] = [status] * self.lambda1.shape[1]

    def discard(self, index: Tensor) -> None:
        """Withdraw the maps of the images `index` `[b]`: something about them is not finite."""
        self.maps[index] = 0
        self.kkt_residual[index] = self.floor[index] = torch.nan
        self.lambda_max[index] = self.lambda_max_error[index] = torch.nan
        self.mark(index, NOT_FINITE)
