"""How alike two maps are. Plain functions of two batches of maps `[B, C, H, W]`, one figure an image, float64.

Where a function speaks of pixels, a pixel's relevance is the sum of the map's magnitudes over its channels. Maps that
are not finite have NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from caso.metrics.ranking import average_ranks, correlation, cosine_of_rows, pixel_mass, ranks


def _of_finite(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def guarded(a: Tensor, b: Tensor, *more: float) -> Tensor:
        if a.shape != b.shape or a.dim() != 4:
            raise ValueError(f"maps of shapes {tuple(a.shape)} and {tuple(b.shape)}: must be the same, [B, C, H, W]")
        finite = torch.isfinite(a).flatten(1).all(1) & torch.isfinite(b).flatten(1).all(1)
        return torch.where(finite, function(a, b, *more), torch.nan)

    return guarded


def _common(a: Tensor, b: Tensor, count: int) -> Tensor:
    """How many pixels are among the first `count` of both, `[B]`."""
    first = [ranks(pixel_mass(t)) < count for t in (a, b)]
    return (first[0] & first[1]).sum(1)


@_of_finite
def topk_overlap(a: Tensor, b: Tensor, k: int = 1000) -> Tensor:
    """Fraction of the k most relevant pixels that two maps have in common: `[B]`, from 0 to 1.

    `k` is at most the number of pixels. Ties are broken by position, row by row.
    """
    count = min(int(k), a.shape[2] * a.shape[3])
    return _common(a, b, count).double() / count


@_of_finite
def jaccard(a: Tensor, b: Tensor, fraction: float = 0.1) -> Tensor:
    """Jaccard index of the sets of most relevant pixels, intersection over union: `[B]`, from 0 to 1.

    The sets hold `fraction` of the pixels, rounded to the nearest number, at least one. Ties are broken by position.
    """
    count = max(1, round(fraction * a.shape[2] * a.shape[3]))
    common = _common(a, b, count).double()
    return common / (2 * count - common)


@_of_finite
def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation of the pixels' relevances: `[B]`, from -1 to 1.

    Ties share their mean rank. Maps whose pixels are all equally relevant: 1 with each other, 0 with any other.
    """
    return correlation(average_ranks(pixel_mass(a)), average_ranks(pixel_mass(b)))


@_of_finite
def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between the signed maps, as vectors of all entries: `[B]`, from -1 to 1.

    Zero maps: 1 with each other, 0 with any other.
    """
    return cosine_of_rows(a.flatten(1), b.flatten(1))
