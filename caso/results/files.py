"""Results as files, which hold tensors, numbers and text alone, so that reading one runs no code."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

_FORMAT = "caso explanation 1"


def save(result: Any, path: Path) -> None:
    """Write an `Explanation` or a `PathExplanation`."""
    content = {one.name: getattr(result, one.name) for one in fields(result)}
    for name in ("prediction", "solution", "used"):
        part = content[name]
        content[name] = {one.name: getattr(part, one.name) for one in fields(part)}
    content["images"] = list(result.images)
    torch.save({"format": _FORMAT, "kind": type(result).__name__, "content": _detached(content)}, path)


def load(path: str | Path) -> Any:
    """Read an explanation or a path of explanations that was saved, onto the CPU.

    Args:
        path: of the file.

    Returns:
        An `Explanation` or a `PathExplanation`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    from caso.results.explanation import Curvature, Explanation, PathExplanation, Prediction
    from caso.solvers import Solution

    kinds = {one.__name__: one for one in (Explanation, PathExplanation)}
    with Path(path).open("rb") as file:
        try:
            found = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ValueError(f"{path}: holds no explanation that was saved by caso") from error
    if not (isinstance(found, dict) and {"format", "kind", "content"} <= found.keys()):
        raise ValueError(f"{path}: holds no explanation that was saved by caso")
    if found["format"] != _FORMAT:
        raise ValueError(f"{path}: its format is {found['format']}; this version reads {_FORMAT}")
    content = dict(found["content"])
    parts = {"prediction": Prediction, "solution": Solution, "used": Curvature}
    content |= {name: kind(**content[name]) for name, kind in parts.items()}
    return kinds[found["kind"]](**content | {"images": torch.Size(content["images"])})


def _detached(value: Any) -> Any:
    """Tensors without their history, and with their own entries alone: a view would be written whole."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _detached(one) for key, one in value.items()}
    return value
