"""Pixels in the order of their relevance. Everything here treats each row of a batch as one image."""

from __future__ import annotations

import torch
from torch import Tensor

RELEVANCE = (
    "relevance is the sum of the map's magnitudes over the channels, ties by position, row by row; with regions, whole"
    " ones change, in the order of their mean relevance."
)
MEAN_RANKS = "ties share their mean rank; constant maps correlate 1 with each other and 0 with others."
"""For the definitions of metrics: the order of pixels, and Spearman's correlation."""


def pixel_mass(maps: Tensor) -> Tensor:
    """Sum of magnitudes over the channels, `[B, C, H, W]` to `[B, H * W]`, in float64; 0 for what is not finite."""
    magnitude = maps.abs().nan_to_num(0, 0, 0)
    return magnitude.sum(1, dtype=torch.float64).flatten(1)


def ranks(values: Tensor) -> Tensor:
    """Rank of each entry of `[B, n]` in the order of falling values, from 0. Ties: the earlier entry comes first."""
    order = values.argsort(dim=1, descending=True, stable=True)
    position = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, position)


def average_ranks(values: Tensor) -> Tensor:
    """Rank of each entry of `[B, n]` in the order of rising values, from 0; ties share their mean rank. In float64."""
    values = values.contiguous()
    ascending = values.sort(dim=1).values
    below = torch.searchsorted(ascending, values)
    upto = torch.searchsorted(ascending, values, right=True)
    return (below + upto - 1).double() / 2


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of the rows of `[B, n]`, in float64: `[B]`, from -1 to 1.

    A row without variation correlates 1 with another such row, and 0 with any other.
    """
    # Centred and scaled first: sums of squares of tiny entries would underflow.
    a, b = (_scaled(t.double() - t.double().mean(1, keepdim=True)) for t in (a, b))
    return _cosine(a, b)


def cosine_of_rows(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between the rows of `[B, n]`, in float64: `[B]`. Zero rows: 1 with each other, else 0."""
    return _cosine(_scaled(a.double()), _scaled(b.double()))


def _scaled(rows: Tensor) -> Tensor:
    peak = rows.abs().amax(1, keepdim=True)
    return rows / peak.where(peak > 0, 1)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    lengths = a.norm(dim=1), b.norm(dim=1)
    product = lengths[0] * lengths[1]
    cosine = ((a * b).sum(1) / product.where(product > 0, 1)).clamp(-1, 1)
    both_flat = (lengths[0] == 0) & (lengths[1] == 0)
    return torch.where(both_flat, 1.0, cosine)
