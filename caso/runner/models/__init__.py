"""Networks to explain, found by the key ``model``.

Each choice is a function from its options to a :class:`ModelSource`, which knows the class names (where they can be
known) and loads the weights only when asked, so that mistakes show before.
"""

from collections.abc import Callable
from typing import Any

from caso.runner.errors import ConfigError, choices
from caso.runner.models.classifier import Classifier, ModelSource
from caso.runner.models.efficientnet_lite import efficientnet_lite0
from caso.runner.models.entry import python_entry
from caso.runner.models.resnet import resnet

MODELS: dict[str, Callable[[Any], ModelSource]] = {
    "efficientnet_lite0": efficientnet_lite0,
    "resnet18": resnet,
    "resnet34": resnet,
    "resnet50": resnet,
    "resnet101": resnet,
    "resnet152": resnet,
    "python": python_entry,
}

__all__ = ["MODELS", "Classifier", "ModelSource", "find_model"]


def find_model(options: Any) -> ModelSource:
    """Find the network that the group ``model`` describes, without loading it.

    Args:
        options: The group's node; ``options.name`` is a key of :data:`MODELS`.

    Raises:
        ConfigError: If the name is unknown or an option is wrong.
    """
    if options.name not in MODELS:
        raise ConfigError("model.name", options.name, f"must be {choices(MODELS)}")
    return MODELS[options.name](options)
