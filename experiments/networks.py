"""The embedded network with its kinks, and with the kinks smoothed: entries of ``model=python``."""

from typing import Any

import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from caso.runner.models import find_model

_SHARPNESS = 20.0
"""The smoothed activation differs from ReLU6 by at most log(2) / 20 = 0.035, at its two kinks."""


class SmoothReLU6(nn.Module):
    """ReLU6 with its two kinks rounded by softplus."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return F.softplus(x, _SHARPNESS, 50.0) - F.softplus(x - 6, _SHARPNESS, 50.0)


def relu6() -> tuple[Any, ...]:
    """EfficientNet-Lite0 as it is."""
    options = OmegaConf.create({"name": "efficientnet_lite0", "weights": "DEFAULT", "classes": None, "family": None})
    found = find_model(options).load()
    return found.network, found.preprocessing, found.class_names


def softplus() -> tuple[Any, ...]:
    """The same weights with smooth activations."""
    network, preprocessing, class_names = relu6()
    _replace(network)
    return network, preprocessing, class_names


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU6):
            setattr(module, name, SmoothReLU6())
        else:
            _replace(child)
