"""How far the first- and the second-order model of the loss predict it."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import FIRST, SECOND, draw_panels
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.sweep import Job, Sweep

_UNSURE = 0.2
_SMOOTH = "models.smooth"
_DIRECTIONS = {"map": "along the map", "blur": "towards a blurred image", "regions": "one region towards it"}


def _settings(job: Job) -> dict[str, Any]:
    metric = job["metrics.valid_radius"]
    direction = str(metric["direction"])
    explainer = "caso" if job["order.name"] == "second" else "cafo"
    return {
        "network": "smooth" if _SMOOTH in str(job["model.entry"]) else str(job["model.name"]),
        "direction": f"{direction} ({explainer})" if direction == "map" else direction,
        "copies": int(metric["samples"]),
    }


def read(sweep: Sweep) -> Result:
    """Put the radii of both orders beside each other, for each network, direction and number of noisy copies."""
    rows, seen = [], set()
    for job in sweep.jobs:
        settings = _settings(job)
        key = tuple(settings.values())
        if key in seen:  # but for the map's own direction, the explainer makes no difference
            continue
        seen.add(key)
        rows.append(settings | _radii(job.table))
    table = pd.DataFrame(rows)
    plain = [job for job in sweep.jobs if _settings(job)["network"] != "smooth" and _settings(job)["copies"] == 0]
    blur = next(job for job in plain if _settings(job)["direction"] == "blur")
    unsure, sure = _gain(blur.table, below=True), _gain(blur.table, below=False)
    own = table[(table["network"] != "smooth") & (table["copies"] == 0) & table["direction"].str.startswith("map")]
    verdict = judge(
        [
            (None if np.isnan(unsure) else unsure > 1,
             f"Towards a blurred image, confidence under {_UNSURE}: the second-order radius is {unsure:.3g} times the"
             f" first-order one (median); above, {sure:.3g} times."),
            (True, "Along the maps the medians are "
             + ", ".join(f"{row.second_order:.2g} and {row.first_order:.2g} grey levels of 255 ({row.direction})"
                         for row in own.itertuples()) + "."),
        ]
    )  # fmt: skip
    caption = (
        "Medians over the images of the root mean square change of the pixels, in grey levels of 255, up to which each"
        " order predicts the change of the loss to 20 %; and the share of images on which the second order reaches"
        " farther, and less far."
    )
    numbers = {"images": int(table["images"].max()), "gain_unsure": unsure, "gain_sure": sure, "radii": rows}
    errors = "Relative error of the predicted change of the loss towards a blurred image, median over the images."
    return Result([Table("radii", caption, table)], [Picture("errors", errors, _draw(plain))], numbers, verdict)


def _radii(table: pd.DataFrame) -> dict[str, Any]:
    first, second = table["first_order_radius"], table["valid_radius"]
    return {
        "images": len(table),
        "first_order": float(first.median()),
        "second_order": float(second.median()),
        "second_farther": float((second > first).mean()),
        "first_farther": float((first > second).mean()),
    }


def _gain(table: pd.DataFrame, below: bool) -> float:
    """Median quotient of the radii of images whose confidence is below `_UNSURE`, or is not."""
    chosen = table[(table["confidence"] < _UNSURE) == below]
    return float((chosen["valid_radius"] / chosen["first_order_radius"]).median())


def _draw(jobs: list[Job]) -> Figure:
    shown = {str(job["metrics.valid_radius.direction"]): job for job in jobs}

    def draw(axis: Axes, direction: str) -> None:
        for metric, colour, label in (
            ("first_order_radius", FIRST, "first order"),
            ("valid_radius", SECOND, "second order"),
        ):
            x, curves = shown[direction].run.curves(metric)
            axis.plot(x, np.nanmedian(curves, axis=0), color=colour, label=label)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("fraction of the way")

    return draw_panels({name: _DIRECTIONS[name] for name in shown}, (3.0 * len(shown), 2.8), draw)


EXPERIMENT = Experiment(
    position=11,
    title="How far the expansion reaches",
    question="Does the Hessian predict the loss better, or does it only change the map?",
    expectation=(
        f"Towards a blurred image, at a confidence under {_UNSURE}, the second-order model stays within 20 % of the"
        " loss farther than the first-order one; elsewhere hardly, for a ReLU network's kinks are not in its Hessian."
    ),
    chosen=(
        "The paper says when the Hessian changes the map, not whether it predicts the loss. Chosen here: 31 steps from"
        " 1/100 000 to 1 of the way to a blurred image, in single superpixels of it, and as far along the maps; a"
        " smooth network with the same weights, whose ReLU6 are rounded by softplus; and means over 8 noisy copies."
    ),
    read=read,
)
