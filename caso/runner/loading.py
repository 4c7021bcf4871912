"""From samples to batches: reading, preprocessing, and what cannot be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image
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
    """

    number: int
    id: str
    pixels: Tensor | None
    message: str = ""


@dataclass
class Group:
    """Images of one shape: numbers and ids of the samples, and their pixels ``[B, C, H, W]``."""

    numbers: list[int]
    ids: list[str]
    pixels: Tensor


@dataclass
class Batch:
    """What the data loader delivers: groups of equal shape, and the items that could not be read."""

    groups: list[Group]
    unreadable: list[Item]


class PixelDataset(Dataset[Item]):
    """Read and preprocess samples.

    Args:
        samples: The samples in order.
        preprocessing: From an RGB image to pixels ``[C, H, W]``.
    """

    def __init__(self, samples: Sequence[Sample], preprocessing: Callable[[Image.Image], Tensor]) -> None:
        """Keep both; nothing is read yet."""
        self.samples = samples
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)

    def __getitem__(self, number: int) -> Item:
        """Read one sample; a failure is returned, not raised, so that the run goes on."""
        sample = self.samples[number]
        try:
            return Item(number, sample.id, self.preprocessing(sample.read()))
        except UnreadableImageError as error:
            return Item(number, sample.id, None, str(error))
        except Exception as error:  # a user's preprocessing may raise anything; it costs this image alone
            return Item(number, sample.id, None, f"preprocessing failed: {describe(error)}")


def collate(items: Sequence[Item]) -> Batch:
    """Stack the items that were read, shape by shape, in order."""
    shapes: dict[tuple[int, ...], list[Item]] = {}
    for item in items:
        if item.pixels is not None:
            shapes.setdefault(tuple(item.pixels.shape), []).append(item)
    groups = [
        Group([i.number for i in same], [i.id for i in same], stack([i.pixels for i in same if i.pixels is not None]))
        for same in shapes.values()
    ]
    return Batch(groups, [item for item in items if item.pixels is None])
