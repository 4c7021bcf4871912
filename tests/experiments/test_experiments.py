"""Every experiment is a configuration and a module of the same name, and runs at smoke size."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from caso.runner.cli.schema import register
from caso.runner.cli.validation import check
from experiments.experiment import Verdict, find_experiments, judge
from experiments.reproduce import SIZES, Run, reproduce
from tests.conftest import CONF, ROOT
from tests.runner.program import environment

EXPERIMENTS = [one.name for one in find_experiments()]


def jobs(name: str, size: str) -> list[list[str]]:
    """The overrides of jobs of an experiment's sweep in which every value occurs, as Hydra's own sweeper makes them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = [f"experiment={name}", f"size={size}", *(["dataset.root=somewhere"] if size == "paper" else [])]
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("config", overrides=given, return_hydra_config=True)
    params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    each = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [text]
        for one, text in zip(OverridesParser.create().parse_overrides(params), params, strict=True)
    ]
    first = [values[0] for values in each]
    others = [[*first[:i], value, *first[i + 1 :]] for i, values in enumerate(each) for value in values[1:]]
    return [[*given, *job] for job in (first, *others)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_jobs_compose_at_every_size(name: str, size: str) -> None:
    register()
    for overrides in jobs(name, size):
        with initialize_config_dir(str(CONF), version_base=None):
            cfg = compose("config", overrides=overrides)
        assert cfg.experiment.name == name
        assert cfg.size.name == size
        OmegaConf.resolve(cfg)
        check(cfg)


def test_the_paper_is_on_imagenet_and_resnet() -> None:
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("config", overrides=["experiment=hessian_impact", "size=paper", "dataset.root=somewhere"])
    assert (cfg.dataset.name, cfg.model.name) == ("imagenet", "resnet50")
    assert cfg.dataset.subset.n == cfg.experiment.paper.images


def test_modules_and_configurations_have_the_same_names() -> None:
    assert set(EXPERIMENTS) == {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert len({one.position for one in find_experiments()}) == len(EXPERIMENTS)
    for one in find_experiments():
        for words in (one.title, one.question, one.expectation, one.chosen):
            assert words == words.strip()
            assert "  " not in words


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_gives_tables_figures_and_numbers(report: Path, name: str) -> None:
    content = json.loads((report / "results.json").read_text())["experiments"][name]
    assert content["failures"] == []
    assert content["numbers"]
    assert content["tables"]
    assert content["verdict"]["sentence"].endswith(".")
    assert list((report / "figures").glob(f"{name}_*.pdf"))


def test_a_finished_reproduction_runs_nothing_again(report: Path, overrides: list[str]) -> None:
    def never(arguments: object) -> int:
        raise AssertionError(arguments)

    assert reproduce("smoke", report, ["confidence_pair"], overrides, never) == 0


def test_what_was_interrupted_goes_on(tmp_path: Path, run: Run, overrides: list[str]) -> None:
    class StopError(Exception): ...

    def stopped(arguments: Sequence[str]) -> int:
        run([*arguments, "order=first"])  # the first of its two jobs
        raise StopError

    with pytest.raises(StopError):
        reproduce("smoke", tmp_path, ["confidence_pair"], overrides, stopped)
    assert not (tmp_path / "results.json").exists()
    asked: list[Sequence[str]] = []

    def noted(arguments: Sequence[str]) -> int:
        asked.append(arguments)
        return run(arguments)

    assert reproduce("smoke", tmp_path, ["confidence_pair"], overrides, noted) == 0
    assert len(asked) == 1
    assert (tmp_path / "report.html").exists()


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size=huge: must be one of smoke, default, paper"):
        reproduce("huge", tmp_path)
    with pytest.raises(ValueError, match="only=nothing: must be among class_count"):
        reproduce("smoke", tmp_path, ["nothing"])


def test_a_run_that_fails_is_told_in_the_report(tmp_path: Path, overrides: list[str], run: Run) -> None:
    def broken(arguments: Sequence[str]) -> int:
        return run([*arguments, "lambda2=-1"])

    assert reproduce("smoke", tmp_path, ["confidence_pair"], overrides, broken) == 1
    content = json.loads((tmp_path / "results.json").read_text())["experiments"]["confidence_pair"]
    assert content["verdict"]["holds"] is None
    assert "holds no finished runs" in content["failures"][0]


def test_a_verdict_holds_only_if_all_conditions_do() -> None:
    assert judge([(True, "A."), (True, "B.")]) == Verdict(True, "A. B.")
    assert judge([(True, "A."), (None, "B.")]).holds is None
    assert judge([(None, "A."), (False, "B.")]).holds is False


def test_a_directory_is_for_one_setting(report: Path, overrides: list[str], run: Run) -> None:
    with pytest.raises(ValueError, match=r"confidence_pair was begun with .*size=smoke"):
        reproduce("default", report, ["confidence_pair"], overrides, run)


@pytest.mark.slow
def test_the_script_reproduces_on_the_real_network(tmp_path: Path) -> None:
    command = [str(ROOT / "scripts" / "reproduce.sh"), "size=smoke", f"output={tmp_path / 'made'}"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == f"report: {tmp_path / 'made' / 'report.html'}"
    again = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert again.stdout.count("finished before") == len(EXPERIMENTS)
    wrong = subprocess.run([*command, "what"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (2, "what: must be key=value; see --help\n")
