"""Whether a loaded network fits the run: what it returns, and how many classes that makes."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from caso.network import evaluation_copy
from caso.network.outputs import NotLogitsError, Outputs, find_outputs
from caso.precision import full_precision
from caso.runner.cli.messages import ConfigError, describe

log = logging.getLogger(__name__)


def copy_for_evaluation(network: nn.Module, cfg: Any) -> nn.Module:
    """Copy a network as it is explained and scored; the parameters' memory is shared.

    Raises:
        ConfigError: If it cannot be explained at all: it is quantised, TorchScript, or cannot be copied.
    """
    try:
        return evaluation_copy(network, torch.float64 if cfg.trainer.precision == "64-true" else torch.float32)
    except TypeError as error:
        raise _mistake(cfg, error) from error


def first_outputs(network: nn.Module, pixels: Tensor, cfg: Any) -> Outputs | None:
    """Find out what a network returns, on the first image that it takes.

    Returns:
        None where it fails on all of them: their rows will say why.

    Raises:
        ConfigError: If it returns no logits, or not the same ones twice.
    """
    for index in range(len(pixels)):
        try:
            with full_precision(pixels.device):
                return find_outputs(network, pixels[index : index + 1])
        except NotLogitsError as error:
            raise _mistake(cfg, error) from error
        except Exception as error:  # the network, or memory, may raise anything
            log.debug("the network fails on an image: %s", describe(error))
    return None


def check_classes(outputs: Outputs, class_names: Sequence[str] | None, target: int | None, cfg: Any) -> None:
    """Check class names and the class to explain against the network's logits.

    Raises:
        ConfigError: If there are more or fewer names, or no such class.
    """
    count = outputs.classes
    logits = "1 logit, which makes 2 classes" if outputs.single else f"{count} logits"
    if class_names is not None and len(class_names) != count:
        raise _mistake(cfg, f"it has {len(class_names)} class names, but the network gives {logits}")
    if target is not None and target >= count:
        raise ConfigError("target", target, f"a class index goes from 0 to {count - 1}: the network gives {logits}")


def _mistake(cfg: Any, reason: object) -> ConfigError:
    """Name the key that names the network."""
    key = "model.entry" if "entry" in cfg.model else "model"
    value = cfg.model.entry if "entry" in cfg.model else cfg.model.name
    return ConfigError(key, value, str(reason).removeprefix("model: "))
