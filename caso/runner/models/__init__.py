"""Networks to explain, found by the group ``model``.

Each choice is a function from its options to a :class:`ModelSource`, which knows the class names (where they can be
known) and loads the weights only when asked, so that mistakes show before.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from caso.runner.cli.messages import ConfigError, choices
from caso.runner.models.classifier import Classifier, ModelSource, Normalize
from caso.runner.models.efficientnet_lite import efficientnet_lite
from caso.runner.models.entry import python_entry
from caso.runner.models.from_timm import timm_classifier
from caso.runner.models.from_torchvision import torchvision_classifier
from caso.runner.models.geometry import ResizeAndCrop, to_grey, to_pixels

MODELS: dict[str, Callable[[Any], ModelSource]] = {
    "efficientnet_lite0": efficientnet_lite,
    "efficientnet_lite1": efficientnet_lite,
    "efficientnet_lite2": efficientnet_lite,
    "resnet18": torchvision_classifier,
    "resnet34": torchvision_classifier,
    "resnet50": torchvision_classifier,
    "resnet101": torchvision_classifier,
    "resnet152": torchvision_classifier,
    "torchvision": torchvision_classifier,
    "timm": timm_classifier,
    "python": python_entry,
}

__all__ = [
    "MODELS",
    "Classifier",
    "ModelSource",
    "Normalize",
    "ResizeAndCrop",
    "find_model",
    "load_model",
    "to_grey",
    "to_pixels",
]


def find_model(options: Any) -> ModelSource:
    """Find the network that the group ``model`` describes, without loading it.

    Args:
        options: The group's node. Its ``family``, or where there is none its ``name``, is a key of :data:`MODELS`.

    Raises:
        ConfigError: If the name is unknown or an option is wrong.
    """
    family = getattr(options, "family", None) or options.name
    if family not in MODELS:
        raise ConfigError("model.name", family, f"must be {choices(MODELS)}")
    return MODELS[family](options)


def load_model(name: str = "efficientnet_lite0", weights: str = "DEFAULT") -> Classifier:
    """Load a network as runs do, with its preprocessing and its class names.

    Args:
        name: ``efficientnet_lite0``, ``1`` or ``2``, whose ImageNet weights are installed, or one of torchvision's by
            which the group ``model`` has a choice, as ``resnet50``.
        weights: As ``model.weights``: ``DEFAULT``, a state dict's file, or ``none`` for random ones.

    Raises:
        ConfigError: If there is no such network, or its weights cannot be had.
    """
    return find_model(SimpleNamespace(name=name, weights=weights, classes=None)).load()
