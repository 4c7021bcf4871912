"""How complex a map is, by itself: no network is run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.arguments import Fraction
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score
from caso.metrics.statistics import median


@dataclass(frozen=True)
class Zeros(Metric):
    """Fraction of a map's entries (each channel of each pixel) that are exactly zero."""

    name = "zeros"
    family = "complexity"
    higher_is_better = True
    source = "the program released with Singla et al. 2019, arXiv 1902.00407"
    sentence = "Fraction of the map's entries (each channel of each pixel) that are exactly zero."

    def _score(self, case: Case) -> Score:
        return Score((case.maps.flatten(1) == 0).double().mean(1))


@dataclass(frozen=True)
class Gini(Metric):
    """Gini index of the magnitudes of a map's entries: 0 for a constant map or one of zeros, towards 1 for one peak."""

    name = "gini"
    family = "complexity"
    higher_is_better = True
    source = "Chalasani, Chen, Chowdhury, Jha, Wu 2018, arXiv 1810.06583"
    sentence = (
        "Gini index of the magnitudes of the map's entries: the sum over k of (2 k - n - 1) a_k over n times the sum of"
        " a_k, with a_1 <= ... <= a_n; 0 for a map of zeros."
    )

    def _score(self, case: Case) -> Score:
        ascending = _distribution(case).sort(dim=1).values
        n = ascending.shape[1]
        weights = 2 * torch.arange(1, n + 1, device=ascending.device, dtype=torch.float64) - n - 1
        return Score((ascending @ weights / n).clamp(0, 1))


@dataclass(frozen=True)
class Entropy(Metric):
    """Entropy of the magnitudes of a map's entries as a distribution: 0 for one peak, log n for a constant map."""

    name = "entropy"
    family = "complexity"
    higher_is_better = False
    range = (0.0, None)
    source = "Bhatt, Weller, Moura 2020, arXiv 2005.00631"
    sentence = (
        "Entropy, in nats, of the magnitudes of the map's n entries over their sum; log n for a map of zeros, as for"
        " every constant one."
    )

    def _score(self, case: Case) -> Score:
        shares = _distribution(case)
        return Score(-torch.special.xlogy(shares, shares).sum(1))


@dataclass(frozen=True)
class MedianDifference(Metric):
    """Median of the most relevant pixels minus that of the others, of a map scaled to a maximum of 1.

    Attributes:
        fraction: of pixels that count as the most relevant, rounded to the nearest number, at least one and not all.
    """

    fraction: Fraction = 0.02

    name = "median_difference"
    family = "complexity"
    higher_is_better = True
    source = "the program released with Singla et al. 2019, arXiv 1902.00407; the scaling is chosen here"
    sentence = (
        "Median of the given fraction of most relevant pixels minus the median of the others; relevance is the sum of"
        " the map's magnitudes over the channels, over its largest value; 0 for a map of zeros. The median of an even"
        " number of pixels is the mean of the two middle ones."
    )

    def _score(self, case: Case) -> Score:
        if case.pixels == 1:
            return Score(torch.zeros_like(case.mass[:, 0]))  # one pixel alone differs from nothing
        ascending = case.mass.sort(dim=1).values
        top = min(max(1, round(self.fraction * case.pixels)), case.pixels - 1)
        peak = ascending[:, -1]
        difference = median(ascending[:, -top:]) - median(ascending[:, :-top])
        return Score(difference / peak.where(peak > 0, 1))


def _distribution(case: Case) -> Tensor:
    """Magnitudes of all entries over their sum, `[B, C * H * W]`; a map of zeros counts as constant."""

    def compute() -> Tensor:
        entries = case.maps.flatten(1).nan_to_num(0, 0, 0).abs().double()
        peak = entries.amax(1, keepdim=True)
        # Divided by the peak first, so that no sum overflows or loses tiny entries.
        entries = torch.where(peak > 0, entries / peak.where(peak > 0, 1), 1.0)
        return entries / entries.sum(1, keepdim=True)

    return case.remember("distribution", compute)
