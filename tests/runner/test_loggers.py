"""Loggers: what each leaves, and that none can stop a run."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from caso.runner import load_run
from caso.runner.results.loggers.wandb_logger import _run_name
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


def events(directory: Path) -> EventAccumulator:
    """What TensorBoard itself reads."""
    read = EventAccumulator(str(directory / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    return read.Reload()


def test_tensorboard_has_figures_pictures_and_settings(cli: Cli) -> None:
    ended = cli(*TINY, "dataset.names=[moon,coffee,camera]", "logger=tensorboard", "metrics=complexity", "pictures=2")
    assert ended.code == 0, ended.err
    read, run = events(ended.directory), load_run(ended.directory)
    for name in ("confidence", "sparsity", "kkt_residual", "gini"):
        logged = read.Scalars(f"image/{name}")
        assert [event.step for event in logged] == [0, 1, 2]
        assert [event.value for event in logged] == pytest.approx(run.table[name].to_list(), rel=1e-6)
    assert read.Scalars("summary/images")[0].value == 3
    assert read.Scalars("summary/median_gini")[0].value == pytest.approx(run.table["gini"].median())
    pictures = {f"pictures/{row.image}": row.picture for row in run.table.itertuples() if row.picture}
    assert len(pictures) == 2
    for tag, file in {**pictures, "contact_sheet": "contact_sheet.png"}.items():
        (drawn,) = read.Images(tag)
        with Image.open(io.BytesIO(drawn.encoded_image_string)) as shown, Image.open(ended.directory / file) as kept:
            np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), np.asarray(kept.convert("RGB")))
    assert set(read.Tags()["images"]) == {*pictures, "contact_sheet"}
    (text,) = read.Tensors("configuration/text_summary")
    assert "    lambda1: 0.0001\n" in text.tensor_proto.string_val[0].decode()
    hparams = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"lambda1" in hparams


def test_what_tensorboard_shows_of_a_resumed_run_is_there_once(cli: Cli) -> None:
    directory = cli(*TINY, "dataset.names=[moon,coffee]", "logger=tensorboard").directory
    assert cli(f"resume={directory}").code == 0
    assert [event.step for event in events(directory).Scalars("image/confidence")] == [0, 1]
    assert len(list((directory / "tensorboard").glob("events.*"))) == 1


def test_tensorboard_takes_names_that_are_no_valid_text(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "\udcff <b>\n.png"
    Image.new("RGB", (12, 10), "red").save(path)
    ended = cli(*TINY, f"image='{tmp_path}'", "logger=tensorboard")
    assert ended.code == 0
    assert "stopped" not in ended.err
    (tag,) = set(events(ended.directory).Tags()["images"]) - {"contact_sheet"}
    assert tag.endswith("\\udcff <b>\\n.png")


def test_several_loggers_log_the_same_run(cli: Cli) -> None:
    ended = cli(*TINY, SOME, "logger=[csv,tensorboard,wandb]", "logger.wandb.mode=offline", "logger.wandb.project=mine")
    assert ended.code == 0, ended.err
    confidence = load_run(ended.directory).table["confidence"].to_list()
    assert pd.read_csv(ended.directory / "logs" / "metrics.csv")["confidence"].to_list() == pytest.approx(confidence)
    shown = [event.value for event in events(ended.directory).Scalars("image/confidence")]
    assert shown == pytest.approx(confidence)
    assert len(list(ended.directory.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert "project: mine" in (ended.directory / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["logger=wandb", "logger.mode=x"], "logger.wandb.mode=x: must be online, offline or disabled"),
        (["logger=[csv,wandb]", "logger.wandb.mode=x"], "logger.wandb.mode=x: must be online, offline or disabled"),
        (["logger.project=x"], "logger.wandb.project: no such key without its logger; add logger=wandb"),
        (["logger=[csv,wandb]", "logger.wandb.projct=x"], "logger.wandb.projct: no such key; did you mean"),
        (["logger=[csv,wnadb]"], "logger=wnadb: choose csv, none, tensorboard or wandb; did you mean wandb?"),
        (["logger=[csv,wandb]", "lamda1=1"], "lamda1: no such key; did you mean lambda1"),
        (["+logger.wandb.mode=offline"], "logger.wandb.project=???: must be given; logger=wandb has its default"),
        (["+logger.other.x=1"], "logger.other"),
    ],
)
def test_mistakes_in_loggers_are_one_line(cli: Cli, given: list[str], line: str) -> None:
    ended = cli(*TINY, SOME, *given)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(line)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("key", ["logger.project", "logger.wandb.project", "++logger.project"])
def test_an_option_may_be_given_without_its_owner(cli: Cli, runs: list["Spied"], key: str) -> None:
    assert cli(*TINY, "dataset.names=[moon]", "logger=wandb", f"{key}=mine").code == 0
    assert runs[0].options["project"] == "mine"


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
    "where", ["wandb.init", *(f"caso.runner.results.loggers.wandb_logger.Wandb.{step}" for step in ("log", "finish"))]
)
def test_a_logger_that_fails_does_not_stop_the_run(cli: Cli, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("quota exceeded")

    monkeypatch.setattr(where, fail)
    ended = cli(*TINY, SOME, "logger=[wandb,csv]", "logger.mode=offline")
    assert ended.code == 0
    assert ended.err.count("quota exceeded") == 1
    assert ended.err.count("logger=wandb: stopped") == 1
    assert len(pd.read_csv(ended.directory / "logs" / "metrics.csv")) == 2
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
    from caso.runner.results.loggers.wandb_logger import _has_key

    assert not _has_key()
    path = tmp_path / "no-netrc"
    path.write_text("machine api.wandb.example login user password secret\n")
    path.chmod(0o600)
    assert _has_key()
    path.write_text("machine example.org login user password secret\n")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert _has_key()
