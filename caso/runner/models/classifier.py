"""What a run needs to know of a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Classifier(NamedTuple):
    """A network with all that is needed to explain its decisions.

    Attributes:
        network: Maps pixels ``[B, C, H, W]`` in [0, 1] to logits ``[B, K]``. Normalisation is inside, so that maps live
            in pixel space.
        preprocessing: The geometry alone. Maps what a sample's ``read`` gives, a PIL image of mode RGB or, for arrays,
            a tensor ``[C, H, W]`` in [0, 1], to pixels ``[C, H, W]`` in [0, 1].
        class_names: One name a class, or None.
    """

    network: nn.Module
    preprocessing: Callable[[Any], Tensor]
    class_names: Sequence[str] | None


@dataclass(frozen=True)
class ModelSource:
    """A network that is known but not loaded.

    Attributes:
        name: For the results' table.
        class_names: The class names where they are known without the weights, else None.
        load: Makes the network.
    """

    name: str
    class_names: Sequence[str] | None
    load: Callable[[], Classifier]


class Normalize(nn.Module):
    """Subtract a mean and divide by a standard deviation, channel by channel.

    Args:
        mean: One value a channel.
        std: One value a channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Keep both as buffers, so that they follow the network's device and dtype."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise ``[B, C, H, W]``."""
        return (pixels - self.mean) / self.std
