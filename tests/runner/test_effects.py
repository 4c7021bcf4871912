"""No option without effect: with every choice, a key changes the result, is refused, or is known as harmless."""

import copy
import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from caso.baselines import BASELINES
from caso.runner.cli.effects import ALWAYS, HARMLESS, MEANS, NEUTRAL, READ_WITH, needs, typed_keys, without_effect
from caso.runner.cli.jobs import settle
from caso.runner.cli.messages import ConfigError
from caso.runner.cli.schema import Config, register
from caso.runner.explain.methods import make_method
from tests.conftest import CONF, ROOT
from tests.experiments.test_experiments import EXPERIMENTS, jobs
from tests.runner.networks import network

ITERATIVE = ("proximal", "sgd", "adam", "lbfgs")
FEW = ("n_iter=40", "lr=1e-3")
OPTIONS = {"occlusion": ("explainer.window=4", "explainer.stride=3"), "smoothgrad": ("n_samples=2",)}
SETTINGS: list[tuple[str, ...]] = [
    ("order=first",),
    ("order=second",),
    *[(f"order={order}", f"solver={solver}", *FEW) for order in ("first", "second") for solver in ITERATIVE],
    ("order=second", "solver=closed_form", "lambda1=0"),
    *[(f"order={order}", "regularization=auto") for order in ("first", "second")],
    *[(f"order={order}", "regularization=path", "regularization.n=3") for order in ("first", "second")],
    ("regularization=path", "regularization.lambda1s=[1e-3,1e-2]"),
    *[(f"order={order}", "smooth=true", "n_samples=2") for order in ("first", "second")],
    *[(f"explainer={name}",) for name in ("cafo", "caso")],
    ("explainer=smooth_caso", "n_samples=2"),
    *[(f"explainer={name}", *OPTIONS.get(name, ())) for name in BASELINES],
]  # fmt: skip
"""Choices of the groups that say how maps are made."""
OTHERS: dict[str, list[Any]] = {
    "order": ["first", "second"],
    "solver": ["proximal", "sgd"],
    "regularization": ["auto"],
    "lambda1": [0.05],
    "lambda2": [9.0],
    "sparsity": [0.3],
    "curvature": ["double_backward", "gauss_newton"],
    "smooth": [True],
    "n_samples": [3],
    "stddev": [0.4],
    "tol": [0.999999, 0.5, 1e-15],
    "n_iter": [4],
    "lr": [0.3],
    "init": ["random"],
    "solver.n_iter": [4],
    "solver.lr": [0.3],
    "solver.init": ["random"],
    "regularization.sparsity": [0.3],
    "regularization.lambda1s": [[2e-3, 2e-2]],
    "regularization.n": [4],
    "times_input": [True],
    "magnitude": [True],
}
"""Keys, and values of which one must show."""
PIXELS = torch.rand(1, 3, 10, 12, generator=torch.Generator().manual_seed(1))


@cache
def composed(setting: tuple[str, ...]) -> Any:
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        return compose("config", overrides=list(setting))


def changed(setting: tuple[str, ...], values: dict[str, Any]) -> Any:
    cfg = copy.deepcopy(composed(setting))
    for key, value in values.items():
        OmegaConf.update(cfg, f"{key}.name" if key in ("order", "solver", "regularization") else key, value)
    return cfg


def result(cfg: Any) -> list[Any]:
    """Everything that a run keeps of an image."""
    cfg = settle(cfg)
    explained = make_method(cfg, network().eval(), 0).explain(PIXELS, 1, ["one"])
    return [(one.maps.numpy().tobytes(), repr(one.rows)) for one in explained]


@cache
def before(setting: tuple[str, ...]) -> list[Any]:
    return result(composed(setting))


