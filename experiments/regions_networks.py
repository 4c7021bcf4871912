"""Whether further networks say the same of regions."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import FIRST, INK, MORE, SECOND, draw_panels
from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.regions import EXPECTATION, SCORES, by_grain, conditions, gains_of_caso, scores_by_grain
from experiments.sweep import Job, Sweep

_COLOURS = (FIRST, SECOND, *MORE)
_BETTER = {"insertion": "→", "deletion": "←", "road_morf": "←", "irof": "→"}


def read(sweep: Sweep) -> Result:
    """Compare, network by network, CASO over regions with its own pixels and with other methods."""
    networks: dict[str, list[Job]] = {}
    for job in sweep.jobs:
        networks.setdefault(job.choice("model", str(job["model.name"])), []).append(job)
    scores: list[pd.DataFrame] = []
    gains: list[pd.DataFrame] = []
    found: list[tuple[bool | None, str]] = []
    for name, jobs in networks.items():
        grains = by_grain(jobs)
        of_gains = gains_of_caso(grains)
        for tables, table in ((scores, scores_by_grain(grains)), (gains, of_gains)):
            table.insert(0, "network", name)
            tables.append(table)
        (first, sentence), *others = conditions(grains, of_gains)
        found += [(first, f"{name}: {sentence}"), *others]
    scored, gained = pd.concat(scores, ignore_index=True), pd.concat(gains, ignore_index=True).drop(columns="regions")
    caption = "Means over the images with 95 % bootstrap intervals. Cost in gradients."
    differences = "CASO's scores over 60 superpixels minus others', image by image, with 95 % bootstrap intervals."
    numbers = {
        "images": int(scored["images"].max()),
        "caso_minus": {
            f"{row.network}, {row.other}, {row.score}": [row.difference, row.difference_low, row.difference_high]
            for row in gained.itertuples()
        },
    }
    return Result(
        [Table("differences", differences, gained), Table("scores", caption, scored)],
        [Picture("differences", f"{differences} Arrows: where CASO is better.", _draw(gained))],
        numbers,
        judge(found),
    )


def _draw(gains: pd.DataFrame) -> Figure:
    others = list(dict.fromkeys(gains["other"]))
    networks = list(dict.fromkeys(gains["network"]))

    def draw(axis: Axes, score: str) -> None:
        for number, (network, colour) in enumerate(zip(networks, _COLOURS, strict=False)):
            rows = gains[(gains["network"] == network) & (gains["score"] == score)]
            heights = [others.index(other) + 0.24 * (number - (len(networks) - 1) / 2) for other in rows["other"]]
            axis.hlines(heights, rows["difference_low"], rows["difference_high"], color=colour, linewidth=1.4)
            axis.plot(rows["difference"], heights, "o", color=colour, markersize=4, label=network)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_yticks(range(len(others)), [name.replace("_", " ") for name in others])
        axis.set_ylim(len(others) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)

    titles = {score: f"{score.replace('_', ' ')} {_BETTER[score]}" for score in SCORES}
    return draw_panels(titles, (3.2 * len(titles), 0.34 * len(others) + 1.0), draw)


EXPERIMENT = Experiment(
    position=11,
    title="Regions on further networks",
    question="Do further networks say the same of regions?",
    expectation=f"On each network: {EXPECTATION[0].lower()}{EXPECTATION[1:]}",
    chosen=(
        "EfficientNet-Lite1 and Lite2, whose ImageNet weights come without a download, on a crop of each embedded"
        " photograph; smooth CASO over 8 noisy copies. No weights of a ViT or ConvNeXt can be had so."
    ),
    read=read,
)
