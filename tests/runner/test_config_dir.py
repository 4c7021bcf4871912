"""The user's own files of configuration, by ``--config-dir``: in help, checks, runs, sweeps and what is resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from caso.runner import load_run
from caso.runner.cli.arguments import tidy, user_directory
from tests.conftest import Ended
from tests.runner import program

Cli = Callable[..., Ended]
FILES = {
    "model/own.yaml": "defaults: [python, _self_]\nentry: tests.runner.networks:tiny\n",
    "experiment/night.yaml": "# @package _global_\nlambda1: 0.5\ndataset: {names: [moon]}\n",
    "metrics/mine.yaml": "names: [gini, entropy]\n",
    "logger/team.yaml": "defaults: [wandb, _self_]\nwandb: {project: shared, mode: offline}\n",
}
MINE = ("--config-dir", "mine", "model=own")


@pytest.fixture(autouse=True)
def mine(tmp_path: Path) -> Path:
    """The folder, beside which the command line runs."""
    for name, text in FILES.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    return tmp_path / "mine"


def test_its_files_are_choices_of_the_groups(cli: Cli) -> None:
    ended = cli(*MINE, "experiment=night", "metrics=mine", "logger=[csv,team]")
    assert ended.code == 0, ended.err
    run = load_run(ended.directory)
    assert run.table["image"].to_list() == ["moon"]
    assert run.table["lambda1"].to_list() == [0.5]
    assert {"gini", "entropy"} <= set(run.table.columns)
    assert run.config["logger"]["wandb"]["project"] == "shared"
    assert list(ended.directory.glob("wandb/offline-run-*"))


def test_help_lists_them(tmp_path: Path) -> None:
    ended = program.run(tmp_path, "--config-dir", "mine", "--help")
    line = next(line for line in ended.stdout.splitlines() if line.startswith("experiment: "))
    assert "night" in line.split(": ")[1].split(", ")


@pytest.mark.parametrize("flags", [["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"], ["-cd=mine"]])
def test_the_folder_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    tidied = tidy([*flags, "model=own"])
    assert "model=own" in tidied
    assert user_directory(tidied) == tmp_path / "mine"


def test_messages_know_them(cli: Cli) -> None:
    ended = cli(*MINE[:2], "model=onw")
    assert ended.code == 2
    assert ended.err.startswith("model=onw: choose ")
    assert " own, " in ended.err


def test_a_sweep_is_checked_whole_and_goes_on_from_elsewhere(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = cli("-m", *MINE, "experiment=night", "lambda1=1e-4,-1")
    line = "lambda1=-1: must be finite, at least 0 (in the job lambda1=-1; no job was run)\n"
    assert (wrong.code, wrong.err) == (2, line)
    assert cli("-m", *MINE, "experiment=night", "lambda1=1e-4,1", "hydra.sweep.dir=sweep").code == 0
    shutil.rmtree(tmp_path / "sweep" / "1" / "parts")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert cli("resume=../sweep").code == 0
    assert pd.read_csv(tmp_path / "sweep" / "sweep.csv")["images"].to_list() == [1, 1]
    assert len(load_run(tmp_path / "sweep" / "1").maps) == 1


def test_a_run_finds_it_again_or_is_told_where_it_went(cli: Cli, mine: Path) -> None:
    assert cli(*MINE, "experiment=night", "hydra.run.dir=run").code == 0
    assert cli("resume=run").code == 0
    mine.rename(mine.with_name("moved"))
    ended = cli("resume=run")
    assert (ended.code, ended.err) == (2, f"--config-dir {mine}: no such directory\n")
    assert cli("resume=run", "--config-dir", "moved").code == 0


def test_names_that_are_caso_s_own_are_refused(cli: Cli, mine: Path) -> None:
    (mine / "model" / "python.yaml").write_text("name: python\nentry: a:b\n")
    ended = cli(*MINE)
    line = f"--config-dir {mine}: model/python.yaml is the name of a file of caso's; choose another\n"
    assert (ended.code, ended.err) == (2, line)


def test_a_misspelt_option_in_a_file_is_told(cli: Cli, mine: Path) -> None:
    (mine / "model" / "own.yaml").write_text("defaults: [python, _self_]\nentri: tests.runner.networks:tiny\n")
    ended = cli(*MINE, "dataset.names=[moon]")
    assert ended.code == 2
    assert "entri" in ended.err
    assert ended.err.count("\n") == 1
