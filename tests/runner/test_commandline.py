"""What is done to a command line before Hydra reads it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from caso.runner import load_run
from caso.runner.cli.arguments import given_twice, overrides_to_check, tidy
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["lambda1=1", "-m", "order=first,second"], ["-m", "lambda1=1", "order=first,second"]),
        (["order=second", "--cfg", "job", "lambda1=3"], ["lambda1=3", "order=second", "--cfg", "job"]),
        (["--help"], ["--help"]),
        (["-sc", "query=bash"], ["-sc", "query=bash"]),
        (["~hydra.launcher.foo"], ["~hydra.launcher.foo"]),
    ],
)
def test_flags_may_stand_anywhere(typed: list[str], read: list[str]) -> None:
    assert tidy(typed) == read


def test_a_flag_between_keys_makes_a_sweep(cli: Cli) -> None:
    ended = cli(*TINY, "dataset.names=[moon]", "-m", "lambda1=1e-3,1e-4")
    assert ended.code == 0, ended.err
    assert (ended.directory / "1" / "results.csv").is_file()


def test_a_key_given_twice_is_said(cli: Cli) -> None:
    ended = cli(*TINY, "dataset.names=[moon]", "lambda1=1e-4", "seed=1", "lambda1=1e-3", "seed=1")
    assert ended.err.splitlines()[0] == "lambda1 is given twice; lambda1=1e-3 counts"
    assert load_run(ended.directory).config.lambda1 == 1e-3
    assert given_twice(["a=1", "a=1", "-m"]) == []


def test_what_only_shows_is_not_checked() -> None:
    assert overrides_to_check(["lambda1=1"]) is None
    assert overrides_to_check(["-m", "lambda1=1,2", "--help"]) is None
    assert overrides_to_check(["-m", "lambda1=1,2"]) == ["lambda1=1,2"]


def test_a_tilde_is_the_home_folder_in_every_value(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    Image.new("RGB", (40, 40), "green").save(home / "x.png")
    for typed in ("image=~/x.png", "image=[~/x.png]", "image='~/x.png'"):
        ended = cli(*TINY, typed, "logger=none")
        assert ended.code == 0, ended.err
        assert list(load_run(ended.directory).maps) == ["x.png"]
    ended = cli("dataset=imagefolder", "dataset.root=~/nope")
    assert (ended.code, ended.err) == (2, f"dataset.root={home}/nope: no such folder\n")
