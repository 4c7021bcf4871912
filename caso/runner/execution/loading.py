"""From samples to batches: reading, preprocessing, and what cannot be read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, no_grad, stack
from torch.utils.data import Dataset

from caso.runner.cli.messages import describe
from caso.runner.data import Sample
from caso.runner.data.decoding import UnreadableImageError
from caso.runner.regions import Regions

_EXTENT = 3
"""How many axes pixels have."""


@dataclass
class Item:
    """A sample that was read, or the reason why it was not.

    Attributes:
        number: Its index in the data set.
        id: Its id.
        pixels: ``[C, H, W]`` in [0, 1], or None.
        message: The reason where there are no pixels.
        label: The index of its true class among the network's, or None.
        regions: Labels ``[H, W]`` or ``[C, H, W]`` of its regions, or None.
    """

    number: int
    id: str
    pixels: Tensor | None
    message: str = ""
    label: int | None = None
    regions: Tensor | None = None


@dataclass
class Group:
    """Images of one shape: numbers, ids and labels of the samples, pixels ``[B, C, H, W]``, and regions, if any."""

    numbers: list[int]
    ids: list[str]
    labels: list[int | None]
    pixels: Tensor
    regions: Tensor | None = None

    def select(self, indices: list[int]) -> "Group":
        """Some of the images."""
        numbers, ids = [self.numbers[i] for i in indices], [self.ids[i] for i in indices]
        regions = None if self.regions is None else self.regions[indices]
        return Group(numbers, ids, [self.labels[i] for i in indices], self.pixels[indices], regions)


@dataclass
class Batch:
    """What the data loader delivers: groups of equal shape, and the items that could not be read."""

    groups: list[Group]
    unreadable: list[Item]

    def pin_memory(self) -> "Batch":
        """The same in memory from which a GPU copies while the program goes on; PyTorch's data loader asks for it."""
        pinned = []
        for group in self.groups:
            regions = None if group.regions is None else group.regions.pin_memory()
            pinned.append(replace(group, pixels=group.pixels.pin_memory(), regions=regions))
        return Batch(pinned, self.unreadable)


class PixelBatches(Dataset[Batch]):
    """Read and preprocess samples, batch by batch.

    Args:
        samples: All samples in order.
        preprocessing: From an image to pixels ``[C, H, W]``.
        batches: The indices of each batch's samples.
        classes: The network's class of each label; None where labels are the classes' indices.
        regions: Gives images their regions; None where maps are of single entries.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Callable[[Any], Tensor],
        batches: Sequence[Sequence[int]],
        classes: Sequence[int] | None = None,
        regions: Regions | None = None,
    ) -> None:
        """Keep all; nothing is read yet."""
        self.classes = classes
        self.regions = regions
        self.samples = samples
        self.preprocessing = preprocessing
        self.batches = batches

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        """Read one batch."""
        return collate(self.read(index) for index in self.batches[number])

    def read(self, index: int) -> Item:
        """Read one sample; a failure is returned, not raised, so that the run goes on."""
        sample = self.samples[index]
        label = sample.label if sample.label is None or self.classes is None else self.classes[sample.label]
        try:
            picture = sample.read()
            pixels = checked(self.preprocessing(picture))
        except UnreadableImageError as error:
            return Item(index, sample.id, None, str(error), label)
        except Exception as error:  # a user's preprocessing may raise anything; it costs this image alone
            return Item(index, sample.id, None, f"preprocessing failed: {describe(error)}", label)
        if self.regions is None:
            return Item(index, sample.id, pixels, label=label)
        try:
            labels = self.regions.labels(sample.id, picture, pixels, self.preprocessing)
        except Exception as error:  # costs this image alone
            return Item(index, sample.id, None, f"no regions: {describe(error)}", label)
        return Item(index, sample.id, pixels, label=label, regions=labels)


def checked(pixels: Any) -> Tensor:
    """See whether a preprocessing, which may be the user's, gives pixels.

    Raises:
        TypeError: If it does not; says what it gives.
    """
    if not isinstance(pixels, Tensor):
        raise TypeError(f"it gives {type(pixels).__name__}, not a float tensor [C, H, W]")
    if pixels.dim() != _EXTENT or not pixels.numel() or not pixels.is_floating_point():
        raise TypeError(f"it gives a tensor {list(pixels.shape)} of {pixels.dtype}, not of floats [C, H, W]")
    return pixels


class ReadAhead:
    """Goes through batches, and reads each in a thread while the one before is explained.

    The first is read and explained before the second is touched: see `caso.runner.execution.quarantine`.

    Args:
        batches: The batches.
        thread: Reads them, one at a time.
        pin: Whether into memory from which a GPU copies by itself.
    """

    def __init__(self, batches: PixelBatches, thread: ThreadPoolExecutor, pin: bool = False) -> None:
        """Keep all; nothing is read yet."""
        self._batches, self._thread, self._pin = batches, thread, pin

    def __len__(self) -> int:
        """Count the batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Read the batches in order."""
        ahead: Future[Batch] | None = None
        for number in range(len(self)):
            batch = (ahead or self._thread.submit(self._read, number)).result()
            further = 0 < number < len(self) - 1
            ahead = self._thread.submit(self._read, number + 1) if further else None
            yield batch

    def _read(self, number: int) -> Batch:
        with no_grad():  # as Lightning has it around what it reads itself; threads begin anew
            batch = self._batches[number]
        return batch.pin_memory() if self._pin else batch


def collate(items: Iterable[Item]) -> Batch:
    """Stack the items that were read, shape by shape, in order."""
    shapes: dict[tuple[int, ...], list[Item]] = {}
    unreadable = []
    for item in items:
        if item.pixels is None:
            unreadable.append(item)
        else:
            shape = *item.pixels.shape, *(() if item.regions is None else item.regions.shape)
            shapes.setdefault(shape, []).append(item)
    groups = []
    for same in shapes.values():
        pixels = stack([item.pixels for item in same if item.pixels is not None])
        labels = [item.regions for item in same if item.regions is not None]
        regions = stack(labels) if labels else None
        groups.append(Group([i.number for i in same], [i.id for i in same], [i.label for i in same], pixels, regions))
    return Batch(groups, unreadable)
