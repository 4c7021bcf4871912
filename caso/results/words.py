"""Results in words: what a certificate says, and a result in a line."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from caso.solvers.solution import CONVERGED, FLOOR, NOT_FINITE, STOPPED

_STATUS = {
    CONVERGED: "converged",
    FLOOR: "as close as this precision allows",
    STOPPED: "stopped before the tolerance was reached",
}


def certificate(status: str, kind: str, residual: float, error_bound: float, exact: bool | None = True) -> str:
    """Say what is certain of a map.

    Args:
        status: as of `Solution`.
        kind: its certificate, "product" or "estimate".
        residual: relative to the gradient's norm.
        error_bound: on the Euclidean distance to the exact map.
        exact: whether the curvature is certainly the network's Hessian; None where it is not known.

    Returns:
        "converged: residual 6.2e-06 of the gradient, at most 2.1e-05 from the exact map", and what limits it.
    """
    if status == NOT_FINITE:
        return "no map: the network gave NaN or infinity"
    said = f"{_STATUS.get(status, status)}: residual {number(residual)} of the gradient"
    if kind == "estimate":
        said += ", by an estimate"
    if math.isfinite(error_bound):
        said += f", at most {number(error_bound)} from the exact map"
    if exact is not True:
        said += f" (of a curvature that is {'not' if exact is False else 'not known to be'} the network's Hessian)"
    return said


def line(result: Any) -> str:
    """An explanation or a path in a line."""
    count, size = len(result), list(result.images[1:])
    order = "first order" if result.curvature == "none" else f"second order ({result.curvature})"
    head = f"{type(result).__name__} of {count} image{'' if count == 1 else 's'} {size}, {order}"
    lambda1 = result.lambda1.flatten().tolist()
    if not lambda1:
        return f"{head}"
    low, high = min(lambda1), max(lambda1)
    values = result.solution.lambda1.shape[1]
    along = f"{values} values of lambda1, " if values > 1 else "lambda1 "
    spread = f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
    states = Counter(status for of_image in result.solution.status for status in of_image)
    said = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in states.items())
    known = [value for value in result.solution.kkt_residual.flatten().tolist() if math.isfinite(value)]
    worst = f", residual at most {number(max(known))}" if known else ""
    return f"{head}, {along}{spread}: {said}{worst}"


def number(value: float) -> str:
    """A small number in short."""
    return "unknown" if math.isnan(value) else f"{value:.1e}"
