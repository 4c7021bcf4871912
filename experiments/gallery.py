"""The gallery: maps along lambda1, drawn beforehand, for a slider to go through."""

import math
from typing import Any

from caso.runner.cli.messages import printable
from experiments.photographs import map_uri, photograph_uri, photographs
from experiments.sweep import Job, Sweep

SOURCE = "group_features"
"""The experiment whose runs are shown."""
MOST = 11
"""Photographs; each takes about half a megabyte."""
_SCORES = ("sparsity", "insertion", "deletion", "gini")
_NAMES = {"first": "CAFO, first order", "second": "CASO, second order"}


def make_gallery(sweep: Sweep) -> dict[str, Any]:
    """Draw the maps of both orders along lambda1.

    Args:
        sweep: Of :data:`SOURCE`.

    Returns:
        Plain data for the page: ``lambda1s``, and ``images``, each with its photograph and, for each order, a map and
        its scores at each lambda1.
    """
    paths = {order: sweep.only(order__name=order, regularization__name="path") for order in _NAMES}
    autos = {order: sweep.only(order__name=order, regularization__name="auto") for order in _NAMES}
    table = paths["first"].table
    names = [name for name in dict.fromkeys(table["image"]) if name in paths["second"].run.maps][:MOST]
    pixels = photographs(paths["first"].run, names)
    images = []
    for name in names:
        row = table[table["image"] == name].iloc[0]
        images.append(
            {
                "name": printable(name),
                "predicted": f"{printable(str(row['predicted_name']))}, confidence {row['confidence']:.3f}",
                "photograph": photograph_uri(pixels[name]),
                "orders": {order: _along(paths[order], name) for order in _NAMES},
                "chosen": {order: _chosen(autos[order], name) for order in _NAMES},
            }
        )
    lambda1s = sorted(float(value) for value in set(table["lambda1"]))
    return {"lambda1s": lambda1s, "orders": _NAMES, "sparsity": float(sweep.jobs[0]["sparsity"]), "images": images}


def _along(job: Job, name: str) -> list[dict[str, Any]]:
    rows = job.table[job.table["image"] == name].to_dict("records")
    steps = []
    for row, attribution in zip(rows, job.run.maps[name], strict=True):
        scores = {score: _short(row[score]) for score in _SCORES if score in row}
        steps.append({"lambda1": float(row["lambda1"]), "map": map_uri(attribution), "scores": scores})
    return sorted(steps, key=lambda step: step["lambda1"])


def _chosen(job: Job, name: str) -> float | None:
    rows = job.table[job.table["image"] == name]
    return float(rows["lambda1"].iloc[0]) if len(rows) else None


def _short(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 4)
