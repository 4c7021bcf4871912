"""Sets of images, found by the group ``dataset``: which images there are, and under which stable ids.

Each choice is a function from its options and the run's seed to :class:`Samples`, cheap to make and checked before any
weights load. Reading happens later, sample by sample, in any process.
"""

from collections.abc import Callable
from typing import Any

from caso.runner.cli.messages import ConfigError, choices, nearest, printable
from caso.runner.data.cifar import cifar
from caso.runner.data.crops import crop_box, random_crops
from caso.runner.data.cub200 import cub200
from caso.runner.data.files import PHOTOS, imagefolder, images, photos
from caso.runner.data.from_torchvision import torchvision_dataset
from caso.runner.data.huggingface import huggingface
from caso.runner.data.imagenet import imagenet
from caso.runner.data.samples import Sample, Samples
from caso.runner.data.subset import take_subset
from caso.runner.data.webdataset import webdataset

__all__ = ["DATASETS", "PHOTOS", "Sample", "Samples", "crop_box", "find_samples", "photos"]


def crops(options: Any, seed: int) -> Samples:
    """List random crops of another data set.

    Args:
        options: ``n`` crops of at least ``min_area`` (a fraction of the image), from the data set ``source``.
        seed: The run's seed.

    Raises:
        ConfigError: If the source is wrong.
    """
    return random_crops(find_samples(options.source, seed), int(options.n), float(options.min_area), seed)


DATASETS: dict[str, Callable[[Any, int], Samples]] = {
    "photos": photos,
    "images": images,
    "imagefolder": imagefolder,
    "imagenet": imagenet,
    "cub200": cub200,
    "cifar10": cifar,
    "cifar100": cifar,
    "mnist": torchvision_dataset,
    "fashion_mnist": torchvision_dataset,
    "torchvision": torchvision_dataset,
    "huggingface": huggingface,
    "webdataset": webdataset,
    "crops": crops,
}


def find_samples(options: Any, seed: int) -> Samples:
    """List the samples of the data set that a node of the configuration describes.

    Args:
        options: The node. Its ``family``, or where there is none its ``name``, is a key of :data:`DATASETS`. Its
            ``subset``, where there is one, says which samples are taken.
        seed: The run's seed.

    Raises:
        ConfigError: If its name is unknown or an option is wrong.
    """
    family = None if options is None else options.get("family") or options.name
    if family not in DATASETS or (family == "crops" and "n" not in options):
        close = nearest(str(family), list(DATASETS))
        raise ConfigError("dataset", family, f"must be {choices(close or DATASETS)}")
    samples = DATASETS[family](options, seed)
    if len(set(samples.ids)) < len(samples):
        seen: set[str] = set()
        twice = next(one for one in samples.ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise ConfigError("dataset", family, printable(f"two samples have the id {twice}"))
    return take_subset(samples, options.get("subset"), seed)
