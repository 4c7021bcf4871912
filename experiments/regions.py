"""CAFO, CASO and other methods at single pixels, and over the same regions."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import FIRST, INK, SECOND, draw_panels
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.methods import by_method, gain, method_of
from experiments.sweep import Job, Sweep

SCORES = ("insertion", "deletion", "road_morf", "irof")
_PIXELS = "pixels"
_NAMES = {"none": _PIXELS, "slic_15": "15 superpixels", "slic": "60 superpixels", "slic_240": "240 superpixels",
          "patches": "16 x 16 patches"}  # fmt: skip
USUAL = _NAMES["slic"]
OWN_PIXELS = "caso, pixels"
_CHEAPER = 10
EXPECTATION = (
    "The 95 % interval of CASO's insertion over 60 superpixels minus that at pixels is above zero; its insertion is"
    f" not certainly below occlusion's over the same superpixels, at a {_CHEAPER}th of occlusion's price."
)
Grains = dict[str, dict[str, Job]]
"""Jobs by how coarse their regions are, and by method."""
_SHOWN = ("caso", "cafo", "smooth_caso", "gradcam", "occlusion", "smoothgrad", "edges", "random")


def read(sweep: Sweep) -> Result:
    """Put all methods under one another, regions by regions, and CASO against its own pixels and against others."""
    grains = by_grain(sweep.jobs)
    scored, gains = scores_by_grain(grains), gains_of_caso(grains)
    price = _price(grains)
    verdict = judge(conditions(grains, gains))
    caption = "Means over the images with 95 % bootstrap intervals. Cost in gradients."
    differences = "CASO's scores over regions minus others', image by image, with 95 % bootstrap intervals."
    numbers = {
        "images": int(scored["images"].max()),
        "insertion": {f"{row.method}, {row.regions}": row.insertion for row in scored.itertuples()},
        "caso_minus": {
            f"{row.regions}, {row.other}, {row.score}": [row.difference, row.difference_low, row.difference_high]
            for row in gains.itertuples()
        },
        "times_cheaper_than_occlusion": price,
    }  # fmt: skip
    return Result(
        [Table("scores", caption, scored), Table("differences", differences, gains)],
        [Picture("insertion", "Insertion by how coarse the regions are; higher is better.", _draw(scored))],
        numbers,
        verdict,
    )


def by_grain(jobs: Sequence[Job]) -> Grains:
    """The jobs of one network by how coarse their regions are, and by method."""
    grains: Grains = {}
    for job in jobs:
        grains.setdefault(_NAMES[job.choice("regions", "none")], {})[method_of(job)] = job
    return grains


def scores_by_grain(grains: Grains) -> pd.DataFrame:
    """Means with intervals, a row a method and grain."""
    tables = []
    for grain, jobs in grains.items():
        table = by_method(jobs, [score for score in SCORES if all(score in job.table for job in jobs.values())])
        table.insert(0, "regions", grain)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).drop(columns="seconds")


def conditions(grains: Grains, gains: pd.DataFrame) -> list[tuple[bool | None, str]]:
    """What :data:`EXPECTATION` says, for :func:`experiments.experiment.judge`."""
    own, against, edges = (_insertion(gains, other) for other in (OWN_PIXELS, "occlusion", "edges"))
    price = _price(grains)
    return [
        (own["low"] > 0, f"Insertion of CASO over {USUAL} minus that at pixels: {_interval(own)}."),
        (against["high"] >= 0, f"Minus that of occlusion over the same: {_interval(against)};"),
        (price >= _CHEAPER, f"occlusion costs {price:.3g} times as many gradients. Minus that of edges over the"
         f" same, which do not know the network: {_interval(edges)}."),
    ]  # fmt: skip


def _price(grains: Grains) -> float:
    """Of occlusion, in CASO maps."""
    caso, occlusion = grains[USUAL]["caso"], grains[USUAL]["occlusion"]
    return float(occlusion.table["gradients"].median() / caso.table["gradients"].median())


def gains_of_caso(grains: Grains) -> pd.DataFrame:
    """CASO's scores over regions minus others', a row an other method and score."""
    rows: list[dict[str, Any]] = []
    for grain, jobs in grains.items():
        if grain == _PIXELS:
            continue
        others = {OWN_PIXELS: grains[_PIXELS]["caso"]} | {name: job for name, job in jobs.items() if name != "caso"}
        for other, job in others.items():
            for score in SCORES:
                if score in job.table:
                    found = gain(jobs["caso"], job, score)
                    rows.append(
                        {"regions": grain, "other": other, "score": score, "difference": found["mean"],
                         "difference_low": found["low"], "difference_high": found["high"]}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _insertion(gains: pd.DataFrame, other: str) -> dict[str, float]:
    row = gains[(gains["regions"] == USUAL) & (gains["other"] == other) & (gains["score"] == "insertion")].iloc[0]
    return {"mean": row["difference"], "low": row["difference_low"], "high": row["difference_high"]}


def _interval(found: dict[str, float]) -> str:
    return f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def _draw(scored: pd.DataFrame) -> Figure:
    order = [
        name for name in (_PIXELS, *list(_NAMES.values())[3:0:-1], _NAMES["patches"]) if name in set(scored["regions"])
    ]
    styles = {"caso": (SECOND, "-"), "cafo": (FIRST, "-"), "smooth_caso": (SECOND, ":")}

    def draw(axis: Axes, score: str) -> None:
        for method in _SHOWN:
            rows = scored[scored["method"] == method].set_index("regions").reindex(order)
            if rows[score].notna().any():
                colour, line = styles.get(method, (INK, "--"))
                axis.plot(range(len(order)), rows[score], line, color=colour, linewidth=1.2, marker="o", markersize=3)
                axis.annotate(method.replace("_", " "), (len(order) - 1, rows[score].iloc[-1]), xytext=(5, 0),
                              textcoords="offset points", fontsize=7, va="center", color=colour)  # fmt: skip
        axis.set_xticks(range(len(order)), [name.replace(" ", "\n", 1) for name in order], fontsize=7)

    return draw_panels({"insertion": "insertion →"}, (7.0, 4.2), draw)


EXPERIMENT = Experiment(
    position=10,
    title="Regions",
    question="What do groups of pixels gain, for CAFO and CASO and for other methods over the same regions?",
    expectation=EXPECTATION,
    chosen=(
        "The paper's group features are relaxed to single entries there; here the problem with groups is solved itself,"
        " at the released program's lambda1 = 1e-4. Other methods' maps are ranked over the same regions by the mean"
        " magnitude. Much of what regions gain is coarseness: edges and random are scored over the same regions, too."
    ),
    read=read,
)
