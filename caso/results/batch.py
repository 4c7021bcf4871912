"""A result as a sequence of images, and its ways out: words, tables, figures and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from caso.results import files, notebook, table, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class Batch(ABC):
    """What `Explanation` and `PathExplanation` can do beside their figures.

    Attributes:
        images: shape of the batch, `(B, ...)`.
    """

    images: torch.Size

    @abstractmethod
    def take(self, index: list[int]) -> Self:
        """The same of some of the images, copied."""

    def __len__(self) -> int:
        """Count the images."""
        return self.images[0]

    def __getitem__(self, index: int | slice) -> Self:
        """The same of one image, or of several, `result[3]` or `result[1:4]`; always a batch.

        Raises:
            IndexError: there is no such image.
        """
        if isinstance(index, slice):
            return self.take(list(range(len(self))[index]))
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index}: there are {len(self)}")
        return self.take([index % len(self)])

    def __iter__(self) -> Iterator[Self]:
        """Go through the images, each as a batch of its own."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """The images, the method and how certain the maps are, in a line."""
        return words.line(self)

    def _repr_html_(self) -> str:
        """A table of the first images with thumbnails of their maps, for notebooks."""
        return notebook.html(self)

    def plot(self, images: Any = None, **options: Any) -> Figure:
        """Draw the maps: on a contact sheet, or those of a path in strips.

        Args:
            images: `[B, C, H, W]` in [0, 1], drawn beside their maps; results do not keep them.
            options: of `caso.plot.contact_sheet`, of a path those of `caso.plot.path_strip`.

        Returns:
            matplotlib's figure.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: images or options do not fit.
        """
        return notebook.figure(self, images, options)

    def to_pandas(self) -> DataFrame:
        """A row per image and value of lambda1, with the columns of a run's `results.csv`.

        Raises:
            ImportError: pandas is missing.
        """
        return table.frame(self)

    def save(self, path: str | Path) -> None:
        """Write everything to one file, which `load` and torch's safe `torch.load` read."""
        files.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, onto the CPU.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds something else.
        """
        result = files.load(path)
        if not isinstance(result, cls):
            raise ValueError(f"{path}: holds {type(result).__name__}, must be {cls.__name__}")
        return result