@cache
def sorted_out(setting: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The keys that are refused with a setting, with a value; and those that are not, with all that may be given."""
    refused: dict[str, Any] = {}
    read: dict[str, list[Any]] = {}
    for key, values in OTHERS.items():
        if "." in key and OmegaConf.select(composed(setting), key.partition(".")[0]).get(key.partition(".")[2], 0) == 0:
            continue  # Hydra knows the key with another choice only
        for value in values:
            cfg = changed(setting, {key: value})
            if cfg == composed(setting):
                continue
            if key in without_effect(cfg, {key: str(value).lower()}):
                refused[key] = value
            elif allowed(cfg):
                read.setdefault(key, []).append(value)
    return refused, read


def test_what_hydra_composed_stays_as_it_is() -> None:
    cfg = composed(("explainer=smooth_caso", "image=photo.jpg"))
    before = copy.deepcopy(cfg)
    ran = settle(cfg)
    assert cfg == before
    assert (ran.order.name, ran.smooth, ran.dataset.path) == ("second", True, "photo.jpg")


def allowed(cfg: Any) -> bool:
    try:
        settle(cfg)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("setting", SETTINGS, ids=" ".join)
def test_what_is_refused_changes_nothing(setting: tuple[str, ...]) -> None:
    refused, _ = sorted_out(setting)
    together = {key: value for key, value in refused.items() if allowed(changed(setting, {key: value}))}
    assert refused
    assert result(changed(setting, together)) == before(setting)


@pytest.mark.parametrize("setting", SETTINGS, ids=" ".join)
def test_what_is_not_refused_changes_the_result(setting: tuple[str, ...]) -> None:
    refused, read = sorted_out(setting)
    assert set(read) >= {"times_input", "magnitude"}
    for key, values in read.items():
        same = MEANS.get(composed(setting).explainer.name, {}).get(key) == str(values[0]).lower()
        changes = (result(changed(setting, {key: value})) != before(setting) for value in values)
        assert key in refused or same or any(changes), key


def test_a_default_is_never_refused() -> None:
    for setting in SETTINGS:
        typed = typed_keys(setting)
        assert without_effect(composed(setting), typed) == {}
        assert without_effect(composed(setting), typed | NEUTRAL) == {} or setting == (
            "explainer=smooth_caso",
            "n_samples=2",
        )


def test_every_key_is_in_the_table_once() -> None:
    keys = [field.name for field in dataclasses.fields(Config)]
    listed = [*(key for key in READ_WITH if "." not in key), *ALWAYS, *HARMLESS]
    assert sorted(keys) == sorted(listed)
    assert set(OTHERS) >= {key for key in READ_WITH if key in keys} - {"dataset", "size"}
    assert set(MEANS) <= {path.stem for path in (CONF / "explainer").glob("*.yaml")}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_set_nothing_without_effect(name: str) -> None:
    own = OmegaConf.load(CONF / "experiment" / f"{name}.yaml")
    typed = {str(key): "typed" for key in own if key in READ_WITH and not OmegaConf.is_dict(own[key])}
    typed |= typed_keys(str(one) for one in own.hydra.sweeper.params)
    register()
    unread = set(typed)
    for overrides in jobs(name, "default"):
        with initialize_config_dir(str(CONF), version_base=None):
            cfg = compose("config", overrides=overrides)
        values = {key: str(OmegaConf.select(cfg, key)) for key in typed}
        unread &= set(without_effect(cfg, values))
    assert not unread


def test_the_page_says_what_the_table_says() -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    for key, alternatives in READ_WITH.items():
        assert f"| `{key}` | {needs(alternatives)} |" in page
    for key, why in HARMLESS.items():
        assert f"| `{key}` | {why} |" in page
    for key in ALWAYS:
        assert f"`{key}`" in page


REFUSED = [
    (["order=second", "sparsity=0.95"], "sparsity=0.95: has no effect with regularization=fixed; it needs"),
    (["explainer=caso", "order=first"], "order=first: contradicts explainer=caso, which means order=second"),
    (["explainer=cafo", "order=second"], "order=second: contradicts explainer=cafo, which means order=first"),
    (["explainer=smooth_caso", "smooth=no"], "smooth=no: contradicts explainer=smooth_caso"),
    (["explainer=gradient", "smooth=true"], "smooth=true: has no effect with explainer=gradient; it needs"),
    (["explainer=edges", "lambda2=3"], "lambda2=3: has no effect with explainer=edges"),
    (["explainer=smoothgrad", "n_samples=2", "explainer.n_samples=4"], "has no effect with explainer.n_samples=4"),
    (["n_samples=4"], "n_samples=4: has no effect with smooth=false; it needs smooth=true, or explainer=smoothgrad"),
    (["order=second", "n_iter=20"], "n_iter=20: has no effect with solver=krylov; it needs solver=sgd, adam,"),
    (["solver=sgd", "solver.n_iter=4", "n_iter=20"], "n_iter=20: has no effect with solver.n_iter=4"),
    (["curvature=gauss_newton"], "curvature=gauss_newton: has no effect with order=first; it needs order=second"),
    (["regularization=path", "lambda1=1"], "lambda1=1: has no effect with regularization=path; it needs"),
    (["regularization=path", "regularization.n=3", "regularization.lambda1s=[1]"], "regularization.n=3: has no effect"),
    (["regularization=auto", "+sparsity=0.5"], "+sparsity: the configuration has this key"),
    (["size=smoke"], "size=smoke: has no effect with experiment=null; it needs experiment=NAME"),
    (["image=a.png", "dataset=cifar10"], "dataset=cifar10: has no effect with image=a.png; it needs image=null"),
    (["image=a.png", "dataset.names=[moon]"], "dataset.names=[moon]: has no effect: image=a.png"),
    (["metrics=all", "metrics.names=[gini]", "metrics.insertion.steps=9"], "insertion is not among metrics.names"),
    (["experiment=confidence_pair", "order=first", "experiment.paper.images=3"], "paper.images=3: has no effect"),
    (["order=second", "lambda1=0", "solver=closed_form", "smooth=true"], "smooth=true: must be false"),
    (["order=second", "lambda1=0", "solver=closed_form", "curvature=gauss_newton"], "must be auto or closed_form"),
    (["explainer=stored"], "explainer.path=???: must be given with explainer=stored"),
    (["experiment=confidence_pair", "seed=1"], "is a sweep: python run.py -m experiment=confidence_pair seed=1 ("),
    (["hydra/launcher=joblib"], "hydra/launcher=joblib: has no effect without -m"),
    (["-m", "hydra.run.dir=x"], "hydra.run.dir=x: has no effect with -m; hydra.sweep.dir"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: " ".join(value))
def test_an_option_without_effect_is_one_line(
    cli: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr("torch.load", lambda *a, **k: pytest.fail("weights were loaded"))
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert said in ended.err
    assert not list(Path().glob("outputs/*/*/parts"))
