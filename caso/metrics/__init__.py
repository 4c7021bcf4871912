"""Measures of maps: faithfulness, also by regions, robustness, complexity, sanity; and of the loss itself.

They are given maps and networks, never explainers.

`METRICS` holds every measure by name; its fields are its parameters. Similarities between two maps are plain functions.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from caso.metrics.case import Case, Explain, Network
from caso.metrics.metric import Metric, Score
from caso.metrics.similarity import cosine, jaccard, rank_correlation, topk_overlap
from caso.metrics.statistics import Summary, mean_curve, summarise
from caso.registry import subclasses

__all__ = [
    "FAMILIES",
    "METRICS",
    "Case",
    "Explain",
    "Metric",
    "Network",
    "Score",
    "Summary",
    "cosine",
    "jaccard",
    "make_metric",
    "mean_curve",
    "rank_correlation",
    "summarise",
    "topk_overlap",
]

METRICS: dict[str, type[Metric]] = subclasses(__name__, __path__, Metric)
"""Every metric by its name."""

FAMILIES: dict[str, tuple[str, ...]] = {
    family: tuple(name for name, metric in METRICS.items() if metric.family == family)
    for family in ("faithfulness", "robustness", "complexity", "sanity", "regions", "reach", "curvature")
}
"""The names of each family's metrics."""


def make_metric(name: str, **parameters: Any) -> Metric:
    """Make a metric from its name and parameters.

    Raises:
        ValueError: there is no such metric or parameter, or a value is out of range.
    """
    if name not in METRICS:
        raise ValueError(f"metric {name!r}: must be one of " + ", ".join(METRICS))
    known = [one.name for one in fields(METRICS[name])]
    for key in parameters:
        if key not in known:
            raise ValueError(f"{name}: has no parameter {key!r}; it has " + (", ".join(known) or "none"))
    return METRICS[name](**parameters)
