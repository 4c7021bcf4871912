"""Caltech-UCSD Birds 200, in the layout of its archive CUB_200_2011."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.files import below, folder_of
from caso.runner.data.imagefolder import ImageFolder
from caso.runner.data.samples import Samples

_SPLITS = {"train": ("1",), "test": ("0",), "all": ("0", "1")}


@dataclass
class Cub200(ImageFolder):
    """Options of CUB-200."""

    split: str = MISSING


def cub200(options: Any, seed: int) -> Samples:
    """List the birds. Ids are the paths below ``images``; labels count from 0.

    Args:
        options: ``root``: the folder CUB_200_2011, which holds ``images.txt``. ``split``: train, test or all.
        seed: Not used.

    Raises:
        ConfigError: If a file of the layout is missing or the split unknown.
    """
    root, split = folder_of(options, "root"), str(options.split)
    if split not in _SPLITS:
        raise ConfigError("dataset.split", split, "must be train, test or all")
    if (root / "CUB_200_2011").is_dir():
        root = root / "CUB_200_2011"
    paths = _column(root / "images.txt")
    labels = _column(root / "image_class_labels.txt")
    parts = _column(root / "train_test_split.txt")
    classes = list(_column(root / "classes.txt").values())
    try:
        chosen = [number for number in paths if parts[number] in _SPLITS[split]]
        numbers = [int(labels[number]) - 1 for number in chosen]
    except (KeyError, ValueError) as error:
        raise ConfigError("dataset.root", root, f"its lists do not agree on image {error}") from error
    names = [paths[number] for number in chosen]
    # 001.Black_footed_Albatross
    readable = [name.split(".", 1)[-1].replace("_", " ") for name in classes]
    return Samples(names, below(root / "images", names), numbers, readable)


def _column(path: Path) -> dict[str, str]:
    """Read lines of an image's or a class's number and something about it."""
    if not path.is_file():
        raise ConfigError("dataset.root", path.parent, f"there is no {path.name}; it must be the folder CUB_200_2011")
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {number: rest[0].strip() for number, *rest in pairs if rest}


COMPONENT = Component(("cub200",), Cub200, cub200)
