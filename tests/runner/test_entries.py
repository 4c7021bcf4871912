"""The user's own functions, by `entry` and `args`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from caso.runner import load_run
from tests.conftest import Ended

Cli = Callable[..., Ended]
SCALED = ("model=python", "model.entry=tests.runner.networks:scaled", "dataset.names=[moon]")


def test_a_sweep_over_arguments_tells_them_apart(cli: Cli) -> None:
    ended = cli("-m", *SCALED, "model.args.factor=1,2", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    first, second = (load_run(Path("sweep") / str(job)) for job in range(2))
    assert first.table["model"].tolist() == ["tests.runner.networks:scaled(factor=1)"]
    assert second.table["model"].tolist() == ["tests.runner.networks:scaled(factor=2)"]
    assert (first.maps["moon"] != second.maps["moon"]).any()
    assert pd.read_csv("sweep/sweep.csv")["overrides"].tolist() == ["model.args.factor=1", "model.args.factor=2"]


def test_a_run_resumes_with_the_same_arguments_only(cli: Cli) -> None:
    assert cli(*SCALED, "model.args.factor=2", "hydra.run.dir=run").code == 0
    assert cli("resume=run").code == 0
    for other, said in (("factor=3", "factor=3: run holds results with model.args.factor=2"),
                        ("power=2", "power=2: run holds results with model.args.power=null")):  # fmt: skip
        ended = cli("resume=run", f"model.args.{other}")
        assert ended.code == 2
        assert f"model.args.{said}" in ended.err.replace(str(Path.cwd()) + "/", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "model.args.factor=???: must be given, for tests.runner.networks:scaled needs it"),
        (["model.args.factr=2"], "model.args.factr=2: tests.runner.networks:scaled takes no such argument; did you"),
        (["model.args.factor=2", "model.args.zebra=1"], "zebra=1: tests.runner.networks:scaled takes no such argument"),
        (["model.args=3"], "model.args=3: must be arguments by name, as model.args.checkpoint=a.pt"),
        (["model.entry=tests.runner.networks:tiny", "model.args.factor=2"], "it takes no arguments"),
        (["model.args.factor=two"], "model.entry=tests.runner.networks:scaled: failed with TypeError"),
    ],
)
def test_wrong_arguments_are_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    ended = cli(*SCALED, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert line in ended.err.splitlines()[-1]
    assert not list(Path().glob("outputs/*/*/parts/*.rows"))
