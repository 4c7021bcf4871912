"""Methods beside each other: which one is marked as the best, and how tables and figure say it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caso.runner import load_run
from caso.runner.results.comparison import compare, wide, write_scores
from caso.runner.results.comparison_figure import draw_comparison
from caso.runner.results.manifest import Manifest
from caso.runner.results.store import Run
from caso.runner.results.writer import ResultWriter


def run(
    folder: Path, name: str, scores: list[float], *, higher: bool | None = True, ids: list[int] | None = None
) -> Run:
    """A run of a method with one score an image."""
    directory = folder / name
    directory.mkdir()
    writer = ResultWriter(directory, Manifest(len(scores), len(scores)), pictures=0)
    for index, score in enumerate(scores):
        image = str(index if ids is None else ids[index])
        row = {"image": image, "status": "computed", "explainer": name, "gradients": 3.0, "scores": {"a_metric": score}}
        writer.take(index, [row], [np.zeros((1, 2, 2))], None)
    writer.finish({"a_metric": {"higher_is_better": higher}})
    writer.close()
    return load_run(directory)


DIFFICULTY = np.random.default_rng(0).normal(size=30)
"""Images differ far more than methods do."""


@pytest.mark.parametrize("higher", [True, False])
def test_a_method_is_best_by_the_differences_image_by_image(tmp_path: Path, higher: bool) -> None:
    sign = 1 if higher else -1
    steady = run(tmp_path, "steady", list(DIFFICULTY), higher=higher)
    ahead = run(tmp_path, "ahead", list(DIFFICULTY + 0.05 * sign), higher=higher)
    table = compare([("steady", steady), ("ahead", ahead)])
    rows = table.set_index("method")
    assert rows["best"].to_dict() == {"steady": False, "ahead": True}
    assert rows["mean_low"].max() < rows["mean_high"].min()  # by themselves they overlap
    assert wide(table, "markdown").iloc[1, 2].startswith("**")
    assert "**" not in wide(table, "markdown").iloc[0, 2]


def test_no_method_is_best_where_a_difference_may_be_chance(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(size=30)
    runs = [
        ("one", run(tmp_path, "one", list(DIFFICULTY))),
        ("another", run(tmp_path, "another", list(DIFFICULTY + noise - noise.mean() + 0.05))),
        ("worst", run(tmp_path, "worst", list(DIFFICULTY - 9))),
    ]
    table = compare(runs)
    assert not table["best"].any()
    assert "**" not in wide(table, "markdown").to_string()
    assert "textbf" not in wide(table, "latex").to_string()
    assert compare(runs[::2])["best"].tolist() == [True, False]


def test_images_are_paired_by_their_ids_and_missing_scores_left_out(tmp_path: Path) -> None:
    order = list(range(30))[::-1]
    scores = DIFFICULTY + 0.05
    scores[3] = np.nan
    runs = [
        ("one", run(tmp_path, "one", list(DIFFICULTY))),
        ("reversed", run(tmp_path, "reversed", [float(scores[i]) for i in order], ids=order)),
    ]
    assert compare(runs)["best"].tolist() == [False, True]


def test_where_no_direction_is_better_none_is_best(tmp_path: Path) -> None:
    runs = [(name, run(tmp_path, name, [float(i)] * 3, higher=None)) for i, name in enumerate("ab")]
    assert not compare(runs)["best"].any()
    assert not compare(runs[:1])["best"].any()


def test_latex_has_the_rules_of_booktabs(tmp_path: Path) -> None:
    runs = [(f"{name}_x%", run(tmp_path, name, [float(i)] * 3)) for i, name in enumerate("ab")]
    write_scores(compare(runs), tmp_path, "comparison")
    assert (tmp_path / "comparison.tex").read_text().splitlines() == [
        "% \\usepackage{booktabs}",
        "\\begin{tabular}{lrr}",
        "\\toprule",
        "method & gradients & a\\_metric $\\uparrow$ \\\\",
        "\\midrule",
        "a\\_x\\% & 3 & 0.000 [0.000, 0.000] \\\\",
        "b\\_x\\% & 3 & \\textbf{1.000} [1.000, 1.000] \\\\",
        "\\bottomrule",
        "\\end{tabular}",
    ]


def test_the_figure_has_a_colour_a_method_and_takes_any_name(tmp_path: Path) -> None:
    names = ["plain", "$x_1$ 写真 \udce9", "long " * 20]
    runs = [(name, run(tmp_path, str(i), list(DIFFICULTY + i))) for i, name in enumerate(names)]
    draw_comparison(compare(runs), tmp_path / "comparison.png")
    with Image.open(tmp_path / "comparison.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).reshape(-1, 3)
    for shade in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # the first of tab10
        assert (np.abs(pixels.astype(int) - shade).sum(1) < 10).sum() > 50
