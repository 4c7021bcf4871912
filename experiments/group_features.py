"""Group features: the paper's third claim, sparsity by an L1 norm, and lambda1 chosen for each image."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from caso import plot
from experiments.drawing import FIRST, SECOND, draw_interval, draw_series, legend, new_figure, show_image
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import means, median
from experiments.photographs import photographs
from experiments.sweep import Job, Sweep

_SCORES = ("sparsity", "insertion", "deletion", "gini", "entropy")
_METHODS = {"first": "cafo", "second": "caso"}
_COLOURS = {"cafo": FIRST, "caso": SECOND}
_GAINED = ("insertion", "deletion")
_SHOWN = (1e-5, 1e-4, 5e-4, 2e-2, 7e-2, 0.15)


def read(sweep: Sweep) -> Result:
    """Follow the scores along lambda1."""
    paths = {method: sweep.only(order__name=order, regularization__name="path") for order, method in _METHODS.items()}
    autos = {method: sweep.only(order__name=order, regularization__name="auto") for order, method in _METHODS.items()}
    along = pd.DataFrame([row for method, job in paths.items() for row in _rows(method, job.table)])
    chosen = pd.DataFrame([row for method, job in autos.items() for row in _chosen(method, job.table)])
    wanted = float(sweep.jobs[0]["sparsity"])
    rising = {m: _rising(job.table) for m, job in paths.items()}
    hit = {m: float(np.mean(np.abs(job.table["sparsity"] - wanted) <= 0.01)) for m, job in autos.items()}
    at = {m: {f"{v:g}": median(j.table.loc[np.isclose(j.table["lambda1"], v), "sparsity"]) for v in _SHOWN[:3]}
          for m, j in paths.items()}  # fmt: skip
    own = max(max(values.values()) for values in at.values())
    gains = {m: _gain(paths[m], autos[m]) for m in paths}
    numbers = {
        "images": int(paths["cafo"].table["image"].nunique()),
        "sparsity_wanted": wanted,
        "paths_that_rise": rising,
        "choices_within_0.01": hit,
        "median_sparsity_at_the_programs_values": at,
        "deletion_chosen_minus_dense": {m: g["deletion"] for m, g in gains.items()},
        "insertion_chosen_minus_dense": {m: g["insertion"] for m, g in gains.items()},
    }
    gained = {score: ", ".join(f"{g[score]:+.3f} ({m.upper()})" for m, g in gains.items()) for score in _GAINED}
    verdict = judge(
        [
            (min(rising.values()) >= 0.95, "Sparsity rises with lambda1 at every step for "
             + " and ".join(f"{share:.0%} of the images ({m.upper()})" for m, share in rising.items()) + "."),
            (min(hit.values()) >= 0.95, "The choice for each image is within 0.01 of the sparsity wanted for "
             + " and ".join(f"{share:.0%} ({m.upper()})" for m, share in hit.items()) + "."),
            (own >= 0.1, f"At the program's 1e-5, 1e-4 and 5e-4 the median sparsity is {own:.3f} at most."),
            (min(g["insertion"] for g in gains.values()) >= 0, "Scores of the chosen maps minus those of the densest"
             f" ones, medians: insertion {gained['insertion']}, deletion {gained['deletion']}."),
        ]
    )  # fmt: skip
    tables = [
        Table("path", "Means along lambda1, with 95 % bootstrap intervals over the images.", along),
        Table("chosen", f"The lambda1 that gives each image's map a sparsity of {wanted:g}.", chosen),
    ]
    return Result(tables, _pictures(along, paths, autos, wanted), numbers, verdict)


def _pictures(along: pd.DataFrame, paths: dict[str, Job], autos: dict[str, Job], wanted: float) -> list[Picture]:
    return [
        Picture("path", "Means over the images along lambda1; vertical lines: the median lambda1 that is chosen for a"
                f" sparsity of {wanted:g}.", _draw(along, autos)),
        Picture("maps", "One photograph: maps along lambda1, the larger the sparser; the program's values first, last"
                " the choice for this image.", _strip(paths, autos)),
    ]  # fmt: skip


def _rows(method: str, table: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    table = table.copy()
    table.loc[table["sparsity"] == 1, ["gini", "entropy"]] = np.nan  # by convention those of a constant map
    for value, one in table.groupby("lambda1"):
        row: dict[str, object] = {"method": method.upper(), "lambda1": float(value)}
        for score in _SCORES:
            row |= means(one[score], score)
        rows.append(row)
    return rows


def _chosen(method: str, table: pd.DataFrame) -> list[dict[str, object]]:
    names = ["image", "confidence", "lambda1", *_SCORES]
    return [{"method": method.upper(), **row} for row in table[names].to_dict("records")]


def _rising(table: pd.DataFrame) -> float:
    """The share of images whose sparsity never falls along their path."""
    by_image = table.sort_values("lambda1").groupby("image")["sparsity"]
    return float(by_image.apply(lambda values: values.diff().min() >= -1e-9).mean())


def _gain(path: Job, auto: Job) -> dict[str, float]:
    """Median over images of the chosen map's scores minus those of the map at the smallest lambda1."""
    dense = path.table.sort_values("lambda1").drop_duplicates("image").set_index("image")
    sparse = auto.table.set_index("image")
    return {name: median(sparse[name] - dense[name].reindex(sparse.index)) for name in _GAINED}


