"""Smooth CASO: how many noisy copies, and how much noise."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import MORE, draw_panels, draw_series
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import means, median
from experiments.sweep import Sweep

_SCORES = ("rank_correlation_noise", "insertion", "deletion", "gini")


def read(sweep: Sweep) -> Result:
    """Lay the scores out by copies and noise."""
    rows = []
    for job in sweep.jobs:
        row = {"n_samples": int(job["n_samples"]), "stddev": float(job["stddev"]), "images": len(job.table)}
        for score in _SCORES:
            row |= means(job.table[score], score)
        rows.append(row | {"gradients": median(job.table["gradients"])})
    table = pd.DataFrame(rows).sort_values(["stddev", "n_samples"], ignore_index=True)
    ends = {}
    for stddev, one in table.groupby("stddev"):
        ends[f"{stddev:g}"] = one["rank_correlation_noise"].iloc[[0, -1]].tolist()
    fewest, most = int(table["n_samples"].min()), int(table["n_samples"].max())
    numbers = {"images": int(table["images"].max()), "copies": [fewest, most], "stability_by_noise": ends}
    measured = ", ".join(f"{few:.3f} and {many:.3f} at noise {stddev}" for stddev, (few, many) in ends.items())
    verdict = judge(
        [(all(many >= few for few, many in ends.values()) if most > fewest else None,
          f"Rank correlation under noise with {fewest} and {most} copies: {measured}.")]
    )  # fmt: skip
    caption = "Smooth CASO by the number of noisy copies and their noise (a fraction of the image's range): means."
    return Result([Table("settings", caption, table)], [Picture("settings", caption, _draw(table))], numbers, verdict)


def _draw(table: pd.DataFrame) -> Figure:
    copies = sorted(set(table["n_samples"]))

    def panel(axis: Axes, score: str) -> None:
        for colour, (stddev, one) in zip(MORE * 9, table.groupby("stddev"), strict=False):
            draw_series(axis, one, "n_samples", score, colour, f"noise {stddev:g}")
        axis.set(xscale="log", xlabel="copies")
        axis.set_xticks(copies, [str(n) for n in copies])
        axis.minorticks_off()

    return draw_panels({score: score.replace("_", " ") for score in _SCORES}, (12, 3), panel)


EXPERIMENT = Experiment(
    position=8,
    title="Smoothing",
    question="What do the number of noisy copies and their noise do to smooth CASO?",
    expectation="With more copies the maps are more stable under noise, whatever the noise of the copies.",
    chosen=(
        "The released program takes 16 copies and noise of 0.15 by default; the paper's figures on it were not at hand."
        " Chosen: values around these, lambda1 = 0, and stability as the Spearman correlation with the map of a copy of"
        " the image that is perturbed by 2/255."
    ),
    read=read,
)
