"""Sweeps: each job its directory, one table at the end, failures told at once and listed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from caso.runner import load_run
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]


def test_a_sweep_ends_with_one_table(cli: Cli) -> None:
    ended = cli("-m", *TINY, "dataset.names=[moon,coffee]", "order=first,second", "lambda1=1e-5,1e-3")
    assert ended.code == 0, ended.err
    assert ended.out.count("largest eigenvalue") == 1
    jobs = pd.read_csv(ended.directory / "sweep.csv")
    assert jobs["job"].tolist() == [0, 1, 2, 3]
    assert jobs["overrides"].tolist() == [
        f"order={order} lambda1={lambda1}" for order in ("first", "second") for lambda1 in ("1e-05", "0.001")
    ]
    assert (jobs["status"] == "finished").all()
    assert (jobs["images"] == 2).all()
    for directory, overrides in zip(jobs["directory"], jobs["overrides"], strict=True):
        run = load_run(ended.directory / str(directory))
        assert len(run.maps) == 2
        assert isinstance(run.config.lambda1, float)
        assert f"lambda1={run.config.lambda1}" in overrides


def test_a_failing_job_is_told_at_once_listed_and_the_sweep_goes_on(cli: Cli) -> None:
    ended = cli("-m", *TINY, "dataset.names=[moon]", "target=0,99,1")
    assert ended.code == 1
    lines = [line for line in ended.err.splitlines() if "failed" in line]
    assert lines == ["job 1 failed: target=99: a class index goes from 0 to 3"]
    assert ended.err.index("job 1 failed") < ended.err.index("#2")
    assert "Traceback" not in ended.out + ended.err
    jobs = pd.read_csv(ended.directory / "sweep.csv")
    assert jobs["status"].tolist() == ["finished", "failed", "finished"]
    assert "target=99" in jobs.loc[1, "message"]
    assert "failed" in ended.out


def test_a_sweep_with_images_that_fail_ends_with_a_status(cli: Cli) -> None:
    entry = "model.entry=tests.runner.networks:nan_for_dark"
    ended = cli("-m", "model=python", entry, "dataset.names=[hubble_deep_field,coffee]", "lambda1=1e-4,1e-3")
    jobs = pd.read_csv(ended.directory / "sweep.csv")
    assert (jobs["failed_images"] == 1).all()
    assert ended.code == 1


def test_a_type_error_in_a_sweep_stops_it_before_it_starts(cli: Cli) -> None:
    ended = cli("-m", *TINY, "lambda1=1e-4,abc")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("lambda1=abc: must be a number") or "abc" in ended.err


def test_a_value_out_of_range_stops_a_sweep_before_it_starts(cli: Cli) -> None:
    ended = cli("-m", *TINY, "explainer=cafo,caso", "lambda1=1e-4,-1")
    said = "lambda1=-1: must be finite, at least 0 (in the job explainer=cafo lambda1=-1; no job was run)\n"
    assert (ended.code, ended.out, ended.err) == (2, "", said)
    assert not Path("multirun").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["order=first,second", "solver=krylov"], "solver=krylov: cannot serve order=first"),
        (["explainer=gradient,stored"], "explainer.path=???: must be given with explainer=stored"),
        (["lambda1=interval(0,1)"], "lambda1=interval(0,1): has no list of values"),
        (["experiment=confidence_pair", "explainer=gradient"], "order=first: has no effect with explainer=gradient"),
        (["hydra.sweeper.foo=1", "lambda1=1,2"], "hydra.sweeper.foo: no such key; did you mean hydra.sweeper.params"),
    ],
    ids=lambda value: " ".join(value),
)
def test_mistakes_in_a_sweep_stop_it_before_it_starts(cli: Cli, arguments: list[str], said: str) -> None:
    ended = cli("-m", *TINY, *arguments)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert ended.err.startswith(said)


def test_a_key_must_be_read_by_one_job(cli: Cli) -> None:
    one = (*TINY, "dataset.names=[moon]", "pictures=0")
    refused = cli("-m", *one, "explainer=gradient,edges", "lambda1=1e-3,1e-4")
    assert refused.code == 2
    assert refused.err.startswith(
        "lambda1=0.001: has no effect with explainer=gradient; it needs explainer=auto, cafo,"
    )
    ended = cli("-m", *one, "explainer=cafo,gradient", "lambda1=1e-3")
    assert ended.code == 0
    assert ended.err.count("lambda1=0.001: has no effect with explainer=gradient") == 1
    assert "(in some of the jobs)" in ended.err
    assert cli(f"resume={ended.directory / '1'}").code == 0, "it was checked when it began"
