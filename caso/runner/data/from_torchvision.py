"""torchvision's data sets of labelled images, by name, from local files."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError, choices, describe, nearest
from caso.runner.components import Component
from caso.runner.data.decoding import Picture, to_rgb
from caso.runner.data.imagefolder import ImageFolder
from caso.runner.data.samples import Samples

# Each item is a pair of an image and an index.
_NAMES = (
    "Caltech101", "Caltech256", "CIFAR10", "CIFAR100", "Country211", "DTD", "EMNIST", "EuroSAT", "FashionMNIST",
    "FER2013", "FGVCAircraft", "Flowers102", "Food101", "GTSRB", "Imagenette", "KMNIST", "MNIST", "Omniglot",
    "OxfordIIITPet", "PCAM", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "StanfordCars", "STL10", "SUN397",
    "SVHN", "USPS",
)  # fmt: skip
# Where they keep their labels, and the labels' names.
_LABELS = ("targets", "labels", "_labels", "y")
_PAIRS = ("samples", "_samples", "imgs", "_flat_character_images")
_CLASSES = ("classes", "categories")


@dataclass
class TorchvisionData(ImageFolder):
    """Options of torchvision's data sets."""

    split: str = MISSING
    download: bool = MISSING
    family: str | None = None


@dataclass(frozen=True)
class Items:
    """Reads items of one of torchvision's data sets.

    Attributes:
        dataset: Gives pairs of an image and a label.
    """

    dataset: Any

    def __call__(self, index: int) -> Picture:
        """Read one item."""
        return to_rgb(self.dataset[index][0])


def torchvision_dataset(options: Any, seed: int) -> Samples:
    """List the images of one of torchvision's data sets. Ids are ``split/number``, numbers in torchvision's order.

    Args:
        options: ``name``: the class's name, in any case and with or without underscores. ``root``: as torchvision takes
            it. ``split``: a name that the data set knows; train or test where it has these two. ``download``: fetch the
            files if they are not there.
        seed: Not used.

    Raises:
        ConfigError: If the data set is unknown, or its files are not there.
    """
    dataset, split = _make(options)
    labels = _labels(dataset)
    found = next((getattr(dataset, name) for name in _CLASSES if isinstance(getattr(dataset, name, None), list)), None)
    names = [" - ".join(one) if isinstance(one, tuple | list) else str(one) for one in found] if found else None
    return Samples([f"{split}/{n:06}" for n in range(len(dataset))], Items(dataset), labels, names)


def _make(options: Any) -> tuple[Any, str]:
    from torchvision import datasets

    plain = {_plain(name): name for name in _NAMES}
    name = plain.get(_plain(str(options.name)))
    if name is None:
        close = nearest(_plain(str(options.name)), list(plain))
        hint = f"did you mean {choices([plain[c] for c in close])}?" if close else f"there are {', '.join(_NAMES)}"
        raise ConfigError("dataset.name", options.name, f"torchvision has no such labelled images; {hint}")
    make: Callable[..., Any] = getattr(datasets, name)
    takes = inspect.signature(make).parameters
    split = str(options.split)
    arguments: dict[str, Any] = {"root": str(Path(str(options.root)).expanduser())}
    if "train" in takes or "background" in takes:
        if split not in ("train", "test"):
            raise ConfigError("dataset.split", split, "must be train or test")
        arguments["train" if "train" in takes else "background"] = split == "train"
    if name == "EMNIST":
        arguments["split"] = "balanced"
    elif "split" in takes and name != "QMNIST":
        arguments["split"] = split
    if "download" in takes:
        arguments["download"] = bool(options.download)
    try:
        return make(**arguments), split
    except (RuntimeError, OSError, ValueError) as error:
        if "split" in str(error).lower() and isinstance(error, ValueError):
            raise ConfigError("dataset.split", split, describe(error)) from error
        raise ConfigError("dataset.root", options.root, f"{name}: {describe(error)}{_hint(options)}") from error


def download_if_asked(options: Any, name: str, needed: Sequence[Path]) -> None:
    """Fetch a data set by torchvision if its files are not there and the user asks for it.

    Raises:
        ConfigError: If they are not there, and not wanted or not to be had.
    """
    missing = [path for path in needed if not path.is_file()]
    if not missing:
        return
    if not options.download:
        raise ConfigError("dataset.root", options.root, f"{missing[0]} is not there{_hint(options)}")
    from torchvision import datasets

    try:
        getattr(datasets, name)(str(Path(str(options.root)).expanduser()), download=True)
    except (RuntimeError, OSError) as error:
        raise ConfigError("dataset.download", True, f"{name} cannot be fetched: {describe(error)}") from error


def _hint(options: Any) -> str:
    return "" if options.download else "; dataset.download=true fetches the files into dataset.root"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _labels(dataset: Any) -> list[int | None] | None:
    """Find the labels without reading the images; None where they are kept in another way."""
    for name in _LABELS:
        values = getattr(dataset, name, None)
        if values is not None and len(values) == len(dataset):
            return [int(value) for value in values]
    for name in _PAIRS:
        pairs = getattr(dataset, name, None)
        if pairs is not None and len(pairs) == len(dataset):
            return [int(pair[1]) for pair in pairs]
    return None


COMPONENT = Component(("torchvision", "mnist", "fashion_mnist"), TorchvisionData, torchvision_dataset)
