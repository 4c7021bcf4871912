"""Paths that begin with ``~``, wherever a key takes one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from caso.runner import load_run
from caso.runner.cli.arguments import expand_home
from tests.conftest import Ended
from tests.runner.networks import TINY, network

Cli = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "at home"
    (folder / "tabby").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("x.png", "tabby/y.png"):
        Image.new("RGB", (20, 20), "red").save(folder / name)
    (folder / "ids.txt").write_text("tabby/y.png\n")
    return folder


def test_a_home_is_expanded_where_a_value_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for typed, meant in {
        "image=~/x.png": "image=/home/me/x.png",
        "image=~": "image=/home/me",
        "image=[~/a.png, ~/b.png,c~/d]": "image=[/home/me/a.png, /home/me/b.png,c~/d]",
        "model.weights=~/a,~/b": "model.weights=/home/me/a,/home/me/b",
        "image='~/a,~/b'": "image='~/a,~/b'",
        "image=~nobody-of-this-name/x": "image=~nobody-of-this-name/x",
        "target=a~b": "target=a~b",
    }.items():
        assert expand_home(typed) == meant
    monkeypatch.setenv("HOME", "/home/m e (1)")
    assert expand_home("image=~/x") == "image=/home/m\\ e\\ \\(1\\)/x"
    assert expand_home("resume=~/x") == "resume=/home/m e (1)/x"


@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        (["image=~/x.png"], ["x.png"]),
        (["image=[~/x.png,~/tabby/y.png]"], ["x.png", "y.png"]),
        (["image='~/x.png'"], ["x.png"]),
        (["dataset=imagefolder", "dataset.root=~", "dataset.subset.ids=~/ids.txt"], ["tabby/y.png"]),
        (["image=~/x.png", "hydra.run.dir=~/run"], ["x.png"]),
    ],
)
def test_the_command_line_takes_paths_below_home(cli: Cli, home: Path, arguments: list[str], images: list[str]) -> None:
    ended = cli(*TINY, *arguments)
    assert ended.code == 0, ended.err
    directory = home / "run" if "hydra.run.dir=~/run" in arguments else ended.directory
    assert load_run(directory).table["image"].tolist() == images


def test_every_key_that_takes_a_path_expands_home(cli: Cli, home: Path) -> None:
    """Each is refused for what it holds, not for being absent."""
    torch.save(network().state_dict(), home / "weights.pth")
    (home / "none.txt").touch()
    (home / "none.tar").write_bytes(b"x" * 600)
    for arguments, words in (
        (["model=resnet18", "model.weights=~/weights.pth"], "does not fit the network"),
        (["model=resnet18", "model.classes=~/none.txt", "model.weights=none"], "at least 2 classes"),
        (["dataset=imagenet", "dataset.root=~", "dataset.labels=~/none.txt"], "the file is empty"),
        (["dataset=webdataset", "dataset.path=~/none.tar", "dataset.cache=~/cache"], "no tar file"),
        (["dataset=cub200", "dataset.root=~"], "there is no images.txt"),
        (["dataset=cifar10", "dataset.root=~"], "at home/cifar-10-batches-py"),
        (["explainer=stored", "explainer.path=~/nope"], "at home/nope: no such folder"),
        (["resume=~/tabby"], "at home/tabby: no run was begun there"),
    ):
        ended = cli(*arguments)
        assert (ended.code, words in ended.err) == (2, True), ended.err
