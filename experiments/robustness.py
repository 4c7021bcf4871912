"""How maps change while the image hardly does: under noise, and under an attack."""

from experiments.experiment import Experiment, Picture, Result, Table, judge
from experiments.methods import by_method, draw_methods, gain, method_of
from experiments.sweep import Sweep

_SCORES = ("topk_overlap_noise", "rank_correlation_noise", "topk_overlap_attack", "rank_correlation_attack")


def read(sweep: Sweep) -> Result:
    """Put the methods under one another."""
    jobs = sweep.collect(method_of)
    table = by_method(jobs, _SCORES)
    gains = {score: gain(jobs["caso"], jobs["cafo"], score) for score in _SCORES}
    numbers = {
        "images": int(table["images"].max()),
        "methods": {row["method"]: {score: row[score] for score in _SCORES} for row in table.to_dict("records")},
        "caso_minus_cafo": gains,
    }
    attack, noise = gains["topk_overlap_attack"], gains["topk_overlap_noise"]
    smooth = gain(jobs["smoothgrad"], jobs["gradient"], "topk_overlap_attack") if "smoothgrad" in jobs else None
    conditions: list[tuple[bool | None, str]] = [
        (
            attack["mean"] >= 0 and noise["mean"] >= 0,
            f"Overlap of CASO minus that of CAFO: {attack['mean']:+.3f} [{attack['low']:+.3f}, {attack['high']:+.3f}]"
            f" under the attack, {noise['mean']:+.3f} [{noise['low']:+.3f}, {noise['high']:+.3f}] under noise.",
        ),
        (
            None if smooth is None else smooth["low"] > 0,
            "SmoothGrad was not run."
            if smooth is None
            else f"SmoothGrad minus the gradient, under the attack: {smooth['mean']:+.3f} [{smooth['low']:+.3f},"
            f" {smooth['high']:+.3f}].",
        ),
    ]
    caption = (
        "Common part of the 1000 most relevant pixels, and Spearman correlation, of an image's map and its perturbed"
        " copy's: means over the images with 95 % bootstrap intervals."
    )
    picture = draw_methods(table, _SCORES, sweep.jobs[0].run.metrics)
    return Result(
        [Table("methods", caption, table)], [Picture("methods", caption, picture)], numbers, judge(conditions)
    )


EXPERIMENT = Experiment(
    position=7,
    title="Robustness",
    question="Do maps stay while the image hardly changes, by noise or by an attack made for maps?",
    expectation=(
        "CASO is at least as stable as CAFO, under noise and under the attack, for it weighs the gradient by the"
        " curvature around it. SmoothGrad, a mean over noisy copies, is more stable under the attack than the gradient."
    ),
    chosen=(
        "While developing, the authors measured the overlap of the top 1000 pixels and Spearman's correlation under"
        " noise of 2/255 and under the top-k attack of Ghorbani et al. (epsilon 2/255, 20 steps, the top 10 000"
        " entries); their figures are not known, and the expectation is ours. Chosen: lambda1 = 0, and that the attack"
        " goes on with half a step where the predicted class would change."
    ),
    read=read,
)
