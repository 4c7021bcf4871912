"""Explainers to compare with, metrics, and the tables they end in, through whole runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from caso.baselines import BASELINES, make_baseline
from caso.metrics import FAMILIES, METRICS, Case, make_metric
from caso.runner import Run, load_run
from tests.conftest import Ended
from tests.runner import networks
from tests.runner.networks import TINY
from tests.runner.test_run import pixels

Cli = Callable[..., Ended]
SOME = "dataset.names=[coffee,moon,retina]"


def done(cli: Cli, *arguments: str) -> Run:
    ended = cli(*TINY, SOME, *arguments)
    assert ended.code == 0, ended.err
    return load_run(ended.directory)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_method_runs_and_gives_the_librarys_maps(cli: Cli, name: str) -> None:
    options = ["explainer.window=4", "explainer.stride=2"] if name == "occlusion" else []
    run = done(cli, f"explainer={name}", *options)
    parameters = {"window": 4, "stride": 2} if name == "occlusion" else {}
    baseline = make_baseline(name, networks.network().eval(), **parameters)
    expected = baseline.attribute(pixels("coffee", "moon", "retina"))
    np.testing.assert_allclose(np.stack(list(run.maps.values())), expected, rtol=1e-4, atol=1e-6)
    assert (run.table["explainer"] == name).all()
    assert (run.table["status"] == "computed").all()
    assert run.table["lambda1"].isna().all()
    assert run.table["confidence"].between(0.25, 1).all()
    assert run.table["gradients"].tolist() == [baseline.gradients] * 3
    assert (run.directory / run.table["picture"][0]).is_file()


def test_cafo_and_caso_choose_the_order(cli: Cli) -> None:
    caso = done(cli, "explainer=caso")
    second = done(cli, "order=second")
    assert (caso.table["order"] == "second").all()
    assert (second.table["explainer"] == "caso").all()
    np.testing.assert_array_equal(caso.maps["moon"], second.maps["moon"])
    assert (done(cli, "explainer=cafo").table["order"] == "first").all()


def test_scores_are_the_librarys_and_their_definitions_are_kept(cli: Cli) -> None:
    run = done(cli, "order=second", "metrics=all", "metrics.insertion.steps=9")
    assert set(run.metrics) == set(METRICS) - {
        name for family in ("curvature", "regions", "reach") for name in FAMILIES[family]
    }
    assert set(run.metrics) <= set(run.table.columns)
    assert run.metrics["insertion"]["parameters"]["steps"] == 9
    assert run.metrics["deletion"]["higher_is_better"] is False
    maps = torch.from_numpy(np.stack(list(run.maps.values())))
    targets = torch.tensor(run.table["target"].tolist())
    case = Case(networks.network().eval(), pixels("coffee", "moon", "retina"), maps, targets)
    for name in ("insertion", "deletion", "road_morf", "aopc", "infidelity", "gini", "zeros"):
        parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in run.metrics[name]["parameters"].items()}
        expected = make_metric(name, **parameters).score(case)
        np.testing.assert_allclose(run.table[name], expected.values, rtol=1e-4, atol=1e-6, err_msg=name)
    x, curves = run.curves("insertion")
    assert x.tolist() == pytest.approx(make_metric("insertion", steps=9).score(case).x.tolist())
    np.testing.assert_allclose(curves, make_metric("insertion", steps=9).score(case).curve, rtol=1e-4, atol=1e-5)
    assert run.table[["randomised_layers", "random_class", "max_sensitivity"]].notna().all().all()


def test_a_run_with_metrics_ends_with_a_table_of_them(cli: Cli) -> None:
    ended = cli(*TINY, SOME, "metrics=complexity")
    assert "entropy" in ended.out
    assert "95 % bootstrap intervals" in ended.out
    table = pd.read_csv(ended.directory / "scores.csv").set_index("metric")
    run = load_run(ended.directory)
    assert table.loc["gini", "mean"] == pytest.approx(run.table["gini"].mean())
    assert table.loc["gini", "mean_low"] <= table.loc["gini", "mean"] <= table.loc["gini", "mean_high"]
    assert "| cafo |" in (ended.directory / "scores.md").read_text()
    assert "\\begin{tabular}" in (ended.directory / "scores.tex").read_text()


def test_a_sweep_over_explainers_ends_with_a_comparison(cli: Cli) -> None:
    ended = cli("-m", *TINY, SOME, "explainer=cafo,gradient,random", "metrics=complexity", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    table = pd.read_csv("sweep/comparison.csv")
    assert list(dict.fromkeys(table["method"])) == ["cafo", "gradient", "random"]
    assert list(dict.fromkeys(table["metric"])) == ["zeros", "gini", "entropy", "median_difference"]
    assert (table["count"] == 3).all()
    with Image.open("sweep/comparison.png") as figure:
        assert figure.size[0] > 500
    assert "random" in Path("sweep/comparison.md").read_text()


def test_figures_of_which_neither_direction_is_better(cli: Cli) -> None:
    names = f"metrics.names=[{','.join(FAMILIES['curvature'])},gini]"
    command = ("-m", *TINY, SOME, "explainer=cafo,caso", "metrics=curvature", names, "hydra.sweep.dir=sweep")
    ended = cli(*command, "metrics.restricted_share.counts=[2,3]")
    assert ended.code == 0, ended.err
    table = pd.read_csv("sweep/comparison.csv").set_index("metric")
    assert table.loc[list(FAMILIES["curvature"]), "better"].isna().all()
    assert table["mean"].notna().all()
    latex, markdown = (Path(f"sweep/comparison.{kind}").read_text() for kind in ("tex", "md"))
    assert "restricted\\_share & restricted\\_distance &" in latex
    assert "| restricted_share | restricted_distance |" in markdown
    assert markdown.count("**") <= 4, "no best one but of gini"
    run = load_run(Path("sweep/0"))
    x, curves = run.curves("restricted_share")
    assert x.tolist() == [2, 3]
    np.testing.assert_allclose(curves[:, 0], 1)
    assert run.table["leading_share"].between(0, 1).all()
    assert (run.table["gauss_newton_difference"] < 1e-3).all()


def test_a_path_has_scores_for_every_value(cli: Cli) -> None:
    run = done(cli, "order=second", "regularization=path", "regularization.n=4", "metrics=complexity")
    assert run.table["gini"].notna().all()
    assert len(run.table) == 12
    zeros = [(run.maps["moon"][i] == 0).mean() for i in range(4)]
    assert run.table.loc[run.table["image"] == "moon", "zeros"].tolist() == pytest.approx(zeros, abs=1e-6)
    assert not (run.directory / "scores.csv").exists(), "a path is not one method"


@pytest.mark.parametrize("kind", ["run", "folder"])
def test_maps_from_elsewhere_are_scored(cli: Cli, kind: str) -> None:
    first = done(cli, "order=second", "metrics=faithfulness", "metrics.insertion.steps=9")
    where = first.directory
    if kind == "folder":
        where = Path("arrays")
        where.mkdir()
        for name, attribution in first.maps.items():
            np.save(where / f"{name}.npy", attribution)
    steps = "metrics.insertion.steps=9"
    again = done(cli, "explainer=stored", f"explainer.path={where}", "metrics=faithfulness", steps)
    for name in first.metrics:
        np.testing.assert_allclose(again.table[name], first.table[name], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(again.maps["moon"], first.maps["moon"])


def test_an_image_without_a_stored_map_is_a_row_with_its_reason(cli: Cli) -> None:
    Path("arrays").mkdir()
    np.save("arrays/coffee.npy", np.ones((10, 12), dtype=np.float32))
    np.save("arrays/moon.npy", np.ones((3, 4, 4), dtype=np.float32))
    ended = cli(*TINY, SOME, "explainer=stored", "explainer.path=arrays", "metrics=complexity")
    assert ended.code == 1
    rows = load_run(ended.directory).table.set_index("image")
    assert rows["status"].to_dict() == {"coffee": "computed", "moon": "error", "retina": "error"}
    assert "the image [3, 10, 12]" in rows.loc["moon", "message"]
    assert "retina.npy" in rows.loc["retina", "message"]


def test_a_metric_that_fails_costs_no_map(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("no memory for this")

    monkeypatch.setattr("caso.metrics.complexity.Gini._score", fail)
    ended = cli(*TINY, SOME, "metrics=complexity")
    assert ended.code == 0
    assert ended.err.count("metric gini: no score (no memory for this)") == 1
    run = load_run(ended.directory)
    assert len(run.maps) == 3
    assert run.table["gini"].isna().all()
    assert run.table["zeros"].notna().all()


def test_scores_reach_the_loggers(cli: Cli) -> None:
    run = done(cli, "metrics=complexity", "logger=csv")
    logged = pd.read_csv(run.directory / "logs" / "metrics.csv")
    assert sorted(logged["gini"]) == pytest.approx(sorted(run.table["gini"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explainer=gradcamm"], "gradcamm"),
        (["explainer=integrated_gradients", "explainer.n_steps=0"], "n_steps"),
        (["explainer=gradient", "explainer.n_steps=3"], "n_steps"),
        (["explainer=gradient", "regularization=path"], "regularization=path"),
        (["explainer=stored", "explainer.path=nowhere"], "explainer.path=nowhere: no such folder"),
        (["metrics=faithfulness", "metrics.insertion.steps=0"], "metrics.insertion"),
        (["metrics=complexity", "metrics.names=[beauty]"], "metrics.names=beauty: must be among"),
        (["metrics=robustness", "regularization=path"], "needs regularization=fixed"),
        (["metrics=sanity", "explainer=stored", "explainer.path=."], "explainer=stored cannot"),
    ],
)
def test_mistakes_are_one_line(cli: Cli, arguments: list[str], words: str) -> None:
    ended = cli(*TINY, SOME, *arguments)
    assert ended.code == 2, ended.out
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_definitions_are_json_and_make_the_metric_again(cli: Cli) -> None:
    run = done(cli, "metrics=all")
    definitions = json.loads((run.directory / "metrics.json").read_text())
    for name, one in definitions.items():
        parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in one["parameters"].items()}
        assert make_metric(name, **parameters).definition["parameters"] == one["parameters"]
        low, high = one["range"]
        values = run.table[name]
        assert (values >= (-math.inf if low is None else low) - 1e-9).all(), name
        assert (values <= (math.inf if high is None else high) + 1e-9).all(), name
