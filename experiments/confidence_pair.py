"""Pictures of confident and unconfident predictions, CAFO beside CASO."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from caso import plot
from caso.metrics import jaccard
from experiments.drawing import new_figure, show_image
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import at_most, percent, unit_distance
from experiments.photographs import photographs
from experiments.sweep import Sweep

_MOST = 24
"""Images drawn: the least and the most confident ones."""
_BESIDE = 2


def read(sweep: Sweep) -> Result:
    """Put the two magnitudes of each image beside each other, the least confident image first."""
    jobs = {order: sweep.only(order__name=order) for order in ("first", "second")}
    table = jobs["second"].table[["image", "predicted_name", "confidence"]].sort_values("confidence", ignore_index=True)
    table = table[[name in jobs["first"].run.maps for name in table["image"]]].reset_index(drop=True)
    pairs = {name: tuple(job.run.maps[name] for job in jobs.values()) for name in table["image"]}
    table["distance"] = [unit_distance(np.sqrt(a), np.sqrt(b)) for a, b in pairs.values()]
    table["jaccard"] = [
        float(jaccard(torch.from_numpy(a)[None], torch.from_numpy(b)[None])[0]) for a, b in pairs.values()
    ]
    least, most = table.iloc[0], table.iloc[-1]
    several = len(table) > 1
    holds = at_most(float(most["distance"]), float(least["distance"]) / 3) if several else None
    sentence = (
        f"Distance {most['distance']:.3f} at confidence {most['confidence']:.3f}, {least['distance']:.3f} at"
        f" {least['confidence']:.3f}: {percent(most['distance'], least['distance'])} of it. Top tenths of the pixels in"
        f" common (Jaccard index): {most['jaccard']:.2f} and {least['jaccard']:.2f}."
        if several
        else "One image has no other to be compared with."
    )
    numbers = {
        "images": len(table),
        "most_confident": {key: float(most[key]) for key in ("confidence", "distance", "jaccard")},
        "least_confident": {key: float(least[key]) for key in ("confidence", "distance", "jaccard")},
    }
    caption = "Photograph, CAFO and CASO (lambda1 = 0, magnitudes), from the least confident prediction to the most."
    return Result(
        [Table("images", "Distance of the two maps' absolute values, each of length 1, and their overlap.", table)],
        [Picture("pictures", caption, _draw(table, sweep))],
        numbers,
        judge([(holds, sentence)]),
    )


def _draw(table: pd.DataFrame, sweep: Sweep) -> Figure:
    if len(table) > _MOST:
        table = pd.concat([table.head(_MOST // 2), table.tail(_MOST // 2)], ignore_index=True)
    jobs = {order: sweep.only(order__name=order) for order in ("first", "second")}
    pixels = photographs(jobs["second"].run, table["image"])
    beside = min(_BESIDE, len(table))
    rows = -(-len(table) // beside)
    figure, axes = new_figure(rows, 3 * beside, (5.1 * beside, 1.9 * rows))
    for axis in axes:
        axis.set_axis_off()
    for index, row in enumerate(table.to_dict("records")):
        own = axes[3 * index : 3 * index + 3]
        show_image(own[0], plot.photograph(pixels[row["image"]]), f"{_cut(row['image'])} {row['confidence']:.3f}")
        for axis, (order, job) in zip(own[1:], jobs.items(), strict=True):
            name = {"first": "CAFO", "second": "CASO"}[order]
            show_image(axis, plot.colour(job.run.maps[row["image"]]), name)
    return figure


def _cut(name: str) -> str:
    return name if len(name) <= 20 else name[:18] + "…"


EXPERIMENT = Experiment(
    position=2,
    title="Confident and unconfident pictures",
    question="How do first- and second-order maps look where the network is sure, and where it is not?",
    expectation=(
        "Nearly the same for the most confident image, clearly different for the least confident one: its distance at"
        " least three times as large. (The README of the released code shows a goose at confidence 0.957 and a turtle"
        " at 0.213.)"
    ),
    chosen=(
        "The goose and the turtle are ImageNet's and are not distributed here; the embedded photographs take their"
        " place, and image=FILE any other. The distance is that of the maps' absolute values, the square roots of the"
        " magnitudes."
    ),
    read=read,
)
