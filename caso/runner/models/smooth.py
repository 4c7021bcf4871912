"""EfficientNet-Lite0 with its kinks rounded: real weights in a smooth network (model=efficientnet_lite0_smooth)."""

from typing import Any

import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

_SHARPNESS = 20.0
"""The smooth activation differs from ReLU6 by at most log(2) / 20 = 0.035, at its two kinks."""
_LINEAR = 50.0


class SmoothReLU6(nn.Module):
    """ReLU6 with its two kinks rounded by softplus."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return F.softplus(x, _SHARPNESS, _LINEAR) - F.softplus(x - 6, _SHARPNESS, _LINEAR)


def efficientnet_lite0() -> tuple[Any, ...]:
    """The network, its preprocessing and its class names, as ``model=python`` takes them."""
    from caso.runner.models import find_model

    options = OmegaConf.create({"name": "efficientnet_lite0", "weights": "DEFAULT", "classes": None, "family": None})
    found = find_model(options).load()
    _round(found.network)
    return found.network, found.preprocessing, found.class_names


def _round(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU6):
            setattr(module, name, SmoothReLU6())
        else:
            _round(child)