def _draw(along: pd.DataFrame, autos: dict[str, Job]) -> Figure:
    figure, axes = new_figure(1, 3, (10, 3.2))
    for axis, score in zip(axes, ("sparsity", "insertion", "deletion"), strict=True):
        for method, colour in _COLOURS.items():
            rows = along[along["method"] == method.upper()]
            draw_series(axis, rows, "lambda1", score, colour, method.upper(), size=3.5)
            draw_interval(axis, rows, "lambda1", score, colour)
            axis.axvline(median(autos[method].table["lambda1"]), color=colour, linestyle=":", linewidth=1)
        axis.set(xscale="log", xlabel="lambda1", ylabel=score)
        axis.set_ylim(bottom=0)
    legend(axes[0])
    return figure


def _strip(paths: dict[str, Job], autos: dict[str, Job]) -> Figure:
    """The photograph whose sparsity depends most on lambda1 at the values that are shown."""
    table = paths["caso"].table
    spread = table.groupby("image")["sparsity"].std().fillna(0)
    name = str(spread.idxmax())
    indices = [int(np.argmin(np.abs(np.sort(table.loc[table["image"] == name, "lambda1"]) - v))) for v in _SHOWN]
    figure, axes = new_figure(2, 2 + len(_SHOWN), (12, 3.6))
    photograph = plot.photograph(photographs(paths["caso"].run, [name])[name])
    for row, (method, job) in enumerate(paths.items()):
        own = axes[row * (2 + len(_SHOWN)) : (row + 1) * (2 + len(_SHOWN))]
        rows = job.table[job.table["image"] == name].reset_index(drop=True)
        show_image(own[0], photograph, f"{name}, {method.upper()}")
        for axis, index in zip(own[1:-1], indices, strict=True):
            title = f"{rows.loc[index, 'lambda1']:g}: {rows.loc[index, 'sparsity']:.2f} zeros"
            show_image(axis, plot.colour(job.run.maps[name][index]), title)
        auto = autos[method].table.set_index("image").loc[name]
        title = f"chosen {auto['lambda1']:.2g}: {auto['sparsity']:.2f}"
        show_image(own[-1], plot.colour(autos[method].run.maps[name]), title)
    return figure


EXPERIMENT = Experiment(
    position=4,
    title="Group features",
    question="What does the L1 penalty do to the maps, and which lambda1 should an image have?",
    expectation=(
        "Sparsity rises along lambda1. lambda1 can be chosen for each image by its map's sparsity, without supervision:"
        " the sparsity wanted is met within 0.01. The program's values 1e-5, 1e-4 and 5e-4 make maps sparse: a tenth of"
        " the entries, at least. Sparse maps keep what matters: their insertion score is no worse than that of the"
        " dense ones."
    ),
    chosen=(
        "The README of the released code shows one image at 5e-4, 1e-4 and 1e-5, without figures. Chosen: the same"
        " values and larger ones, up to where most maps are zero, for the scale of lambda1 is that of the gradient's"
        " entries, which depends on the network and on the pixels' range; a sparsity of 0.9 for the choice; insertion"
        " into a blurred image and deletion to the mean colour."
    ),
    read=read,
)
