"""What a metric returns, and what every metric states of itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from caso.arguments import check_fields, one_of
from caso.metrics.case import Case
from caso.precision import full_precision

Followed = Annotated[str, one_of("predicted", "target")]
"""The class that a metric follows: the one predicted for the untouched image, or the explained one."""


@dataclass(frozen=True)
class Score:
    """The result of a metric.

    Attributes:
        values: one an image, `[B]`, float64. NaN where the map is not finite or the network gives NaN; other
            reasons are stated by the metric.
        curve: `[B, S]`, float64, where the metric has one.
        x: where the curve was taken, `[S]`, float64.
    """

    values: Tensor
    curve: Tensor | None = None
    x: Tensor | None = None


@dataclass(frozen=True)
class Metric:
    """A measure of maps. Its fields are its parameters; their annotations state the allowed values.

    Class attributes:
        name: key in `caso.metrics.METRICS`.
        family: faithfulness, robustness, complexity, sanity, regions, reach or curvature.
        higher_is_better: direction; None where neither is better.
        range: smallest and largest value; None where there is no bound.
        source: where the definition comes from.
        sentence: the definition, in a sentence.
        axes: what the curve's axes show; empty without a curve.
        needs: what a `Case` must hold beside the maps: "explain", "explain_with", "regions".
    """

    name: ClassVar[str]
    family: ClassVar[str]
    higher_is_better: ClassVar[bool | None]
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    source: ClassVar[str]
    sentence: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Check the parameters; a list becomes a tuple.

        Raises:
            ValueError: a value is out of range.
        """
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, list):
                object.__setattr__(self, one.name, tuple(value))
        check_fields(self, f"{self.name}: ")

    @property
    def passes(self) -> int:
        """Forward passes an image, at most; without those of the explanations."""
        return 0

    @property
    def backward_passes(self) -> int:
        """Backward passes an image, at most; a product with the Hessian is two. Without those of the explanations."""
        return 0

    @property
    def explanations(self) -> int:
        """Further maps an image: one for metrics that explain again, unless they say otherwise."""
        return 1 if {"explain", "explain_with"} & set(self.needs) else 0

    @property
    def definition(self) -> dict[str, Any]:
        """All that is needed to compute the score again; ready for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            "name": self.name,
            "sentence": self.sentence,
            "parameters": {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()},
            "higher_is_better": self.higher_is_better,
            "range": list(self.range),
            "source": self.source,
            "passes": self.passes,
            "backward_passes": self.backward_passes,
            "explanations": self.explanations,
        }

    def score(self, case: Case) -> Score:
        """Score every image's map.

        Raises:
            ValueError: the case lacks what the metric needs.
        """
        for need in self.needs:
            if getattr(case, need) is None:
                raise ValueError(f"{self.name}: needs the case's {need}, which is None")
        with full_precision(case.images.device):
            found = self._score(case)
        keep = case.finite.to(found.values.device)
        values = torch.where(keep, found.values.double(), torch.nan)
        curve = None if found.curve is None else torch.where(keep[:, None], found.curve.double(), torch.nan)
        return Score(values, curve, found.x)

    def _score(self, case: Case) -> Score:
        raise NotImplementedError
