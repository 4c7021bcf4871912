"""What a run needs to know of a network, and the pieces that the models share."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from caso.runner.errors import ConfigError, describe


class Classifier(NamedTuple):
    """A network with all that is needed to explain its decisions.

    Attributes:
        network: Maps pixels ``[B, C, H, W]`` in [0, 1] to logits ``[B, K]``. Normalisation is inside, so that maps live
            in pixel space.
        preprocessing: Maps a PIL image (mode RGB) to pixels ``[C, H, W]`` in [0, 1]: the geometry alone.
        class_names: One name a class, or None.
    """

    network: nn.Module
    preprocessing: Callable[[Image.Image], Tensor]
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


def check_weights(weights: str, *, default: str = "DEFAULT") -> None:
    """Check the key ``model.weights`` before anything loads.

    Raises:
        ConfigError: If it is neither a default, ``none``, nor a file that exists.
    """
    if weights in (default, "none") or Path(weights).expanduser().is_file():
        return
    raise ConfigError("model.weights", weights, f"no such file; give {default}, none or the path of a state dict")


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a file, as tensors only: no code in the file can run.

    Args:
        path: A file of ``torch.save`` or safetensors. A state dict below the key ``state_dict`` or ``model``, and names
            with the prefix ``module.``, are understood.

    Raises:
        ConfigError: If the file holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ConfigError("model.weights", path, f"cannot be read as a state dict ({describe(error)[:200]})") from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError("model.weights", path, "does not hold a state dict")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Load a state dict, every entry, or say in one line why it does not fit.

    Raises:
        ConfigError: If names or shapes differ.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError("model.weights", source, f"does not fit the network ({describe(error)[:200]})") from error
