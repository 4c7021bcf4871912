"""All explanation methods by faithfulness, complexity and cost."""

import pandas as pd

from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.methods import by_method, draw_methods, gain, method_of
from experiments.sweep import Sweep

_SCORES = ("insertion", "deletion", "road_morf", "road_lerf", "gini", "entropy")
_DEAREST = 12


def read(sweep: Sweep) -> Result:
    """Put the methods under one another, and CAFO and CASO against noise."""
    jobs = sweep.collect(method_of)
    table = by_method(jobs, _SCORES)
    own = [name for name in ("cafo", "caso") if name in jobs]
    gains = {name: gain(jobs[name], jobs["random"], "insertion") for name in own}
    costs = {name: float(table.loc[table["method"] == name, "gradients"].iloc[0]) for name in table["method"]}
    best = {score: _best(sweep, table, score) for score in _SCORES}
    numbers = {
        "images": int(table["images"].max()),
        "insertion_minus_that_of_noise": gains,
        "gradients": costs,
        "best": best,
    }
    better = ", ".join(
        f"{g['mean']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}] ({name.upper()})" for name, g in gains.items()
    )
    verdict = judge(
        [
            (all(g["low"] > 0 for g in gains.values()), f"Insertion minus that of noise, image by image: {better}."),
            (costs["caso"] <= _DEAREST, f"CASO's median cost: {costs['caso']:.3g} gradients. Best by "
             + "; ".join(f"{score}: {name}" for score, name in best.items()) + "."),
        ]
    )  # fmt: skip
    caption = "Means over the images with 95 % bootstrap intervals. Arrows point to the better side."
    return Result(
        [Table("methods", caption + " Cost in gradients.", table)],
        [Picture("methods", caption, draw_methods(table, _SCORES, sweep.jobs[0].run.metrics))],
        numbers,
        verdict,
    )


def _best(sweep: Sweep, table: pd.DataFrame, score: str) -> str:
    higher = bool(sweep.jobs[0].run.metrics[score]["higher_is_better"])
    return str(table["method"].iloc[int(table[score].argmax() if higher else table[score].argmin())])


EXPERIMENT = Experiment(
    position=6,
    title="Beside other methods",
    question="How do CAFO and CASO compare with the methods that others use, and at what cost?",
    expectation=(
        "CAFO and CASO beat noise: the 95 % interval of the insertion score's difference, image by image, is above"
        f" zero. CASO costs at most {_DEAREST} gradients, less than SmoothGrad's 16 or the 50 of integrated gradients."
        " No method is expected to be the best by every metric."
    ),
    chosen=(
        "The paper compares sparse maps by eye and by group features. Chosen here: insertion, deletion and ROAD for"
        " faithfulness, the Gini index and the entropy for complexity, the released program's lambda1 = 1e-4, and"
        " random crops of the embedded photographs. Noise and edges are beside the methods, for what does not beat them"
        " has shown nothing."
    ),
    read=read,
)
