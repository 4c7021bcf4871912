"""The user's own functions, by `entry` and `args`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from caso.runner import load_run
from caso.runner.cli.messages import ConfigError
from caso.runner.data import Samples, find_samples
from caso.runner.data.decoding import UnreadableImageError
from caso.runner.execution.loading import PixelBatches
from caso.runner.models.geometry import to_pixels
from tests.conftest import Ended
from tests.runner import program
from tests.runner.networks import NAMES, TINY, preprocess

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


def squares(entry: str = "squares", **arguments: object) -> Samples:
    options = {"name": "python", "entry": f"tests.runner.networks:{entry}", "args": arguments}
    return find_samples(OmegaConf.create(options), 0)


def test_labels_come_with_the_items_or_before_them() -> None:
    plain, named = squares(n=6), squares("named_squares", n=6)
    assert list(plain.ids[:2]) == ["0000000", "0000001"]
    assert list(named.ids[:2]) == ["grey 0", "grey 1"]
    assert list(plain.labels or ()) == list(named.labels or ()) == [0, 1, 2, 3, 0, 1]
    assert (plain.label_names, named.label_names) == (None, NAMES)
    assert [sample.label for sample in plain.select([5, 3])] == [1, 3]
    assert plain[2].read().getpixel((0, 0)) == (40, 90, 200)


def test_an_item_is_read_once_for_label_and_image() -> None:
    samples, read = squares(n=3), []
    dataset = samples.reader.dataset
    dataset.__class__ = type("Counted", (type(dataset),), {"__getitem__": lambda self, index: read.append(index)})
    batches = PixelBatches(samples, preprocess, [[1, 2]])
    assert [item.message for item in batches[0].unreadable] == [
        "the data set gives NoneType, not a PIL image, a tensor or an array"
    ] * 2
    assert read == [1, 2]


class Items(list[object]):
    pass


GREY = np.full((4, 5), 51, dtype=np.uint8)


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        (GREY, (1, 4, 5)),
        (GREY.repeat(3).reshape(4, 5, 3), (3, 4, 5)),
        (torch.full((7, 4, 5), 0.2), (7, 4, 5)),
        (torch.full((4, 5), 0.2, dtype=torch.bfloat16), (1, 4, 5)),
        ((torch.full((3, 4, 5), 51, dtype=torch.uint8), torch.tensor(2), "more"), (3, 4, 5)),
        ([Image.fromarray(GREY), -1], (3, 4, 5)),
    ],
)
def test_every_kind_of_image(monkeypatch: pytest.MonkeyPatch, item: object, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr("tests.runner.networks.empty", lambda: Items([item]))
    sample = squares("empty")[0]
    pixels = to_pixels(sample.read())
    assert pixels.shape == shape
    torch.testing.assert_close(pixels, torch.full(shape, 0.2), atol=1e-3, rtol=0)
    assert sample.label == (2 if isinstance(item, tuple) else None)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (torch.full((3, 4, 5), 2.0), "values from 2 to 2, outside [0, 1]"),
        (torch.zeros(3, 4, 5, dtype=torch.long), "values of type int64"),
        (torch.zeros(2, 3, 4, 5), "an array of shape (2, 3, 4, 5) is no image"),
        ("picture.png", "the data set gives str, not a PIL image"),
    ],
)
def test_what_is_no_image_has_its_reason(monkeypatch: pytest.MonkeyPatch, item: object, reason: str) -> None:
    monkeypatch.setattr("tests.runner.networks.empty", lambda: Items([item]))
    with pytest.raises(UnreadableImageError) as info:
        squares("empty")[0].read()
    assert str(info.value).startswith(reason)


def test_a_data_set_of_ones_own_explains_labels_and_keeps_broken_items_as_rows(cli: Cli) -> None:
    chosen = (*TINY, "dataset=python", "dataset.entry=tests.runner.networks:squares", "dataset.args.n=5")
    ended = cli(*chosen, "dataset.args.broken=2", "target=label", "num_workers=1", "hydra.run.dir=run")
    assert ended.code == 1, ended.err
    run = load_run("run")
    assert run.table["status"].tolist() == ["converged", "converged", "unreadable", "converged", "converged"]
    assert run.table["message"][2] == "the data set failed with OSError: no such square"
    assert run.table["target"].dropna().tolist() == [0, 1, 3, 0]
    again = cli("resume=run", "dataset.args.broken=3")
    assert "dataset.args.broken=3: " in again.err
    assert (again.code, again.out) == (2, "")


@pytest.mark.parametrize(
    ("entry", "arguments", "line"),
    [
        ("no_data", {}, "must return a data set with a length and items, not int"),
        ("empty", {}, "returned a data set without items"),
        ("broken", {}, "failed with OSError: no such checkpoint"),
        ("squares", {}, "dataset.args.n=???: must be given"),
        (
            "squares",
            {"n": 2, "brocken": 1},
            "dataset.args.brocken=1: tests.runner.networks:squares takes no such argument",
        ),
        ("nowhere", {}, "tests.runner.networks has no function nowhere"),
    ],
)
def test_a_wrong_data_set_is_one_line(entry: str, arguments: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError) as info:
        squares(entry, **arguments)
    assert line in str(info.value)
    assert str(info.value).startswith("dataset.")


def test_a_data_set_of_ones_own_in_two_processes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from tests.runner.networks import named_squares, tiny\n")
    arguments = ("model=python", "model.entry=mine:tiny", "dataset=python", "dataset.entry=mine:named_squares")
    ended = program.run(
        tmp_path, *arguments, "dataset.args.n=4", "trainer=ddp_cpu", "batch_size=1", "hydra.run.dir=run"
    )
    assert ended.returncode == 0, ended.stderr
    table = load_run(tmp_path / "run").table
    assert table["image"].tolist() == ["grey 0", "grey 1", "grey 2", "grey 3"]
    assert table["label"].tolist() == [0, 1, 2, 3]
