"""Arithmetic that several experiments share."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from caso.metrics import summarise

BINS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Bounds of confidence."""


def median(values: Any) -> float:
    """The median of the values that are numbers; NaN of none."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else math.nan


def medians(values: Any, name: str) -> dict[str, float]:
    """A median with its 95 % bootstrap interval, as columns ``name``, ``name_low`` and ``name_high``."""
    short = summarise(torch.tensor(np.asarray(values, dtype=float).tolist(), dtype=torch.float64))
    low, high = short.median_interval
    return {name: short.median, f"{name}_low": low, f"{name}_high": high}


def means(values: Any, name: str) -> dict[str, float]:
    """A mean with its 95 % bootstrap interval, likewise."""
    short = summarise(torch.tensor(np.asarray(values, dtype=float).tolist(), dtype=torch.float64))
    low, high = short.mean_interval
    return {name: short.mean, f"{name}_low": low, f"{name}_high": high}


def percent(part: float, whole: float) -> str:
    """A part of a whole in words; also where one is not known."""
    return f"{part / whole:.0%}" if whole and part == part and whole == whole else "an unknown part"


def at_most(value: float, bound: float) -> bool | None:
    """Whether a number is at most another; None where one is not known."""
    return None if math.isnan(value) or math.isnan(bound) else value <= bound


def rank_correlation(a: Any, b: Any) -> float:
    """Spearman's correlation of two lists of numbers; NaN where one is constant or has fewer than three."""
    both = pd.DataFrame({"a": np.asarray(a, dtype=float), "b": np.asarray(b, dtype=float)}).dropna().rank()
    if len(both) < 3 or both["a"].nunique() < 2 or both["b"].nunique() < 2:
        return math.nan
    return float(np.corrcoef(both["a"], both["b"])[0, 1])


def unit_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Euclidean distance of two maps, each scaled to length 1: from 0 to 2; NaN where one is zero."""
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    return float(np.linalg.norm(a / lengths[0] - b / lengths[1])) if min(lengths) > 0 else math.nan


def by_confidence(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Medians with intervals by bins of confidence.

    Args:
        table: With a column ``confidence``.
        columns: Whose medians are sought.
    """
    rows = []
    for low, high in itertools.pairwise(BINS):
        last = high == BINS[-1]
        inside = table[(table["confidence"] >= low) & ((table["confidence"] < high) | last)]
        row: dict[str, Any] = {"confidence": f"{low:g} to {high:g}", "images": len(inside)}
        for column in columns:
            row |= medians(inside[column], column)
        rows.append(row)
    return pd.DataFrame(rows)
