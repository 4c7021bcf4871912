"""A row of the results: what is known of an image's map at one setting.

The columns, their types in the table, and what loggers may read derive from :class:`Row`; ``docs/results.md`` explains
each, and a test compares the two.
"""

from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pandas as pd


@dataclass(frozen=True)
class Row:
    """The columns in the table's order, with their types. What is not known of a map is missing."""

    image: str
    target: int
    target_name: str
    predicted: int
    predicted_name: str
    confidence: float
    target_confidence: float
    label: int
    label_name: str
    label_confidence: float
    correct: bool
    explainer: str
    order: str
    regularization: str
    lambda1: float
    lambda2: float
    lambda2_effective: float
    lambda_max: float
    lambda_max_error: float
    sparsity: float
    kkt_residual: float
    error_bound: float
    certificate: str
    floor: float
    hvps: int
    gradients: float
    seconds: float
    status: str
    message: str
    solver: str
    curvature: str
    curvature_exact: str
    smooth: bool
    times_input: bool
    magnitude: bool
    seed: int
    model: str
    map: str
    picture: str


COLUMNS = tuple(one.name for one in fields(Row))
_TYPES = get_type_hints(Row)
_TEXT = pd.StringDtype("python")  # the only type that holds, and groups by, file names that are no valid text


def typed(column: str, values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Give a column's values the type of its entries; other columns are scores.

    Args:
        column: Its name.
        values: Of any type; None or NaN where they are missing.
    """
    kind = _TYPES.get(column, float)
    if kind is str:
        return values.fillna("").astype(_TEXT)
    if kind is bool:
        return values.astype("boolean")
    numbers = pd.to_numeric(values)
    return numbers.astype("Int64" if kind is int else float)  # an integer type that knows missing values
