"""The images that a Krylov solve is still working on: one record, whose entries shrink together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import compress
from typing import Any, Self

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.linalg import norms
from caso.penalty import Penalty
from caso.solvers.solution import CONVERGED, Solution
from caso.solvers.subspace import Subspace


class Phase(IntEnum):
    """How far the map of an image is, at the value of lambda1 that is being solved."""

    IDLE = 0
    """Nothing is sought, or the map is done."""
    SEEKING = 1
    """The largest eigenvalue is not known well enough for the map."""
    SOLVED = 2
    """The map solves the reduced problem, and awaits its certificate."""
    NOT_FINITE = 3
    """A Hessian-vector product was not finite: there will be no map."""


@dataclass
class State:
    """What is known of each image.

    Attributes:
        index: of the images in the batch, `[b]`.
        numbers: the same, where the device need not be waited for.
        gradient: `g`, `[b, d]`.
        gradient_norm: `[b]`.
        penalty: that lambda1 is the weight of.
        subspace: directions whose products are known.
        delta: maps, `[b, d]`.
        z: the maps' reduced coordinates, `[b, m]`, for as long as the subspace has not grown.
        lambda2_effective: `[b]`.
        penalty_fixed: whether a map has been recorded, so that `lambda2_effective` stays what it is and a path is
            continuous, `[b]`.
        phase: a `Phase` for each image, `[b]`.
        restarts: directions tried in search of eigenvectors orthogonal to the gradient, `[b]`.
        eigenvalue_settled: whether no direction is left in which more could be learnt of it, `[b]`.
        last_residual: of the last map that was certified and not good enough, `[b]`.
    """

    index: Tensor
    numbers: list[int]
    gradient: Tensor
    gradient_norm: Tensor
    penalty: Penalty
    subspace: Subspace
    delta: Tensor
    z: Tensor
    lambda2_effective: Tensor
    penalty_fixed: Tensor
    phase: Tensor
    restarts: Tensor
    eigenvalue_settled: Tensor
    last_residual: Tensor

    @classmethod
    def begin(cls, model: QuadraticModel, solution: Solution, penalty: Penalty) -> Self:
        """Take up the images that have a gradient; for the others, write down that they are done."""
        gradient = model.gradient.flatten(1)
        norm = norms(gradient)
        finite = torch.isfinite(model.logits).all(1) & torch.isfinite(norm)
        solvable = finite & (norm > 0)
        numbers = list(compress(range(len(norm)), solvable.tolist()))
        index = torch.arange(len(norm), device=norm.device)
        if len(numbers) < len(norm):
            solution.discard(index[~finite])
            # Without a gradient the zero map is optimal; where the softmax is saturated, the Hessian is zero, too.
            flat = finite & (norm == 0)
            saturated = flat & (torch.softmax(model.logits, 1).amax(1) == 1)
            solution.mark(index[flat], CONVERGED)
            solution.kkt_residual[flat] = solution.floor[flat] = 0
            solution.lambda_max[saturated] = solution.lambda_max_error[saturated] = 0
            index = index[solvable]
            gradient, norm, penalty = gradient[index], norm[index], penalty.restrict(index)
        none = torch.zeros_like(index, dtype=torch.bool)
        return cls(
            index=index,
            numbers=numbers,
            gradient=gradient,
            gradient_norm=norm,
            penalty=penalty,
            subspace=Subspace(gradient),
            delta=torch.zeros_like(gradient),
            z=norm.new_zeros(len(index), 0),
            lambda2_effective=torch.full_like(norm, torch.nan),
            penalty_fixed=none,
            phase=torch.full_like(index, Phase.IDLE),
            restarts=torch.zeros_like(index),
            eigenvalue_settled=none.clone(),
            last_residual=torch.full_like(norm, torch.inf),
        )

    def restrict(self, images: Tensor, chosen: list[bool]) -> Self:
        """The record of some of the images, by their rows `[k]` and by which they are."""

        def part(value: Any) -> Any:
            if isinstance(value, list):
                return list(compress(value, chosen))
            return value[images] if isinstance(value, Tensor) else value.restrict(images)

        return type(self)(*(part(getattr(self, one.name)) for one in fields(self)))

    @property
    def seeking(self) -> Tensor:
        """Which images seek the largest eigenvalue, `[b]`."""
        return self.phase == Phase.SEEKING

    @property
    def solved(self) -> Tensor:
        """Which images await their certificates, `[b]`."""
        return self.phase == Phase.SOLVED

    @property
    def finite(self) -> Tensor:
        """For which images all products were finite, `[b]`."""
        return self.phase != Phase.NOT_FINITE

    def enter(self, phase: Phase, images: Tensor) -> None:
        """Bring the `images` `[b]` into a phase, but for those whose products are not finite."""
        self.phase = torch.where(images & self.finite, int(phase), self.phase)
