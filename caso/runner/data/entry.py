"""A data set from the user's own code: ``dataset=python dataset.entry=package.module:function``.

The contract. ``function`` takes what ``dataset.args`` says, by name, or nothing, and returns a map-style data set of
torch: ``len(dataset)``, and ``dataset[index]`` for each index from 0. An item is an image, or a tuple or list of an
image, a label and whatever else. It is the same whenever it is read: each process of a run calls the function and reads
its share, and a run that is resumed reads what is left.

- An image is a ``PIL.Image.Image`` of any mode; a tensor ``[C, H, W]`` or ``[H, W]``; or an array of numpy, of whose
  first and last axis the shorter one is that of the channels. Floats lie in [0, 1], unsigned integers of 8 and 16 bits
  are scaled there. No normalisation: that is the network's.
- A label is a whole number from 0. A negative one, or anything else, counts as none.

Three attributes are read where the data set has them: ``targets``, all labels, which are then known before an image is
read, as in torchvision's data sets (without it, ``dataset.subset.classes`` reads every item); ``classes``, the labels'
names; ``ids``, unique names of the items, which are numbered otherwise.

What raises an error when it is read is a row with the reason. With ``num_workers``, where processes are not forked, the
data set is pickled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from omegaconf import MISSING
from PIL import Image
from torch import Tensor

from caso.runner.cli.messages import describe
from caso.runner.components import Component
from caso.runner.data.arrays import UnreadableImageError, as_tensor, channels_first
from caso.runner.data.decoding import Picture, to_rgb
from caso.runner.data.samples import Samples
from caso.runner.data.subset import Subset
from caso.runner.entries import Entry, find_entry, no_arguments


@dataclass
class PythonData:
    """Options of a data set made by the user's own code."""

    name: str = MISSING
    entry: str = MISSING
    args: dict[str, Any] = field(default_factory=no_arguments)  # type: ignore[arg-type]
    subset: Subset = field(default_factory=Subset)


class Items:
    """Reads items, and keeps the last one: of a sample the label is asked for first, then the image.

    Args:
        dataset: The user's.
    """

    def __init__(self, dataset: Any) -> None:
        """Read nothing yet."""
        self.dataset = dataset
        self._last: tuple[int, Any] | None = None

    def item(self, index: int) -> Sequence[Any]:
        """Read an item: the image, and what comes with it."""
        last = self._last
        if last is None or last[0] != index:
            try:
                last = index, self.dataset[index]
            except Exception as error:  # the user's code may raise anything
                reason = f"the data set failed with {type(error).__name__}: {describe(error)}"
                raise UnreadableImageError(reason) from error
            self._last = last
        return last[1] if isinstance(last[1], tuple | list) and last[1] else (last[1],)

    def __call__(self, index: int) -> Picture:
        """Read an image."""
        image = self.item(index)[0]
        if isinstance(image, Image.Image):
            return to_rgb(image)
        if isinstance(image, Tensor):
            values = image.detach().cpu()
            return as_tensor((values.float() if values.is_floating_point() else values).numpy())
        if isinstance(image, np.ndarray):
            return as_tensor(channels_first(image))
        raise UnreadableImageError(f"the data set gives {type(image).__name__}, not a PIL image, a tensor or an array")


class Labels(Sequence[int | None]):
    """Labels that are read with their items.

    Args:
        items: Reads them.
        classes: How many there are; None where that is not known.
    """

    def __init__(self, items: Items, classes: int | None) -> None:
        """Read nothing yet."""
        self.items = items
        self.classes = classes

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items.dataset)

    def __getitem__(self, index: Any) -> Any:
        """Read a label: None where there is none, or the item cannot be read."""
        try:
            item = self.items.item(range(len(self))[index])
        except UnreadableImageError:
            return None
        return _label(item[1], self.classes) if len(item) > 1 else None


def python_dataset(options: Any, seed: int) -> Samples:
    """List the items of the user's own data set. Ids are their numbers, or what the data set says.

    Args:
        options: ``entry``: ``package.module:function``, see above for what the function returns. ``args``: its
            arguments, by their names.
        seed: Not used.

    Raises:
        ConfigError: If there is no such module or function, an argument is missing or not taken, or the function fails
            or returns anything else.
    """
    entry = find_entry("dataset", options)
    dataset = entry.call()
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise entry.mistake(f"must return a data set with a length and items, not {type(dataset).__name__}")
    if not len(dataset):
        raise entry.mistake("returned a data set without items")
    ids, classes, targets = (_listed(entry, dataset, name) for name in ("ids", "classes", "targets"))
    _check_length(entry, dataset, "ids", ids)
    _check_length(entry, dataset, "targets", targets)
    items = Items(dataset)
    names = None if classes is None else [str(name) for name in classes]
    count = None if names is None else len(names)
    labels = _labels(items, count) if targets is None else [_label(label, count) for label in targets]
    numbers = [f"{number:07}" for number in range(len(dataset))]
    return Samples(numbers if ids is None else [str(one) for one in ids], items, labels, names)


def _listed(entry: Entry, dataset: Any, name: str) -> list[Any] | None:
    """An attribute of the data set as a list; None where there is none."""
    values = getattr(dataset, name, None)
    try:
        return None if values is None else list(values)
    except TypeError as error:
        raise entry.mistake(f"the data set's {name} must be a list, not {type(values).__name__}") from error


def _check_length(entry: Entry, dataset: Any, name: str, values: list[Any] | None) -> None:
    if values is not None and len(values) != len(dataset):
        raise entry.mistake(f"the data set has {len(dataset)} items and {len(values)} {name}")


def _labels(items: Items, classes: int | None) -> Sequence[int | None] | None:
    """Labels that come with the items; None where the first item is an image alone."""
    try:
        return Labels(items, classes) if len(items.item(0)) > 1 else None
    except UnreadableImageError:
        return Labels(items, classes)


def _label(value: Any, classes: int | None) -> int | None:
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    label = int(value) if isinstance(value, Integral) else -1
    return label if label >= 0 and (classes is None or label < classes) else None


COMPONENT = Component(("python",), PythonData, python_dataset)
