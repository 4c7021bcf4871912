"""What a run's page says in words: how good a map is, what the numbers mean, how the run ended."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from caso.results import words
from caso.runner.cli.messages import printable

MEANINGS = {
    "confidence": "What the network gives the predicted class, from 0 to 1 (softmax probability).",
    "lambda1": "How strongly sparsity is asked for: the larger, the fewer pixels remain in the map.",
    "sparsity": "The share of a map's entries that are exactly zero, from 0 to 1.",
    "largest eigenvalue": "How strongly the loss curves at this image along its most curved direction; the unconfident"
    " images usually have the large ones.",
    "residual": "How far a map is from satisfying the conditions of the optimum, as a fraction of the gradient:"
    " 0 at the exact map.",
    "error bound": "The exact map is at most this far from the one shown (Euclidean distance over all entries).",
    "floor": "The residual that rounding alone may leave in this precision; no further work brings it lower.",
    "HVPs": "Products with the Hessian spent on the image; each costs about one gradient.",
}
"""A line for each number, for readers who meet it for the first time."""
_SIGNS = {True: "↑", False: "↓", None: ""}
_METHODS = {
    "cafo": "CAFO, first order: the sparse change of the pixels that, by the loss's gradient, raises the loss most.",
    "caso": "CASO, second order: the sparse change of the pixels that, by the loss's gradient and Hessian, raises"
    " the loss most.",
}


def share(value: Any) -> str:
    """Write a share from 0 to 1, such as a sparsity, in three decimals; nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{float(value):.3f}"


def certificate(row: Mapping[str, Any]) -> str:
    """Say how good a map is.

    Args:
        row: Of the results.
    """
    if row["status"] == "computed":
        return "computed as the method says: there was nothing to solve, so there is no certificate"
    if row.get("message"):
        return f"no map: {printable(str(row['message']))}"
    return words.certificate(row)


def methods(names: Sequence[str]) -> list[str]:
    """Say what the maps are, a sentence a method."""
    return [_METHODS.get(name, f"Maps by the method {printable(name.replace('_', ' '))}.") for name in names]


def better(higher: bool | None) -> str:
    """An arrow to a score's better side."""
    return _SIGNS[higher]


def command(arguments: Sequence[str]) -> str:
    """Write a command line as it would be typed, without the machine's folders."""
    if not arguments:
        return ""
    program = PurePath(arguments[0])
    if program.name == "__main__.py":
        start = f"python -m {program.parent.name}"
    else:
        start = f"python {program.name}" if program.suffix == ".py" else program.name
    return printable(" ".join([start, *map(shlex.quote, arguments[1:])]))
