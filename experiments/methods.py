"""What experiments that compare methods share: a row a method, a panel a metric."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.drawing import FIRST, MORE, SECOND, heading, new_figure
from experiments.numbers import means, median
from experiments.sweep import Job


def method_of(job: Job) -> str:
    """The explainer that a job was asked for."""
    return job.choice("explainer", str(job["explainer.name"]))


def by_method(jobs: Mapping[str, Job], scores: Sequence[str]) -> pd.DataFrame:
    """Means with intervals, a row a method."""
    rows = []
    for name, job in jobs.items():
        row: dict[str, Any] = {"method": name, "images": len(job.table)}
        for score in scores:
            row |= means(job.table[score], score)
        row |= {"gradients": median(job.table["gradients"]), "seconds": median(job.table["seconds"])}
        rows.append(row)
    return pd.DataFrame(rows)


def gain(one: Job, other: Job, score: str) -> dict[str, float]:
    """The mean difference of two methods' scores, image by image, with its 95 % bootstrap interval."""
    pair = [job.table.set_index("image")[score] for job in (one, other)]
    short = means((pair[0] - pair[1]).dropna(), "mean")
    return {"mean": short["mean"], "low": short["mean_low"], "high": short["mean_high"]}


def draw_methods(table: pd.DataFrame, scores: Sequence[str], definitions: Mapping[str, Any]) -> Figure:
    """Draw means with intervals: a panel a metric, a row a method."""
    across = min(4, len(scores)) if len(scores) != 6 else 3
    down = -(-len(scores) // across)
    size = (3.3 * across, (0.22 * len(table) + 0.9) * down)
    figure, axes = new_figure(down, across, size, sharey=True)
    for axis in axes[len(scores) :]:
        axis.set_visible(False)
    heights = list(range(len(table)))
    own = dict(zip(table["method"], cycle(MORE), strict=False)) | {"cafo": FIRST, "caso": SECOND, "smooth_caso": SECOND}
    for axis, score in zip(axes, scores, strict=False):
        for height, row in zip(heights, table.to_dict("records"), strict=True):
            colour = own[row["method"]]
            axis.plot([row[f"{score}_low"], row[f"{score}_high"]], [height, height], color=colour, linewidth=1.4)
            axis.plot([row[score]], [height], "o", color=colour, markersize=4.5)
        higher = definitions[score]["higher_is_better"]
        heading(axis, f"{score.replace('_', ' ')} {'→' if higher else '←'}")
        axis.set_yticks(heights, [name.replace("_", " ") for name in table["method"]])
        axis.grid(axis="y", visible=False)
    axes[0].set_ylim(len(table) - 0.4, -0.6)
    return figure
