"""Every file in conf/ composes, and the schema holds types."""

import dataclasses
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from caso.metrics import FAMILIES, METRICS
from caso.runner.cli.schema import Config, register
from caso.runner.cli.validation import check, resolve_solver
from caso.runner.data import DATASETS
from caso.runner.explain.methods import EXPLAINERS
from caso.runner.explain.scoring import make_metrics
from caso.runner.models import MODELS
from caso.runner.results.loggers import LOGGERS
from caso.solvers import SOLVERS
from tests.conftest import CONF

CHOICES = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
# Keys that the choice leaves to the user, or that only fit together with another.
WITH = {
    "model=python": ["model.entry=a:b"],
    "dataset=python": ["dataset.entry=a:b"],
    "regions=masks": [f"regions.path={CONF}"],
    "metrics=regions": ["regions=slic"],
    "model=torchvision": ["model.name=resnet18"],
    "model=timm": ["model.name=resnet18"],
    "dataset=imagefolder": ["dataset.root=there"],
    "dataset=imagenet": ["dataset.root=there"],
    "dataset=cub200": ["dataset.root=there"],
    "dataset=huggingface": ["dataset.root=there"],
    "dataset=torchvision": ["dataset.name=SVHN"],
    "dataset=webdataset": ["dataset.path=there"],
    "explainer=stored": ["explainer.path=there"],
    "solver=krylov": ["order=second"],
    "size=paper": ["dataset.root=there"],
}


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        return compose("config", overrides=list(overrides))


@pytest.mark.parametrize("path", CHOICES, ids=str)
def test_every_choice_composes_and_passes_the_checks(path: Path) -> None:
    choice = f"{path.parent}={path.stem}"
    cfg = composed(choice, *WITH.get(choice, []))
    check(cfg)
    if path.parent.name != "experiment":
        without_name = path.parent.name in ("trainer", "logger")
        assert without_name or "name" in cfg[path.parent.name] or "names" in cfg.metrics


def test_metrics_files_name_metrics_and_parameters_that_exist() -> None:
    for path in (CONF / "metrics").glob("*.yaml"):
        cfg = composed(f"metrics={path.stem}", "regions=slic")
        metrics = make_metrics(cfg)
        # What the curvature costs is asked for by name, or with its own family.
        every = sorted(
            set(METRICS) - {name for family in ("curvature", "regions", "reach") for name in FAMILIES[family]}
        )
        wanted = FAMILIES.get(path.stem, every if path.stem == "all" else ())
        if path.stem == "regions":  # with those of faithfulness that can go region by region
            wanted = (*wanted, "insertion", "deletion", "road_morf")
        names = ["leading_cosine", "leading_share"] if path.stem == "curvature" else sorted(wanted)
        assert sorted(metric.name for metric in metrics) == names
        assert set(map(str, cfg.metrics)) <= {"names", *wanted}


def test_every_explainer_has_its_file() -> None:
    assert {path.stem for path in (CONF / "explainer").glob("*.yaml")} == set(EXPLAINERS)


def test_an_experiments_values_hold_and_the_command_line_has_the_last_word() -> None:
    cfg = composed("experiment=confidence_pair")
    assert (cfg.lambda1, cfg.magnitude) == (0.0, True)
    assert composed("experiment=class_count").order.name == "second"
    assert composed("experiment=confidence_pair", "lambda1=0.5").lambda1 == 0.5


def test_the_schema_and_the_defaults_name_the_same_keys() -> None:
    assert set(composed()) == {field.name for field in dataclasses.fields(Config)}
    assert not OmegaConf.missing_keys(composed())


def test_choices_and_factories_name_the_same_things() -> None:
    for group, factories in (("model", MODELS), ("dataset", DATASETS)):
        stems = {path.stem for path in (CONF / group).glob("*.yaml")}
        assert stems >= set(factories)
        for other in stems - set(factories):  # one of them with other values
            assert composed(f"{group}={other}")[group].name in factories
    assert {path.stem for path in (CONF / "logger").glob("*.yaml")} == {"none", *LOGGERS}
    assert set(composed("logger=[csv,none,tensorboard]").logger) == {"csv", "tensorboard"}
    solvers = {path.stem for path in (CONF / "solver").glob("*.yaml")}
    assert solvers == {"auto", *SOLVERS}


def test_the_defaults_are_the_papers() -> None:
    cfg = composed()
    assert (cfg.lambda1, cfg.lambda2, cfg.n_iter, cfg.lr, cfg.n_samples, cfg.stddev) == (1e-4, 4, 10, 0.05, 16, 0.15)
    assert (cfg.order.name, cfg.smooth, cfg.magnitude, cfg.times_input, cfg.init) == (
        "first",
        False,
        False,
        False,
        "zero",
    )


@pytest.mark.parametrize(("written", "value"), [("1e-5", 1e-5), ("1", 1.0), ("0", 0.0), ("0.25", 0.25)])
def test_lambda1_is_a_float(written: str, value: float) -> None:
    lambda1 = composed(f"lambda1={written}").lambda1
    assert isinstance(lambda1, float)
    assert lambda1 == value


def test_the_solver_follows_the_order() -> None:
    assert resolve_solver(composed("order=first")) == "closed_form"
    assert resolve_solver(composed("order=second")) == "krylov"
    assert resolve_solver(composed("order=second", "solver=adam")) == "adam"


def test_crops_take_any_source() -> None:
    cfg = composed("dataset=crops", "dataset@dataset.source=imagefolder", "dataset.source.root=there")
    assert (cfg.dataset.source.name, cfg.dataset.source.root) == ("imagefolder", "there")


def test_options_of_one_choice_are_not_those_of_another() -> None:
    with pytest.raises(ConfigCompositionException):
        composed("dataset=photos", "dataset.n=3")
