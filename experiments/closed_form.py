"""Three Hessians against each other: where the paper's closed form is exact, and where it is not."""

import pandas as pd
from matplotlib.figure import Figure

from experiments.drawing import FIRST, SECOND, legend, new_figure
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import at_most, median
from experiments.sweep import Job, Sweep

_LINEAR = {"efficientnet_lite0": "ReLU6", "resnet18": "ReLU, max pooling", "vgg11": "ReLU, max pooling"}
_OTHER = {
    "squeeze_and_excitation": "ReLU, gates by squeeze and excitation",
    "efficientnet_b0": "SiLU, gates by squeeze and excitation",
    "convnext": "GELU, LayerNorm",
    "vit": "GELU, LayerNorm, softmax attention",
}
_COLUMNS = {"gauss_newton_difference": "gauss_newton", "closed_form_difference": "closed_form"}
_EXACT, _OFF = 1e-3, 1e-2


def read(sweep: Sweep) -> Result:
    """Gather the differences, a row a network."""
    table = pd.DataFrame([_row(job) for job in sweep.jobs])
    linear, other = (table[table["piecewise_linear"] == kind] for kind in (True, False))
    largest = (
        float(linear[["gauss_newton_largest", "closed_form_largest"]].max().max()) if len(linear) else float("nan")
    )
    smallest = float(other["gauss_newton"].min()) if len(other) else float("nan")
    numbers = {
        "largest_on_piecewise_linear": largest,
        "smallest_median_on_others": smallest,
        "networks": {row["network"]: {"gauss_newton": row["gauss_newton"], "closed_form": row["closed_form"]}
                     for row in table.to_dict("records")},
    }  # fmt: skip
    verdict = judge(
        [
            (at_most(largest, _EXACT), f"Largest difference on piecewise-linear networks: {largest:.1e}"
             f" ({', '.join(linear['network'])})."),
            (at_most(_OFF, smallest), f"Smallest median difference on the others: {smallest:.1e}"
             f" ({', '.join(other['network'])})."),
        ]
    )  # fmt: skip
    caption = (
        "Relative difference |A v - H v| / |H v| of the product with the gradient's direction v, H by double backward."
    )
    return Result([Table("networks", caption, table)], [Picture("networks", caption, _draw(table))], numbers, verdict)


def _row(job: Job) -> dict[str, object]:
    name = str(job["experiment.network"])
    row: dict[str, object] = {
        "network": name,
        "non_linearities": _LINEAR.get(name) or _OTHER.get(name, ""),
        "piecewise_linear": name in _LINEAR,
        "images": len(job.table),
    }
    for metric, column in _COLUMNS.items():
        row |= {column: median(job.table[metric]), f"{column}_largest": float(job.table[metric].max())}
    return row


def _draw(table: pd.DataFrame) -> Figure:
    figure, (axis,) = new_figure(1, 1, (9, 0.42 * len(table) + 1.1))
    heights = range(len(table))
    for shift, (column, colour) in zip(
        (-0.12, 0.12), zip(_COLUMNS.values(), (FIRST, SECOND), strict=True), strict=True
    ):
        values = table[column].clip(lower=1e-9)
        axis.plot(values, [height + shift for height in heights], "o", color=colour, label=column.replace("_", " "))
    axis.set(xscale="log", xlabel="relative difference from the exact product")
    axis.set_yticks(list(heights), [f"{row.network}: {row.non_linearities}" for row in table.itertuples()])
    axis.invert_yaxis()
    legend(axis, loc="best")
    return figure


EXPERIMENT = Experiment(
    position=5,
    title="The closed form of the Hessian",
    question="On which networks is W (diag p - p p') W' the Hessian, and how far off is it elsewhere?",
    expectation=(
        "On piecewise-linear networks Gauss-Newton and the closed form are the Hessian: differences of rounding alone,"
        " at most 1e-3 in float32. On networks with gates, SiLU, GELU, LayerNorm or attention they leave a part out:"
        " differences of 1e-2 or more."
    ),
    chosen=(
        "EfficientNet-Lite0 has its ImageNet weights; the others have random weights of a fixed seed and 10 classes,"
        " for no others are at hand without a download, so their differences say where the forms hold and not how far"
        " off they are on a trained network. One direction is compared, the gradient's, which is the one that"
        " second-order maps are made of."
    ),
    read=read,
)
