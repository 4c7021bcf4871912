"""What a way to find regions is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from omegaconf import MISSING
from torch import Tensor

from caso.arguments import Allowed
from caso.runner.data.decoding import Picture

Find = Callable[[Tensor], Tensor]


@dataclass
class RegionOptions:
    """What the choices of regions share."""

    name: str = MISSING
    keep: Annotated[int | None, Allowed("at least 1", lambda value: value is None or value >= 1)] = None


class Regions(Protocol):
    """Gives an image its regions. Can be pickled."""

    @property
    def find(self) -> Find | None:
        """The regions as a function of images ``[B, C, H, W]``; None where they are each image's own."""

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
        """Labels ``[H, W]`` or ``[C, H, W]`` of an image, -1 for none.

        Args:
            name: The image's id.
            picture: As it was read.
            pixels: What the network gets, ``[C, H, W]``.
            preprocessing: From the one to the other.

        Raises:
            ValueError: If there are none for this image, or they do not fit it.
        """

    def name(self, label: int) -> str:
        """What a region is called."""


class FoundRegions:
    """Regions by a function of the pixels.

    Args:
        make: At the top of a module, so that it can be pickled: from the options but ``name`` and ``keep``, as keyword
            arguments, to the function of images ``[B, C, H, W]``.
        options: The group's node.
        noun: What a region is called, before its label.
    """

    def __init__(self, make: Callable[..., Find], options: Mapping[str, Any], noun: str = "region") -> None:
        """Make the function."""
        self._make, self._noun = make, noun
        self._options = {str(key): value for key, value in options.items() if key not in ("name", "keep")}
        self.find = make(**self._options)

    def __reduce__(self) -> Any:
        """Pickle how the function is made: it is often a closure itself."""
        return FoundRegions, (self._make, self._options, self._noun)

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
        """Find the labels in the pixels alone."""
        labels = self.find(pixels[None])
        return labels if labels.dim() == pixels.dim() - 1 and len(labels) != 1 else labels[0]

    def name(self, label: int) -> str:
        """Number the regions."""
        return f"{self._noun} {label}"
