"""A network from the user's own code: ``model=python model.entry=package.module:function``.

The contract. ``function`` takes no arguments and returns a tuple of three:

1. the network, a ``torch.nn.Module`` that maps pixels ``[B, C, H, W]``, floats in [0, 1], to logits ``[B, K]``, or to
   what holds them (see ``caso.network.outputs``). It normalises its input itself, so that maps are with respect to
   pixels: for example ``nn.Sequential(Normalize(mean, std), net)`` with ``Normalize`` of ``caso.runner.models``. It is
   explained in eval mode.
2. the preprocessing, a function from a ``PIL.Image.Image`` of mode RGB to a float tensor ``[C, H, W]`` in [0, 1]:
   geometry and channels only (resize, crop, grey), no normalisation. Arrays (.npy, TIFF files of many bands) come as
   float tensors ``[C, H, W]`` in [0, 1] instead. None keeps every image at its own size. Where several processes read
   images, the function is pickled: define it at the top of a module. ``ResizeAndCrop``, ``to_pixels`` and ``to_grey``
   of ``caso.runner.models`` serve, and take both kinds.
3. the class names, a list of K strings in the order of the logits (two for one logit); or None, and classes are then
   shown by index.

The current directory is importable. This is the one place where a string of the configuration names code that runs; the
log says which file was imported.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING
from torch import nn

from caso.runner.cli.messages import ConfigError, describe
from caso.runner.components import Component
from caso.runner.models.attention import use_plain_attention
from caso.runner.models.classifier import Classifier, ModelSource
from caso.runner.models.geometry import to_pixels

log = logging.getLogger(__name__)


@dataclass
class PythonEntry:
    """Options of a network made by the user's own code."""

    name: str = MISSING
    entry: str = MISSING


def python_entry(options: Any) -> ModelSource:
    """Describe a network made by the user's own function.

    Args:
        options: ``entry``: ``package.module:function``, see above for what the function returns.

    Raises:
        ConfigError: If there is no such module or function; on loading, if the function fails or returns anything else.
    """
    entry = str(options.entry)
    function = _find(entry)

    def load() -> Classifier:
        use_plain_attention()
        try:
            returned = function()
        except Exception as error:  # the user's code may raise anything
            log.debug("model.entry failed", exc_info=True)
            raise ConfigError("model.entry", entry, f"failed with {type(error).__name__}: {describe(error)}") from error
        return _checked(entry, returned)

    return ModelSource(entry, None, load)


def _find(entry: str) -> Callable[[], Any]:
    module_name, _, name = entry.partition(":")
    if not module_name or not name:
        raise ConfigError("model.entry", entry, "must be package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        log.debug("model.entry cannot be imported", exc_info=True)
        raise ConfigError("model.entry", entry, f"cannot be imported ({describe(error)})") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError("model.entry", entry, f"{module_name} has no function {name}")
    log.info("model.entry: imported %s from %s", module_name, getattr(module, "__file__", "memory"))
    return function


def _checked(entry: str, returned: Any) -> Classifier:
    if not isinstance(returned, tuple) or len(returned) != 3:
        raise ConfigError("model.entry", entry, "must return a tuple (network, preprocessing, class names)")
    network, preprocessing, class_names = returned
    if not isinstance(network, nn.Module):
        raise ConfigError("model.entry", entry, f"must return a torch.nn.Module first, not {type(network).__name__}")
    if preprocessing is not None and not callable(preprocessing):
        raise ConfigError("model.entry", entry, "must return a function, or None, as its preprocessing")
    if class_names is not None:
        class_names = list(class_names)
        if not all(isinstance(name, str) for name in class_names):
            raise ConfigError("model.entry", entry, "must return its class names as strings, or None")
    return Classifier(network.eval(), preprocessing or to_pixels, class_names)


COMPONENT = Component(("python",), PythonEntry, python_entry)
