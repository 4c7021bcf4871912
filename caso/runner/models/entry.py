"""A network from the user's own code: ``model=python model.entry=package.module:function``.

The contract. ``function`` takes what ``model.args`` says, by name (``model.args.checkpoint=a.pt``), or nothing, and
returns a tuple of three:

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
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING
from torch import nn

from caso.runner.components import Component
from caso.runner.entries import Entry, described, find_entry, no_arguments
from caso.runner.models.attention import use_plain_attention
from caso.runner.models.classifier import Classifier, ModelSource
from caso.runner.models.geometry import to_pixels


@dataclass
class PythonEntry:
    """Options of a network made by the user's own code."""

    name: str = MISSING
    entry: str = MISSING
    args: dict[str, Any] = field(default_factory=no_arguments)  # type: ignore[arg-type]


def python_entry(options: Any) -> ModelSource:
    """Describe a network made by the user's own function.

    Args:
        options: ``entry``: ``package.module:function``, see above for what the function returns. ``args``: its
            arguments, by their names.

    Raises:
        ConfigError: If there is no such module or function, or an argument is missing or not taken; on loading, if the
            function fails or returns anything else.
    """
    entry = find_entry("model", options)

    def load() -> Classifier:
        use_plain_attention()
        return _checked(entry, entry.call())

    return ModelSource(described(options), None, load)


def _checked(entry: Entry, returned: Any) -> Classifier:
    if not isinstance(returned, tuple) or len(returned) != 3:
        raise entry.mistake("must return a tuple (network, preprocessing, class names)")
    network, preprocessing, class_names = returned
    if not isinstance(network, nn.Module):
        raise entry.mistake(f"must return a torch.nn.Module first, not {type(network).__name__}")
    if preprocessing is not None and not callable(preprocessing):
        raise entry.mistake("must return a function, or None, as its preprocessing")
    if class_names is not None:
        class_names = list(class_names)
        if not all(isinstance(name, str) for name in class_names):
            raise entry.mistake("must return its class names as strings, or None")
    return Classifier(network.eval(), preprocessing or to_pixels, class_names)


COMPONENT = Component(("python",), PythonEntry, python_entry)
