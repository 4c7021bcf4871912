"""Networks to explain, found by the group ``model``.

Each choice is a function from its options to a :class:`ModelSource`, which knows the class names (where they can be
known) and loads the weights only when asked, so that mistakes show before.
"""

from typing import Any

from caso.runner.cli.messages import ConfigError, choices
from caso.runner.components import Component, components
from caso.runner.models.classifier import Classifier, ModelSource, Normalize
from caso.runner.models.geometry import ResizeAndCrop, to_grey, to_pixels
from caso.runner.models.weights import PublishedModel

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

MODELS: dict[str, Component] = components(__name__, __path__)
"""Every family of networks, and every network that is known by its own name."""


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
    return find_model(PublishedModel(name=name, weights=weights)).load()
