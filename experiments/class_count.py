"""The number of classes: the other condition of the paper's theorem on the Hessian's rank."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.drawing import FIRST, MORE, SECOND, draw_interval, draw_panels, draw_series
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import at_most, median, medians, percent
from experiments.sweep import Sweep

_GROUPS = {"under 0.5": (0.0, 0.5), "0.5 to 0.9": (0.5, 0.9), "over 0.9": (0.9, 1.01)}
_Floats = NDArray[np.float64]


def read(sweep: Sweep) -> Result:
    """Follow share and distance along the number of classes kept, by groups of confidence."""
    run = sweep.jobs[0].run
    confidence = run.table["confidence"].to_numpy(float)
    counts, shares = run.curves("restricted_share")
    _, distances = run.curves("restricted_distance")
    table = _by_group(confidence, counts, shares, distances)
    fewest, most = int(counts[0]), int(counts[-1])

    def of(name: str, group: str, classes: int) -> float:
        chosen = table[(table["confidence"] == group) & (table["classes"] == classes)]
        return float(chosen[name].iloc[0])

    two = median(shares[:, 0])
    falls = _steps_that_fall(shares)
    near, far = of("distance", "over 0.9", most), of("distance", "under 0.5", most)
    sure, unsure = of("share", "over 0.9", most), of("share", "under 0.5", most)
    numbers = {
        "images": len(confidence),
        "classes": [int(count) for count in counts],
        "share_of_all_images": {str(int(k)): median(shares[:, i]) for i, k in enumerate(counts)},
        "distance_of_all_images": {str(int(k)): median(distances[:, i]) for i, k in enumerate(counts)},
        "steps_at_which_the_share_falls": falls,
    }
    verdict = judge(
        [
            (at_most(abs(two - 1), 1e-3) if fewest == 2 else None,
             f"Median share with {fewest} classes: {two:.4f}."),
            (at_most(0.9, falls), f"The share falls at {falls:.0%} of the steps to more classes."),
            (at_most(unsure, sure), f"With {most} classes its median is {sure:.3f} over confidence 0.9 and {unsure:.3f}"
             " under 0.5."),
            (at_most(near, far / 3), f"The distance of the maps is then {near:.3f} and {far:.3f}:"
             f" {percent(near, far)} of it."),
        ]
    )  # fmt: skip
    caption = "Medians over the images of a group of confidence, with 95 % bootstrap intervals, along the classes kept."
    return Result([Table("classes", caption, table)], [Picture("classes", caption, _draw(table))], numbers, verdict)


def _by_group(confidence: _Floats, counts: _Floats, shares: _Floats, distances: _Floats) -> pd.DataFrame:
    """A row a group of confidence and number of classes."""
    rows = []
    for group, (low, high) in _GROUPS.items():
        inside = (confidence >= low) & (confidence < high)
        for index, count in enumerate(counts):
            row: dict[str, object] = {"confidence": group, "classes": int(count), "images": int(inside.sum())}
            row |= medians(shares[inside, index], "share") | medians(distances[inside, index], "distance")
            rows.append(row)
    return pd.DataFrame(rows)


def _steps_that_fall(shares: _Floats) -> float:
    steps = np.diff(shares, axis=1)
    steps = steps[~np.isnan(steps)]
    return float(np.mean(steps <= 1e-6)) if steps.size else math.nan


def _draw(table: pd.DataFrame) -> Figure:
    def panel(axis: Axes, name: str) -> None:
        for group, colour in zip(_GROUPS, (FIRST, MORE[0], SECOND), strict=True):
            rows = table[table["confidence"] == group]
            draw_series(axis, rows, "classes", name, colour, f"confidence {group}")
            draw_interval(axis, rows, "classes", name, colour)
        axis.set(xscale="log", xlabel="classes kept")
        axis.set_ylim(bottom=0)

    titles = {"share": "share of the leading eigenvalue", "distance": "distance of CASO's and CAFO's maps"}
    return draw_panels(titles, (9, 3.2), panel)


EXPERIMENT = Experiment(
    position=3,
    title="The number of classes",
    question="How does the Hessian's rank depend on the number of classes that the network chooses among?",
    expectation=(
        "With two classes the Hessian has rank one by its form, and the maps coincide whatever the confidence. Every"
        " further class can only add to its rank, so the share of the leading eigenvalue falls (at 9 of 10 steps or"
        " more); how far depends on how much probability the further classes have. With all classes the share is"
        " larger, and the distance at most a third, for predictions over confidence 0.9 than for those under 0.5."
    ),
    chosen=(
        "The paper's theorem asks for many classes and a confident prediction; networks that differ in nothing but"
        " their number of classes were not at hand. Chosen: one network, with the softmax restricted to the explained"
        " class and the likeliest others, 2, 5, 10, 100 and 1000 in all. On one image that is a change of the softmax,"
        " not of what the network has learnt."
    ),
    read=read,
)
