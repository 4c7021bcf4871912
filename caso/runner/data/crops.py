"""Seeded, repeatable random resized crops of another data set."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING
from PIL import Image

from caso.arguments import Count
from caso.runner.cli.messages import ConfigError
from caso.runner.cli.ranges import PositiveShare
from caso.runner.components import Component
from caso.runner.data.decoding import Picture
from caso.runner.data.samples import PickedLabels, Samples
from caso.runner.data.subset import Subset


@dataclass
class CropsOptions:
    """Options of random resized crops of another data set."""

    name: str = MISSING
    n: Count = MISSING
    min_area: PositiveShare = MISSING
    source: Any = None
    subset: Subset = field(default_factory=Subset)


@dataclass(frozen=True)
class Crops:
    """Reads crops. Each has its own generator, seeded by the run's seed and the crop's id.

    Attributes:
        source: Reads the whole images.
        count: How many there are; the crops are dealt to them in turn.
        ids: The crops'.
        seed: The run's.
        min_area: The smallest area of a crop, as a fraction of its image.
    """

    source: Callable[[int], Picture]
    count: int
    ids: Sequence[str]
    seed: int
    min_area: float

    def __call__(self, index: int) -> Picture:
        """Read one image and crop it."""
        whole = self.source(index % self.count)
        seed = f"{self.seed}/{self.ids[index]}"
        if isinstance(whole, Image.Image):
            return whole.crop(crop_box(whole.size, seed, self.min_area))
        left, top, right, bottom = crop_box((whole.shape[-1], whole.shape[-2]), seed, self.min_area)
        return whole[:, top:bottom, left:right]


def crops(options: Any, seed: int) -> Samples:
    """List random crops of another data set.

    Args:
        options: ``n`` crops of at least ``min_area`` (a fraction of the image), from the data set ``source``.
        seed: The run's seed.

    Raises:
        ConfigError: If the source is wrong.
    """
    from caso.runner.data import find_samples

    if "n" not in options:
        raise ConfigError("dataset.name", options.name, "choose it as dataset=crops")
    return random_crops(find_samples(options.source, seed), int(options.n), float(options.min_area), seed)


def random_crops(source: Samples, n: int, min_area: float, seed: int) -> Samples:
    """List random crops of a data set's images: many real images of every confidence. Labels are carried over.

    Neither batch size nor workers nor the number of crops change a crop.

    Args:
        source: The whole images.
        n: How many crops.
        min_area: Their smallest area, as a fraction of the image.
        seed: The run's.
    """
    ids = [f"{source.ids[number % len(source)]}#{number // len(source)}" for number in range(n)]
    labels = (
        None if source.labels is None else PickedLabels(source.labels, [number % len(source) for number in range(n)])
    )
    return Samples(ids, Crops(source.reader, len(source), ids, seed, min_area), labels, source.label_names)


def crop_box(size: tuple[int, int], seed: str, min_area: float) -> tuple[int, int, int, int]:
    """Draw a crop: area uniform in ``[min_area, 1]`` of the image, aspect ratio log-uniform in [3/4, 4/3].

    Args:
        size: Width and height of the image, in pixels.
        seed: Of the crop's own generator.
        min_area: Smallest area, in (0, 1].

    Returns:
        Left, top, right and bottom, in pixels.
    """
    width, height = size
    generator = random.Random(seed)
    for _ in range(10):
        area = generator.uniform(min_area, 1) * width * height
        ratio = (3 / 4) ** generator.uniform(-1, 1)
        w, h = max(1, round((area * ratio) ** 0.5)), max(1, round((area / ratio) ** 0.5))
        if w <= width and h <= height:
            left, top = generator.randint(0, width - w), generator.randint(0, height - h)
            return left, top, left + w, top + h
    return 0, 0, width, height  # no crop of such a shape fits: a very long image


COMPONENT = Component(("crops",), CropsOptions, crops)
