"""Sets of images, found by the group ``dataset``: which images there are, and under which stable ids.

Each choice is a function from its options and the run's seed to :class:`Samples`, cheap to make and checked before any
weights load. Reading happens later, sample by sample, in any process.
"""

from typing import Any

from caso.runner.cli.messages import ConfigError, choices, nearest, printable
from caso.runner.components import Component, components
from caso.runner.data.crops import crop_box
from caso.runner.data.photos import PHOTOS, photos
from caso.runner.data.samples import Sample, Samples
from caso.runner.data.subset import take_subset

__all__ = ["DATASETS", "PHOTOS", "Sample", "Samples", "crop_box", "find_samples", "photos"]

DATASETS: dict[str, Component] = components(__name__, __path__)
"""Every data set by the name it has in the configuration."""


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
    if family not in DATASETS:
        close = nearest(str(family), list(DATASETS))
        raise ConfigError("dataset", family, f"must be {choices(close or DATASETS)}")
    samples = DATASETS[family](options, seed)
    if len(set(samples.ids)) < len(samples):
        seen: set[str] = set()
        twice = next(one for one in samples.ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise ConfigError("dataset", family, printable(f"two samples have the id {twice}"))
    return take_subset(samples, options.get("subset"), seed)
