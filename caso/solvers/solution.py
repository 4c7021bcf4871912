"""What every solver returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
