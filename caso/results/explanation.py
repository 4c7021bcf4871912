"""Maps of a batch with what is known of each, at one value of lambda1 or along a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from caso.linalg import norms
from caso.objective import sparsity
from caso.regions import RegionTable, region_table
from caso.results.batch import Batch
from caso.solvers import Solution
from caso.solvers.certificate import error_bound


@dataclass(frozen=True)
class Prediction:
    """What the network says of a batch.

    Attributes:
        probabilities: softmax of all classes, float64 `[B, K]`.
        target: class explained, `[B]`.
    """

    probabilities: Tensor
    target: Tensor

    @staticmethod
    def of(logits: Tensor, target: Tensor) -> Prediction:
        """Of logits `[B, K]`; a negative target `[B]` stands for the predicted class."""
        probabilities = torch.softmax(logits.double(), -1)
        return Prediction(probabilities, torch.where(target < 0, probabilities.argmax(-1), target))


@dataclass(frozen=True)
class Curvature:
    """Which Hessian was used.

    Attributes:
        operator: "gauss_newton", "double_backward", "closed_form"; "none" for first order; joined by "and" where tests
            on the images changed it on the way.
        exact: whether that is certainly the Hessian of the network as it was run; None where it is not known.
        evidence: why.
    """

    operator: str
    exact: bool | None
    evidence: str


@dataclass(frozen=True, repr=False)
class _Result(Batch):
    """What single explanations and paths share.

    Attributes:
        images: shape of the batch, `(B, ...)`.
        prediction: of the network.
        solution: maps `[B, L, d]` with their certificates.
        used: the Hessian.
        gradient_norm: `[B]`.
        lambda2: without the largest eigenvalue.
        solver: by name.
        labels: the region of each entry, `[B, d]`; None where maps were found by single entries.
    """

    images: torch.Size
    prediction: Prediction
    solution: Solution
    used: Curvature
    gradient_norm: Tensor
    lambda2: float
    solver: str
    labels: Tensor | None = None

    @classmethod
    def of(
        cls, gradient: Tensor, prediction: Prediction, solution: Solution, used: Curvature, lambda2: float, solver: str
    ) -> Self:
        """Put a result together; `gradient` is shaped like the images."""
        return cls(gradient.shape, prediction, solution, used, norms(gradient.flatten(1)), lambda2, solver)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put the images of several results behind one another."""
        if len(parts) == 1:
            return parts[0]
        first, exact = parts[0], {part.used.exact for part in parts}
        names = dict.fromkeys(part.used.operator for part in parts)
        return cls(
            torch.Size((sum(part.images[0] for part in parts), *first.images[1:])),
            Prediction(
                torch.cat([part.prediction.probabilities for part in parts]),
                torch.cat([part.prediction.target for part in parts]),
            ),
            Solution.below([part.solution for part in parts]),
            Curvature(" and ".join(names), exact.pop() if len(exact) == 1 else None, parts[-1].used.evidence),
            torch.cat([part.gradient_norm for part in parts]),
            first.lambda2,
            first.solver,
        )

    def with_labels(self, labels: Tensor | None) -> Self:
        """The same, with the regions by which the maps were found, `[B, d]`."""
        return replace(self, labels=labels)

    def take(self, index: list[int]) -> Self:
        """The same of some of the images, copied."""
        prediction = Prediction(self.prediction.probabilities[index], self.prediction.target[index])
        return replace(
            self,
            images=torch.Size((len(index), *self.images[1:])),
            prediction=prediction,
            solution=self.solution.take(index),
            gradient_norm=self.gradient_norm[index],
            labels=None if self.labels is None else self.labels[index],
        )

    def _along(self, values: Any) -> Any:
        """Bring values `[B, L, ...]` (or lists of lists) into the result's form."""
        return values

    @property
    def maps(self) -> Tensor:
        """Signed, shaped like the images, `[B, ...]`; of a path `[B, L, ...]`."""
        maps: Tensor = self._along(self.solution.maps.unflatten(-1, self.images[1:]))
        return maps

    @property
    def regions(self) -> list[RegionTable]:
        """The regions of each image, with the order in which they enter its map as lambda1 falls.

        Raises:
            ValueError: the maps were found by single entries.
        """
        if self.labels is None:
            raise ValueError("regions: the maps were found by single entries; give the explainer regions")
        labels = self.labels.view(self.images)
        maps = self.solution.maps.unflatten(-1, self.images[1:])
        return [region_table(*of_image) for of_image in zip(labels, maps, self.solution.lambda1, strict=True)]

    @property
    def target(self) -> Tensor:
        """Class explained, `[B]`."""
        return self.prediction.target

    @property
    def predicted(self) -> Tensor:
        """Class with the largest logit, `[B]`."""
        return self.prediction.probabilities.argmax(-1)

    @property
    def confidence(self) -> Tensor:
        """Softmax probability of the predicted class, `[B]`, from 0 to 1."""
        return self.prediction.probabilities.amax(-1)

    @property
    def target_confidence(self) -> Tensor:
        """Softmax probability of the explained class, `[B]`, from 0 to 1."""
        return self.prediction.probabilities.gather(1, self.target[:, None])[:, 0]

    @property
    def probabilities(self) -> Tensor:
        """Softmax of all classes, float64 `[B, K]`."""
        return self.prediction.probabilities

    @property
    def lambda1(self) -> Tensor:
        """Weight of the L1 norm, `[B]`; of a path `[B, L]`, ascending."""
        values: Tensor = self._along(self.solution.lambda1)
        return values

    @property
    def lambda2_effective(self) -> Tensor:
        """Lambda2, for second order plus the largest eigenvalue, `[B]`; of a path `[B, L]`."""
        values: Tensor = self._along(self.solution.lambda2_effective)
        return values

    @property
    def lambda_max(self) -> Tensor:
        """Largest eigenvalue of the Hessian, `[B]`; NaN for first order."""
        return self.solution.lambda_max

    @property
    def lambda_max_error(self) -> Tensor:
        """Estimate of the largest eigenvalue's error, `[B]`."""
        return self.solution.lambda_max_error

    @cached_property
    def sparsity(self) -> Tensor:
        """Fraction of exact zeros, from 0 to 1, `[B]`; of a path `[B, L]`."""
        maps = self.solution.maps
        values: Tensor = self._along(sparsity(maps.flatten(0, 1)).view(maps.shape[:2]))
        return values

    @property
    def kkt_residual(self) -> Tensor:
        """Violation of the optimality conditions over the gradient's norm, `[B]`; of a path `[B, L]`.

        See `caso.objective.kkt_residual`.
        """
        values: Tensor = self._along(self.solution.kkt_residual)
        return values

    @property
    def error_bound(self) -> Tensor:
        """Bound on the Euclidean distance between map and solution, `(residual + floor) |g| / lambda2`.

        `[B]`; of a path `[B, L]`.
        """
        bound = error_bound(self.solution.kkt_residual, self.solution.floor, self.gradient_norm, self.lambda2)
        values: Tensor = self._along(bound)
        return values

    @property
    def floor(self) -> Tensor:
        """Estimate of the residual that rounding alone leaves, and so of the residual's own error.

        `[B]`; of a path `[B, L]`.
        """
        values: Tensor = self._along(self.solution.floor)
        return values

    @property
    def hvps(self) -> Tensor:
        """Hessian-vector products taken, `[B]`."""
        return self.solution.hvps

    @property
    def status(self) -> list[Any]:
        """One of "converged", "floor", "stopped" or "not_finite" an image, of a path L of them; see `Solution`."""
        entries: list[Any] = self._along(self.solution.status)
        return entries

    @property
    def certificate(self) -> list[Any]:
        """How the residual is known: "product" (by true products) or "estimate"; one an image, of a path L of them."""
        entries: list[Any] = self._along(self.solution.certificate)
        return entries

    @property
    def curvature(self) -> str:
        """The operator; see `Curvature`."""
        return self.used.operator

    @property
    def curvature_exact(self) -> bool | None:
        """Whether that is certainly the network's Hessian; None where it is not known."""
        return self.used.exact

    @property
    def evidence(self) -> str:
        """Why."""
        return self.used.evidence


class Explanation(_Result):
    """Maps of a batch at one value of lambda1, with what is known of each."""

    def _along(self, values: Any) -> Any:
        return values[:, 0] if isinstance(values, Tensor) else [entry[0] for entry in values]


class PathExplanation(_Result):
    """Maps of a batch at L values of lambda1, ascending, with what is known of each."""

    @property
    def explanations(self) -> list[Explanation]:
        """One `Explanation` for each value of lambda1."""
        same = {one.name: getattr(self, one.name) for one in fields(self)}
        columns = range(self.solution.lambda1.shape[1])
        return [Explanation(**same | {"solution": self.solution.column(column)}) for column in columns]
