"""Loggers: what each leaves, and that none can stop a run."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from caso.runner import load_run
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
SOME = "dataset.names=[moon,coffee]"


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def test_csv(cli: Cli) -> None:
    ended = cli(*TINY, SOME, "logger=csv")
    metrics = pd.read_csv(ended.directory / "logs" / "metrics.csv")
    assert metrics["step"].tolist() == [0, 1]
    assert {"confidence", "sparsity", "kkt_residual"} <= set(metrics.columns)
    assert (ended.directory / "logs" / "hparams.yaml").is_file()


def test_none(cli: Cli) -> None:
    ended = cli(*TINY, SOME, "logger=none")
    assert ended.code == 0
    assert not (ended.directory / "logs").exists()


def test_wandb_is_offline_without_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    logged, made, summaries = [], [], []
    init = wandb.init

    def spy(**options: object):
        run = init(**options)
        made.append((options, run))
        log = run.log
        # Of the class: an attribute of the object would be a value of the summary.
        monkeypatch.setattr(type(run.summary), "update", lambda self, values: summaries.append(values))
        monkeypatch.setattr(run, "log", lambda values: (logged.append(values), log(values)))
        return run

    monkeypatch.setattr("wandb.init", spy)
    ended = cli(*TINY, SOME, "logger=wandb")
    assert ended.code == 0
    lines = [line for line in ended.err.splitlines() if "wandb" in line]
    assert len(lines) == 1
    assert "offline" in lines[0]
    assert len(list(ended.directory.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert len(list(ended.directory.glob("wandb/offline-run-*/files/media/images/picture_*.png"))) == 2
    options, _ = made[0]
    assert options["config"]["lambda1"] == 1e-4
    assert options["group"] is None
    assert [values["confidence"] > 0 for values in logged[:2]] == [True, True]
    assert summaries[0]["images"] == 2
    assert "results" in logged[-1]
    assert wandb.run is None


def test_wandb_has_a_run_a_job_and_a_group_a_sweep(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    groups = []
    init = wandb.init
    monkeypatch.setattr("wandb.init", lambda **options: (groups.append(options["group"]), init(**options))[1])
    ended = cli("-m", *TINY, "dataset.names=[moon]", "logger=wandb", "lambda1=1e-4,1e-3")
    assert ended.code == 0
    assert len(groups) == 2
    assert len(set(groups)) == 1
    assert groups[0] is not None
    for job in ("0", "1"):
        assert len(list((ended.directory / job).glob("wandb/offline-run-*"))) == 1


@pytest.mark.parametrize("where", ["wandb.init", "caso.runner.loggers.Wandb.log", "caso.runner.loggers.Wandb.finish"])
def test_a_logger_that_fails_does_not_stop_the_run(cli: Cli, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("quota exceeded")

    monkeypatch.setattr(where, fail)
    ended = cli(*TINY, SOME, "logger=wandb", "logger.mode=offline")
    assert ended.code == 0
    assert ended.err.count("quota exceeded") == 1
    assert len(load_run(ended.directory).maps) == 2


def test_a_server_that_cannot_be_reached_means_offline(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    init = wandb.init

    def unreachable(**options: object):
        if options["mode"] == "online":
            raise wandb.errors.CommError("no route")
        return init(**options)

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("wandb.init", unreachable)
    ended = cli(*TINY, SOME, "logger=wandb")
    assert ended.code == 0
    assert "no connection (no route); logging offline" in ended.err
    assert len(list(ended.directory.glob("wandb/offline-run-*"))) == 1


def test_the_key_is_found_where_wandb_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.loggers import _has_key

    assert not _has_key()
    path = tmp_path / "no-netrc"
    path.write_text("machine api.wandb.example login user password secret\n")
    path.chmod(0o600)
    assert _has_key()
    path.write_text("machine example.org login user password secret\n")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert _has_key()
