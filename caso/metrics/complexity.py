"""How complex a map is, by itself: no network is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score, require


def _shares(case: Case) -> Tensor:
    """Magnitudes of all entries over their sum, `[B, C * H * W]`; a map of zeros counts as constant."""

    def compute() -> Tensor:
        entries = case.maps.flatten(1).nan_to_num(0, 0, 0).abs().double()
        peak = entries.amax(1, keepdim=True)
        # Divided by the peak first, so that no sum overflows or loses tiny entries.
        entries = torch.where(peak > 0, entries / peak.where(peak > 0, 1), 1.0)
        return entries / entries.sum(1, keepdim=True)

    return case.remember("shares", compute)


@dataclass(frozen=True)
class Zeros(Metric):
    """Fraction of a map's entries (each channel of each pixel) that are exactly zero."""

    name: ClassVar[str] = "zeros"
    family: ClassVar[str] = "complexity"
    higher_is_better: ClassVar[bool] = True
    source: ClassVar[str] = "the program released with Singla et al. 2019, arXiv 1902.00407"
    sentence: ClassVar[str] = "Fraction of the map's entries (each channel of each pixel) that are exactly zero."

    def _score(self, case: Case) -> Score:
        return Score((case.maps.flatten(1) == 0).double().mean(1))


@dataclass(frozen=True)
class Gini(Metric):
    """Gini index of the magnitudes of a map's entries: 0 for a constant map or one of zeros, towards 1 for one peak."""

    name: ClassVar[str] = "gini"
    family: ClassVar[str] = "complexity"
    higher_is_better: ClassVar[bool] = True
    source: ClassVar[str] = "Chalasani, Chen, Chowdhury, Jha, Wu 2018, arXiv 1810.06583"
    sentence: ClassVar[str] = (
        "Gini index of the magnitudes of the map's entries: the sum over k of (2 k - n - 1) a_k over n times the sum of"
        " a_k, with a_1 <= ... <= a_n; 0 for a map of zeros."
    )

    def _score(self, case: Case) -> Score:
        ascending = _shares(case).sort(dim=1).values
        n = ascending.shape[1]
        weights = 2 * torch.arange(1, n + 1, device=ascending.device, dtype=torch.float64) - n - 1
        return Score((ascending @ weights / n).clamp(0, 1))


@dataclass(frozen=True)
class Entropy(Metric):
    """Entropy of the magnitudes of a map's entries as a distribution: 0 for one peak, log n for a constant map."""

    name: ClassVar[str] = "entropy"
    family: ClassVar[str] = "complexity"
    higher_is_better: ClassVar[bool] = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    source: ClassVar[str] = "Bhatt, Weller, Moura 2020, arXiv 2005.00631"
    sentence: ClassVar[str] = (
        "Entropy, in nats, of the magnitudes of the map's n entries over their sum; log n for a map of zeros, as for"
        " every constant one."
    )

    def _score(self, case: Case) -> Score:
        shares = _shares(case)
        return Score(-torch.special.xlogy(shares, shares).sum(1))


@dataclass(frozen=True)
class MedianDifference(Metric):
    """Median of the most relevant pixels minus that of the others, of a map scaled to a maximum of 1.

    Attributes:
        fraction: of pixels that count as the most relevant, rounded to the nearest number, at least one and not all.
    """

    fraction: float = 0.02

    name: ClassVar[str] = "median_difference"
    family: ClassVar[str] = "complexity"
    higher_is_better: ClassVar[bool] = True
    source: ClassVar[str] = "the program released with Singla et al. 2019, arXiv 1902.00407; the scaling is chosen here"
    sentence: ClassVar[str] = (
        "Median of the given fraction of most relevant pixels minus the median of the others; relevance is the sum of"
        " the map's magnitudes over the channels, over its largest value; 0 for a map of zeros. The median of an even"
        " number of pixels is the mean of the two middle ones."
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, 0 < self.fraction < 1, "fraction", "between 0 and 1")

    def _score(self, case: Case) -> Score:
        if case.pixels == 1:
            return Score(torch.zeros_like(case.mass[:, 0]))  # one pixel alone differs from nothing
        ascending = case.mass.sort(dim=1).values
        top = min(max(1, round(self.fraction * case.pixels)), case.pixels - 1)
        peak = ascending[:, -1]
        difference = _middle(ascending[:, -top:]) - _middle(ascending[:, :-top])
        return Score(difference / peak.where(peak > 0, 1))


def _middle(ascending: Tensor) -> Tensor:
    """Median of sorted rows."""
    n = ascending.shape[1]
    return (ascending[:, (n - 1) // 2] + ascending[:, n // 2]) / 2
