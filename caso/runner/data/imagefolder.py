"""A folder of class folders."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.files import below, files_below, folder_of
from caso.runner.data.samples import Samples
from caso.runner.data.subset import Subset


@dataclass
class ImageFolder:
    """Options of a folder of class folders."""

    name: str = MISSING
    root: str = MISSING
    subset: Subset = field(default_factory=Subset)


def imagefolder(options: Any, seed: int) -> Samples:
    """List the image files below a folder of class folders, by path. The class folders' sorted names are the classes.

    Args:
        options: ``root``: the folder.
        seed: Not used.

    Raises:
        ConfigError: If the folder does not exist or holds no image.
    """
    root = folder_of(options, "root")
    names = files_below(root)
    if not names:
        raise ConfigError("dataset.root", options.root, "the folder holds no image")
    classes = sorted({name.split("/", 1)[0] for name in names if "/" in name})
    indices = {name: index for index, name in enumerate(classes)}
    labels = [indices.get(name.split("/", 1)[0]) if "/" in name else None for name in names]
    return Samples(names, below(root, names), labels, classes)


COMPONENT = Component(("imagefolder",), ImageFolder, imagefolder)
