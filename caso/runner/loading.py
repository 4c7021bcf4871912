"""From samples to batches: reading, preprocessing, and what cannot be read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, stack
from torch.utils.data import Dataset

from caso.runner.datasets import Sample
from caso.runner.errors import describe
from caso.runner.images import UnreadableImageError


@dataclass
class Item:
    """A sample that was read, or the reason why it was not.

    Attributes:
        number: Its place in the data set.
        id: Its id.
        pixels: ``[C, H, W]`` in [0, 1], or None.
        message: The reason where there are no pixels.
        label: The index of its true class among the network's, or None.
    """

    number: int
    id: str
    pixels: Tensor | None
    message: str = ""
    label: int | None = None


@dataclass
class Group:
    """Images of one shape: numbers, ids and labels of the samples, and their pixels ``[B, C, H, W]``."""

    numbers: list[int]
    ids: list[str]
    labels: list[int | None]
    pixels: Tensor

    def select(self, places: list[int]) -> "Group":
        """Some of the images."""
        numbers, ids = [self.numbers[i] for i in places], [self.ids[i] for i in places]
        return Group(numbers, ids, [self.labels[i] for i in places], self.pixels[places])


@dataclass
class Batch:
    """What the data loader delivers: groups of equal shape, and the items that could not be read."""

    groups: list[Group]
    unreadable: list[Item]


class PixelBatches(Dataset[Batch]):
    """Read and preprocess samples, batch by batch.

    Args:
        samples: All samples in order.
        preprocessing: From an image to pixels ``[C, H, W]``.
        batches: The places of each batch's samples.
        classes: The network's class of each label; None where labels are the classes' indices.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Callable[[Any], Tensor],
        batches: Sequence[Sequence[int]],
        classes: Sequence[int] | None = None,
    ) -> None:
        """Keep all; nothing is read yet."""
        self.classes = classes
        self.samples = samples
        self.preprocessing = preprocessing
        self.batches = batches

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        """Read one batch."""
        return collate(self.read(place) for place in self.batches[number])

    def read(self, place: int) -> Item:
        """Read one sample; a failure is returned, not raised, so that the run goes on."""
        sample = self.samples[place]
        label = sample.label if sample.label is None or self.classes is None else self.classes[sample.label]
        try:
            return Item(place, sample.id, self.preprocessing(sample.read()), label=label)
        except UnreadableImageError as error:
            return Item(place, sample.id, None, str(error), label)
        except Exception as error:  # a user's preprocessing may raise anything; it costs this image alone
            return Item(place, sample.id, None, f"preprocessing failed: {describe(error)}", label)


def collate(items: Iterable[Item]) -> Batch:
    """Stack the items that were read, shape by shape, in order."""
    shapes: dict[tuple[int, ...], list[Item]] = {}
    unreadable = []
    for item in items:
        if item.pixels is None:
            unreadable.append(item)
        else:
            shapes.setdefault(tuple(item.pixels.shape), []).append(item)
    groups = []
    for same in shapes.values():
        pixels = stack([item.pixels for item in same if item.pixels is not None])
        groups.append(Group([i.number for i in same], [i.id for i in same], [i.label for i in same], pixels))
    return Batch(groups, unreadable)
