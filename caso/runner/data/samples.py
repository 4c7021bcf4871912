"""What a data set is: ids in order, labels where there are any, and images that are read by their index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

from caso.runner.data.decoding import Picture


@dataclass(frozen=True, slots=True)
class Sample:
    """One image.

    Attributes:
        id: Stable and unique in its data set: the same whatever the order, the batch size and the machine.
        source: Reads the image. Can be pickled.
        label: The index of its true class, or None.
    """

    id: str
    source: Callable[[], Picture]
    label: int | None = None

    def read(self) -> Picture:
        """Read the image: a PIL image of mode RGB, or for an array a float tensor ``[C, H, W]`` in [0, 1].

        Raises:
            UnreadableImageError: If it cannot be read.
        """
        return self.source()


@dataclass(frozen=True)
class PickedLabels(Sequence[int | None]):
    """Some of the labels, which may be read with their images: none before it is asked for.

    Attributes:
        labels: All.
        indices: Which of them, in order.
    """

    labels: Sequence[int | None]
    indices: Sequence[int]

    def __len__(self) -> int:
        """Count them."""
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        """Give one label."""
        return self.labels[self.indices[index]]


class Samples(Sequence[Sample]):
    """A data set. Nothing is read until a sample is asked to, and any process may read any sample.

    Args:
        ids: One a sample, unique.
        reader: Reads the image at an index. Can be pickled.
        labels: One a sample, None where it is not known; or None if there are no labels.
        label_names: What the labels mean: a class name, or a folder's, for each index; None where labels are the
            network's own indices.
    """

    def __init__(
        self,
        ids: Sequence[str],
        reader: Callable[[int], Picture],
        labels: Sequence[int | None] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        """Keep all."""
        self.ids = ids
        self.reader = reader
        self.labels = labels
        self.label_names = label_names

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "Samples": ...

    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        """Describe the sample at an index, or give the data set of a slice."""
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        index = range(len(self))[index]
        label = None if self.labels is None else self.labels[index]
        return Sample(self.ids[index], partial(self.reader, index), label)

    def select(self, indices: Sequence[int]) -> "Samples":
        """Give the data set of some samples, in the given order."""
        labels = None if self.labels is None else PickedLabels(self.labels, indices)
        ids = [self.ids[index] for index in indices]
        return Samples(ids, _Selected(self.reader, indices), labels, self.label_names)


@dataclass(frozen=True)
class _Selected:
    reader: Callable[[int], Picture]
    indices: Sequence[int]

    def __call__(self, index: int) -> Picture:
        return self.reader(self.indices[index])
