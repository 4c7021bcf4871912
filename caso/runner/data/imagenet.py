"""ImageNet's 1000 classes: class folders, or the flat validation folder with a file of its labels."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.files import below, files_below, folder_of
from caso.runner.data.imagefolder import ImageFolder
from caso.runner.data.samples import Samples

_FORMS = "lines of FILE and n01440764, or FILE and an index from 0, or of n01440764 for each file"


@dataclass
class ImageNet(ImageFolder):
    """Options of ImageNet."""

    labels: str | None = None


def imagenet(options: Any, seed: int) -> Samples:
    """List ImageNet's images, with labels in the order of the usual networks' classes, even if only some are there.

    Args:
        options: ``root``: a folder of class folders n01440764 ..., or of images. ``labels``: for the latter, a
            file with their classes: each line has a file's name and its class, or the class alone, in the order of the
            files' names.
        seed: Not used.

    Raises:
        ConfigError: If there is no image, or the file of labels does not fit.
    """
    from caso.runner.models.names import imagenet_folders, imagenet_names

    root = folder_of(options, "root")
    numbers = {folder: index for index, folder in enumerate(imagenet_folders())}
    names = files_below(root)
    if not names:
        raise ConfigError("dataset.root", options.root, "the folder holds no image")
    if options.get("labels") is not None:
        labels = _from_file(str(options.labels), names, numbers)
    else:
        labels = [numbers.get(name.split("/", 1)[0]) for name in names]
        if any("/" in name for name in names) and not any(label is not None for label in labels):
            raise ConfigError(
                "dataset.root", options.root, "its folders are not ImageNet's (n01440764 ...); use dataset=imagefolder"
            )
    return Samples(names, below(root, names), labels, imagenet_names())


def _from_file(given: str, names: list[str], numbers: dict[str, int]) -> list[int | None]:
    path = Path(given).expanduser()
    if not path.is_file():
        raise ConfigError("dataset.labels", given, "no such file")
    lines = [
        re.split(r"[,\s]+", line.strip()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    if lines and lines[0][0] == "ImageId":
        lines = lines[1:]
    if not lines:
        raise ConfigError("dataset.labels", given, f"the file is empty; it needs {_FORMS}")
    if all(len(line) == 1 for line in lines):
        if lines[0][0].isdecimal():
            # The devkit's own numbers are neither the networks' nor explained in the file.
            raise ConfigError("dataset.labels", given, f"numbers alone are ambiguous; it needs {_FORMS}")
        if len(lines) != len(names):
            raise ConfigError("dataset.labels", given, f"has {len(lines)} lines for {len(names)} images")
        return [_label(given, line[0], numbers) for line in lines]
    known = {_stem(line[0]): _label(given, line[1], numbers) for line in lines if len(line) > 1}
    labels = [known.get(_stem(name)) for name in names]
    if not any(label is not None for label in labels):
        raise ConfigError("dataset.labels", given, f"names none of the images, as {names[0]}")
    return labels


def _stem(name: str) -> str:
    return os.path.splitext(name.rsplit("/", 1)[-1])[0]


def _label(given: str, written: str, numbers: dict[str, int]) -> int:
    if written in numbers:
        return numbers[written]
    if written.isdecimal() and int(written) < len(numbers):
        return int(written)
    raise ConfigError("dataset.labels", given, f"{written} is no class of ImageNet; it needs {_FORMS}")


COMPONENT = Component(("imagenet",), ImageNet, imagenet)
