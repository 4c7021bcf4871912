"""Loggers: what each leaves, and that none can stop a run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from caso.runner import load_run
from caso.runner.results.loggers import _run_name
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
SOME = "dataset.names=[moon,coffee]"


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DATA_DIR"):
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


class Spied(NamedTuple):
    """What W&B's own run was given, and what it made of it."""

    options: dict[str, Any]
    logged: list[dict[str, Any]]
    summary: dict[str, Any]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Spied]:
    """The W&B runs of a test."""
    import wandb

    made: list[Spied] = []
    init = wandb.init

    def spy(**options: Any) -> Any:
        run = init(**options)
        spied = Spied(options, [], {})
        made.append(spied)
        log, finish = run.log, run.finish
        monkeypatch.setattr(run, "log", lambda values: (spied.logged.append(values), log(values)))

        def finished(**how: Any) -> None:
            spied.summary.update(run.summary._as_dict())
            finish(**how)

        monkeypatch.setattr(run, "finish", finished)
        return run

    monkeypatch.setattr("wandb.init", spy)
    return made


def test_wandb_is_offline_without_a_key(cli: Cli, runs: list[Spied]) -> None:
    import wandb

    ended = cli(*TINY, SOME, "logger=wandb")
    assert ended.code == 0
    lines = [line for line in ended.err.splitlines() if "wandb" in line]
    assert len(lines) == 1
    assert "offline" in lines[0]
    assert len(list(ended.directory.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert len(list(ended.directory.glob("wandb/offline-run-*/files/media/images/image/picture_*.png"))) == 2
    (run,) = runs
    assert run.options["config"]["lambda1"] == 1e-4
    assert run.options["group"] is None
    assert [values["image/confidence"] > 0 for values in run.logged[:2]] == [True, True]
    assert wandb.run is None


def test_wandbs_summary_is_the_runs_and_not_the_last_images(cli: Cli, runs: list[Spied]) -> None:
    ended = cli(*TINY, "dataset.names=[moon,coffee,camera,retina]", "logger=wandb", "metrics=complexity")
    assert ended.code == 0, ended.err
    (run,) = runs
    of_images = {"confidence", "sparsity", "seconds", "gini", "picture"}
    assert {f"image/{name}" for name in of_images} <= set(run.logged[-3])
    own = {name for name in run.summary if not name.startswith("_")}
    expected = {name for name, value in load_run(ended.directory).summary.items() if value is not None}
    assert own == expected | {"results", "contact_sheet"}
    table = load_run(ended.directory).table
    assert run.summary["median_confidence"] == pytest.approx(table["confidence"].median())
    assert run.summary["median_gini"] == pytest.approx(table["gini"].median())
    assert run.summary["median_confidence"] != table["confidence"].iloc[-1]


def test_wandbs_table_has_its_pictures_in_the_runs_directory(cli: Cli, runs: list[Spied]) -> None:
    ended = cli(*TINY, "dataset.names=[moon,coffee,camera]", "logger=wandb", "pictures=2")
    (run,) = runs
    results = next(values["results"] for values in run.logged if "results" in values)
    drawn = results.get_column("picture")
    assert [picture is not None for picture in drawn] == [True, True, False]
    staged = [path.read_bytes() for path in ended.directory.glob("wandb/data/artifacts/staging/*")]
    for picture in ("000000.png", "000001.png"):
        assert (ended.directory / "pictures" / picture).read_bytes() in staged
    tables = [json.loads(content) for content in staged if content.startswith(b"{")]
    column = tables[0]["columns"].index("picture")
    assert [(row[column] or {}).get("_type") for row in tables[0]["data"]] == ["image-file", "image-file", None]
    (sheet,) = ended.directory.glob("wandb/offline-run-*/files/media/images/contact_sheet_*.png")
    assert sheet.read_bytes() == (ended.directory / "contact_sheet.png").read_bytes()
    assert "WANDB_DATA_DIR" not in os.environ


def test_wandbs_names_and_tags(cli: Cli, runs: list[Spied]) -> None:
    ended = cli(*TINY, "dataset.names=[moon]", "logger=wandb", "order=second", "lambda1=1e-3", "hydra.run.dir=a/b")
    assert ended.code == 0
    (run,) = runs
    assert set(run.options["tags"]) == {"tests.runner.networks:tiny", "photos", "order=second", "caso"}
    name = run.options["name"]
    assert "order=second lambda1=1e-3" in name
    assert name.endswith(" a-b")
    long = _run_name(["dataset.names=[" + "moon," * 100 + "]"], Path("multirun/12/7"))
    assert len(long) == 128
    assert long.endswith(" 12-7")


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


@pytest.mark.parametrize(
    "where", ["wandb.init", "caso.runner.results.loggers.Wandb.log", "caso.runner.results.loggers.Wandb.finish"]
)
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
    from caso.runner.results.loggers import _has_key

    assert not _has_key()
    path = tmp_path / "no-netrc"
    path.write_text("machine api.wandb.example login user password secret\n")
    path.chmod(0o600)
    assert _has_key()
    path.write_text("machine example.org login user password secret\n")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert _has_key()
