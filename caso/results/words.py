"""Results in words: what a certificate says, and a result in a line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from caso.solvers.solution import CONVERGED, FLOOR, STOPPED

_ENDED = {CONVERGED: "converged", FLOOR: "as exact as this precision allows", STOPPED: "stopped early"}
_DOUBTS = {"no": "of an approximate Hessian", "unknown": "whether the Hessian is the network's is not known"}


def number(value: Any) -> str:
    """Write a number for reading, in two or three digits; nothing where there is none."""
    if value is None or math.isnan(value):
        return ""
    value = float(value)
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.3g}"
    if 1000 <= abs(value) < 100_000:
        return f"{value:.0f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def certificate(row: Mapping[str, Any]) -> str:
    """Say how good a map is.

    Args:
        row: what is known of it, under the names of the columns of a run's `results.csv`.

    Returns:
        "converged: residual 6.2e-6 of the gradient; at most 2.1e-5 from the exact map", or what else is the case.
    """
    status = row["status"]
    if status not in _ENDED:
        return f"no map: {status.replace('_', ' ')}"
    estimated = row.get("certificate") == "estimate"
    words = f"{_ENDED[status]}: residual {'about ' * estimated}{number(row.get('kkt_residual'))} of the gradient"
    if status == FLOOR:
        words += f", of which rounding hides up to {number(row.get('floor'))}"
    if bound := number(row.get("error_bound")):
        words += f"; {'by estimate ' * estimated}at most {bound} from the exact map"
    doubt = _DOUBTS.get(str(row.get("curvature_exact"))) if row.get("order") == "second" else None
    return words + (f" ({doubt})" if doubt else "")


def line(result: Any) -> str:
    """An explanation or a path in a line."""
    images, size = len(result), list(result.images[1:])
    order = "first order" if result.curvature == "none" else f"second order ({result.curvature})"
    head = f"{type(result).__name__} of {images} image{'' if images == 1 else 's'} {size}, {order}"
    lambda1 = result.lambda1.flatten().tolist()
    if not lambda1:
        return f"{head}"
    low, high = min(lambda1), max(lambda1)
    values = result.solution.lambda1.shape[1]
    along = f"{values} values of lambda1, " if values > 1 else "lambda1 "
    spread = f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
    states = Counter(status for of_image in result.solution.status for status in of_image)
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in states.items())
    known = [value for value in result.solution.kkt_residual.flatten().tolist() if math.isfinite(value)]
    worst = f", residual at most {number(max(known))}" if known else ""
    return f"{head}, {along}{spread}: {said}{worst}"
