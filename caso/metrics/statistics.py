"""Summaries of scores: mean, median, and their bootstrap intervals over the images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_AT_ONCE = 4_000_000
"""Drawn scores in memory at once."""


@dataclass(frozen=True)
class Summary:
    """A summary of scores. All figures but the counts are NaN where there is no score.

    Attributes:
        count: scores that are numbers.
        missing: scores that are NaN; they are left out.
        mean: of the scores.
        mean_interval: bootstrap interval of the mean.
        median: the mean of the two middle scores where their number is even.
        median_interval: bootstrap interval of the median.
    """

    count: int
    missing: int
    mean: float
    mean_interval: tuple[float, float]
    median: float
    median_interval: tuple[float, float]


def summarise(values: Tensor, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> Summary:
    """Mean and median of one score an image, with percentile bootstrap intervals over the images.

    To compare two methods, summarise the differences of their scores image by image: the interval then accounts for
    both having seen the same images.

    Args:
        values: `[B]`; NaN where an image has no score.
        resamples: draws of as many images, with replacement.
        level: of the intervals, between 0 and 1.
        seed: of the draws.

    Raises:
        ValueError: an argument is out of range.
    """
    if values.dim() != 1 or resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"values of shape {tuple(values.shape)}, resamples={resamples!r}, level={level!r}: must be [B], at least 1,"
            " between 0 and 1"
        )
    values = values.detach().double().cpu()
    known = values[~values.isnan()]
    count, missing = len(known), len(values) - len(known)
    if count == 0:
        nothing = (math.nan, math.nan)
        return Summary(0, missing, math.nan, nothing, math.nan, nothing)
    generator = torch.Generator().manual_seed(seed)
    means, medians = [], []
    for chunk in torch.arange(resamples).split(max(1, _AT_ONCE // count)):
        drawn = known[torch.randint(count, (len(chunk), count), generator=generator)]
        means.append(drawn.mean(1))
        medians.append(median(drawn.sort(dim=1).values))
    mean_interval, median_interval = (_interval(torch.cat(drawn), level) for drawn in (means, medians))
    middle = float(median(known.sort().values[None]))
    return Summary(count, missing, float(known.mean()), mean_interval, middle, median_interval)


def mean_curve(
    curves: Tensor, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of curves, one an image, with a percentile bootstrap interval over the images at each point.

    Args:
        curves: `[B, S]`; rows with NaN are left out.
        resamples: draws of as many images, with replacement; the same at every point.
        level: of the intervals, between 0 and 1.
        seed: of the draws.

    Returns:
        Mean and both ends of the interval, each `[S]` in float64; NaN where there is no curve.
    """
    curves = curves.detach().double().cpu()
    known = curves[~curves.isnan().any(1)]
    count, points = known.shape
    if count == 0:
        nothing = torch.full((points,), math.nan, dtype=torch.float64)
        return nothing, nothing, nothing
    generator = torch.Generator().manual_seed(seed)
    means = []
    for chunk in torch.arange(resamples).split(max(1, _AT_ONCE // count)):
        drawn = torch.randint(count, (len(chunk), count), generator=generator)
        times = torch.zeros(len(chunk), count, dtype=torch.float64)
        times.scatter_add_(1, drawn, torch.ones_like(times))  # how often each image was drawn
        means.append(times @ known / count)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(ends, dim=0)
    return known.mean(0), low, high


def median(ascending: Tensor) -> Tensor:
    """Median of each sorted row of `[B, n]`: `[B]`; the mean of the two middle entries where n is even."""
    n = ascending.shape[1]
    return (ascending[:, (n - 1) // 2] + ascending[:, n // 2]) / 2


def _interval(drawn: Tensor, level: float) -> tuple[float, float]:
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = drawn.quantile(ends).tolist()
    return low, high
