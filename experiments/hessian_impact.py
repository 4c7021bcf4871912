"""Where the Hessian matters: the paper's second claim, the impact of the Hessian against confidence."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import SECOND, draw_panels
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import at_most, by_confidence, median, percent, rank_correlation, unit_distance
from experiments.sweep import Sweep

_SURE, _UNSURE = 0.9, 0.5
_COLUMNS = {
    "distance": "distance of the maps",
    "leading_share": "share of the leading eigenvalue",
    "leading_cosine": "cosine of leading eigenvector and gradient",
    "lambda_max": "largest eigenvalue",
}


def per_image(sweep: Sweep) -> pd.DataFrame:
    """A row an image: confidence, largest eigenvalue, its share and cosine, and the distance of the two maps."""
    first, second = sweep.only(order__name="first").run, sweep.only(order__name="second")
    wanted = ["image", "predicted_name", "confidence", "lambda_max", "leading_share", "leading_cosine"]
    table = second.table[[name for name in wanted if name in second.table]].reindex(columns=wanted)
    both = table[[name in first.maps for name in table["image"]]].reset_index(drop=True)
    distances = [unit_distance(first.maps[name], second.run.maps[name]) for name in both["image"]]
    return both.assign(distance=distances)


def read(sweep: Sweep) -> Result:
    """Compare the orders, image by image."""
    table = per_image(sweep)
    bins = by_confidence(table, list(_COLUMNS))
    sure, unsure = table[table["confidence"] > _SURE], table[table["confidence"] < _UNSURE]
    numbers = {
        "images": len(table),
        "images_over_0.9": len(sure),
        "images_under_0.5": len(unsure),
        "rank_correlation": rank_correlation(table["confidence"], table["distance"]),
        "distance_over_0.9": median(sure["distance"]),
        "distance_under_0.5": median(unsure["distance"]),
        "cosine_over_0.9": median(sure["leading_cosine"]),
        "cosine_under_0.5": median(unsure["leading_cosine"]),
        "share_over_0.9": median(sure["leading_share"]),
        "share_under_0.5": median(unsure["leading_share"]),
    }
    rho, near, far = (numbers[key] for key in ("rank_correlation", "distance_over_0.9", "distance_under_0.5"))
    cosine = numbers["cosine_over_0.9"]
    verdict = judge(
        [
            (at_most(rho, -0.6), f"Rank correlation of confidence and distance: {rho:.2f} over {len(table)} images."),
            (at_most(near, far / 3), f"Median distance {near:.3f} over confidence 0.9 ({len(sure)} images) and"
             f" {far:.3f} under 0.5 ({len(unsure)}): {percent(near, far)} of it."),
            (at_most(0.95, cosine), f"Median cosine over 0.9: {cosine:.3f}."),
        ]
    )  # fmt: skip
    shown = bins.rename(
        columns={old + end: new + end for old, new in _COLUMNS.items() for end in ("", "_low", "_high")}
    )
    tables = [
        Table("bins", "Medians by confidence, with 95 % bootstrap intervals.", shown),
        Table("images", "Every image.", table),
    ]
    caption = (
        "Distance of the unit-normalised CASO and CAFO maps (lambda1 = 0), and share of the leading eigenvalue in the"
        " sum of the Hessian's eigenvalues, against the confidence of the prediction. A point an image."
    )
    return Result(tables, [Picture("confidence", caption, _draw(table))], numbers, verdict)


def _draw(table: pd.DataFrame) -> Figure:
    def panel(axis: Axes, name: str) -> None:
        axis.scatter(table["confidence"], table[name], s=14, color=SECOND, alpha=0.65, linewidths=0)
        axis.set(xlabel="confidence", xlim=(0, 1.02))
        axis.set_ylim(bottom=0)

    shown = ("distance", "leading_share", "leading_cosine")
    return draw_panels({name: _COLUMNS[name] for name in shown}, (10, 3.2), panel)


EXPERIMENT = Experiment(
    position=1,
    title="Where the Hessian matters",
    question="When do second-order maps differ from first-order ones?",
    expectation=(
        "With a confident prediction the Hessian is nearly of rank one and its leading eigenvector nearly parallel to"
        " the gradient, so that the maps coincide; without, they differ. Expected: rank correlation of confidence and"
        " distance at most -0.6; the median distance over confidence 0.9 at most a third of that under 0.5; the median"
        " cosine over 0.9 at least 0.95."
    ),
    chosen=(
        "The paper shows the difference of the normalised maps on ImageNet samples; which ones, and the network, were"
        " not at hand. Chosen: random resized crops of the embedded photographs, which have every confidence, and the"
        " Euclidean distance of the signed maps, each of length 1."
    ),
    read=read,
)
