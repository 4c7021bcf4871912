"""How far the first- and the second-order model of the loss predict it."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import FIRST, INK, SECOND, draw_panels, heading, legend, new_figure
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.numbers import at_most, median, medians
from experiments.sweep import Job, Sweep

_UNSURE = 0.2
_BINS = {"under 0.2": (0.0, 0.2), "0.2 to 0.5": (0.2, 0.5), "over 0.5": (0.5, 1.01)}
_HARDLY = 1.5
"""A step and a half of the sizes that are tried, of which each is 1.47 times the one before."""
_PLAIN, _SMOOTH = "efficientnet_lite0", "efficientnet_lite0_smooth"
_NAMES = {_PLAIN: "Lite0 (ReLU6)", _SMOOTH: "Lite0, smooth"}
_WAYS = {"cafo": "along CAFO's map", "caso": "along CASO's map", "blur": "towards a blurred image",
         "regions": "one superpixel towards it"}  # fmt: skip
_ORDERS = {"first": ("first_order_radius", FIRST), "second": ("valid_radius", SECOND)}
_SHOWN = {"1/100": 1e-2, "1/10": 1e-1, "1": 1.0}
_LEAST = 1e-4
"""Grey levels that the figure shows for a radius of zero."""


def _per_image(job: Job) -> pd.DataFrame:
    """A row an image: confidence, both radii, and the errors at the steps of :data:`_SHOWN`."""
    found = pd.DataFrame({"confidence": job.run.table["confidence"], "status": job.run.table["status"]})
    found.insert(0, "network", job.choice("model", str(job["model.name"])))
    found.insert(1, "way", str(job["experiment.way"]))
    found.insert(2, "around", str(job["experiment.around"]))
    for order, (metric, _) in _ORDERS.items():
        found[order] = job.run.table[metric]
        x, errors = job.run.curves(metric)
        for name, step in _SHOWN.items():
            found[f"{order}, {name}"] = errors[:, int(np.abs(np.log(x / step)).argmin())]
    return found[found["confidence"].notna()].drop(columns="status")


def read(sweep: Sweep) -> Result:
    """Put the radii and errors of both orders beside each other, for each network, way and expansion."""
    images = pd.concat([_per_image(job) for job in sweep.jobs], ignore_index=True)
    images["gain"] = images["second"] / images["first"]
    keys = ["network", "around", "way"]
    radii = pd.DataFrame([dict(zip(keys, key, strict=True)) | _radii(one) for key, one in _groups(images, keys)])
    errors = pd.DataFrame([dict(zip(keys, key, strict=True)) | _errors(one) for key, one in _groups(images, keys)])
    own = images[(images["around"] == "image") & images["way"].isin(["caso", "blur"])]
    bins = pd.DataFrame([row for key, one in _groups(own, ["network", "way"]) for row in _by_confidence(key, one)])
    numbers = {"images": int(radii["images"].max()), "radii": radii.to_dict("records"),
               "errors": errors.to_dict("records"), "by_confidence": bins.to_dict("records")}  # fmt: skip
    tables = [
        Table("radii", "Root mean square change of the pixels, in grey levels of 255, up to which each order predicts"
              " the change of the loss to 20 %: medians over the images with 95 % bootstrap intervals; and on which"
              " share of the images either order reaches farther.", radii),
        Table("confidence", "The same by confidence, expanded around the image itself; gain: the second-order radius in"
              " first-order ones.", bins),
        Table("errors", "Relative error of the predicted change of the loss at fractions of the way, medians over the"
              " images.", errors),
    ]  # fmt: skip
    pictures = [
        Picture("confidence", "Radius of either order by the confidence of the prediction, expanded around the image"
                f" itself; a point an image; {_LEAST:g} stands for 0.", _draw_radii(own)),
        Picture("errors", "Relative error of the predicted change of the loss by the size of the step, median over the"
                " images. Solid: gradient and Hessian at the image; dashed: their means over noisy copies. Dotted:"
                " 20 %.", _draw_errors(sweep.jobs)),
    ]  # fmt: skip
    return Result(tables, pictures, numbers, judge(_conditions(images)))


def _groups(table: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """The rows by the values of some columns, in the order in which these occur."""
    return [(tuple(map(str, key)), one) for key, one in table.groupby(keys, sort=False)]


def _radii(one: pd.DataFrame) -> dict[str, Any]:
    return {
        "images": len(one),
        **medians(one["first"], "first"),
        **medians(one["second"], "second"),
        "second_farther": float((one["second"] > one["first"]).mean()),
        "first_farther": float((one["first"] > one["second"]).mean()),
    }


def _errors(one: pd.DataFrame) -> dict[str, Any]:
    columns = [f"{order}, {name}" for name in _SHOWN for order in _ORDERS]
    return {"images": len(one)} | {column: median(one[column]) for column in columns}


def _by_confidence(key: tuple[str, ...], one: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name, (low, high) in _BINS.items():
        inside = one[(one["confidence"] >= low) & (one["confidence"] < high)]
        row: dict[str, Any] = {"network": key[0], "way": key[1], "confidence": name, "images": len(inside)}
        for column in ("first", "second", "gain"):
            row |= medians(inside[column], column)
        rows.append(row)
    return rows


def _conditions(images: pd.DataFrame) -> list[tuple[bool | None, str]]:
    def of(network: str, way: str, around: str = "image") -> pd.DataFrame:
        kept = (images["network"] == network) & (images["way"] == way) & (images["around"] == around)
        return images[kept]

    blur, smooth = of(_PLAIN, "blur"), of(_SMOOTH, "blur")
    is_unsure = blur["confidence"] < _UNSURE
    unsure, sure, rounded = median(blur["gain"][is_unsure]), median(blur["gain"][~is_unsure]), median(smooth["gain"])
    own = [median(of(network, "caso")["gain"]) for network in (_PLAIN, _SMOOTH)]
    itself, mean = median(blur["second, 1"]), median(of(_PLAIN, "blur", "copies")["second, 1"])
    return [
        (None if math.isnan(unsure) else unsure > 1, "Towards a blurred image the second-order radius is, by medians,"
         f" {unsure:.3g} times the first-order one at a confidence under {_UNSURE},"),
        (at_most(abs(math.log(sure)) if sure > 0 else sure, math.log(_HARDLY)), f"{sure:.3g} times above it,"),
        (None if math.isnan(rounded) else rounded > 1, f"and {rounded:.3g} times on the smooth network; along CASO's"
         f" own map {own[0]:.3g} and {own[1]:.3g} times."),
        (None if math.isnan(itself + mean) else mean < itself, "At the whole way its error is"
         f" {itself:.3g}, with means over noisy copies {mean:.3g}."),
    ]  # fmt: skip


def _draw_radii(images: pd.DataFrame) -> Figure:
    groups = dict(_groups(images, ["network", "way"]))

    def draw(axis: Axes, key: tuple[str, ...]) -> None:
        for order, (_, colour) in _ORDERS.items():
            radii = groups[key][order].clip(lower=_LEAST)
            axis.plot(groups[key]["confidence"], radii, "o", color=colour, markersize=4, alpha=0.75, label=order)
        axis.set(yscale="log", xlabel="confidence", xlim=(0, 1.02), ylim=(_LEAST / 2, 200))

    titles = {key: f"{_NAMES.get(key[0], key[0])}: {_WAYS[key[1]]}" for key in groups}
    figure = draw_panels(titles, (3.3 * len(groups), 3.0), draw)
    figure.axes[0].set_ylabel("radius, in grey levels")
    return figure


def _draw_errors(jobs: list[Job]) -> Figure:
    networks = list(dict.fromkeys(job.choice("model", str(job["model.name"])) for job in jobs))
    ways = list(dict.fromkeys(str(job["experiment.way"]) for job in jobs))
    figure, axes = new_figure(
        len(networks), len(ways), (2.9 * len(ways), 2.7 * len(networks)), sharey=True, sharex=True
    )
    for job in jobs:
        network, way = job.choice("model", str(job["model.name"])), str(job["experiment.way"])
        axis = axes[networks.index(network) * len(ways) + ways.index(way)]
        plain = job["experiment.around"] == "image"
        for order, (metric, colour) in _ORDERS.items():
            x, errors = job.run.curves(metric)
            label = f"{order} order{'' if plain else ', copies'}"
            axis.plot(x, np.nanmedian(errors, axis=0), "-" if plain else "--", color=colour, linewidth=1.4, label=label)
        axis.axhline(0.2, color=INK, linewidth=0.8, linestyle=":")
        axis.set(xscale="log", yscale="log", ylim=(1e-3, 1e2))
        heading(axis, f"{_NAMES.get(network, network)}: {_WAYS[way]}")
    for axis in axes[-len(ways) :]:
        axis.set_xlabel("fraction of the way")
    legend(axes[0])
    return figure


EXPERIMENT = Experiment(
    position=12,
    title="How far the expansion reaches",
    question="Does the Hessian predict the loss better, or does it only change the map?",
    expectation=(
        f"Towards a blurred image, at a confidence under {_UNSURE}, the second-order model stays within 20 % of the"
        f" loss farther than the first-order one; elsewhere hardly (at most {_HARDLY} times), for a ReLU network's"
        " kinks are not in its Hessian. On a smooth network it stays farther at any confidence. Means over noisy copies"
        " are wrong from the first step, but less wrong at the whole way."
    ),
    chosen=(
        "The paper says when the Hessian changes the map, not whether it predicts the loss. Chosen here: 31 steps (16"
        " for regions) from 1/100 000 to 1 of the way to a blurred image, or of that way within one of 15 superpixels"
        " (their median), and as far along the maps; a smooth network with the same weights, whose ReLU6 are rounded by"
        " softplus; and means of gradient and Hessian over 4 noisy copies, in the maps, too."
    ),
    read=read,
)
