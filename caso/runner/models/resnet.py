"""torchvision's residual networks, with ImageNet weights from the net, from a file, or random."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from PIL import Image
from torch import Tensor, nn

from caso.runner.errors import ConfigError, describe
from caso.runner.models.classifier import Classifier, ModelSource, Normalize, check_weights, fill, load_state
from caso.runner.models.geometry import ResizeAndCrop


def imagenet_names() -> list[str]:
    """List ImageNet's 1000 class names in the order of the logits."""
    from torchvision.models import ResNet50_Weights

    return list(ResNet50_Weights.DEFAULT.meta["categories"])


def resnet(options: Any) -> ModelSource:
    """Describe a residual network.

    Args:
        options: ``name``: resnet18, 34, 50, 101 or 152. ``weights``: ``DEFAULT`` for torchvision's best ImageNet
            weights (fetched once, then cached), ``none`` for random ones, or a file with a state dict.

    Raises:
        ConfigError: If the file does not exist; on loading, if weights cannot be fetched or do not fit.
    """
    import torchvision

    name, weights = str(options.name), str(options.weights)
    check_weights(weights)
    # Geometry and normalisation are those of the default weights, also for a file and for random weights.
    default = torchvision.models.get_model_weights(name).DEFAULT
    names = list(default.meta["categories"])

    def load() -> Classifier:
        network = torchvision.models.get_model(name, weights=None)
        if weights == "DEFAULT":
            fill(network, _fetch(default), weights)
        elif weights != "none":
            path = Path(weights).expanduser()
            fill(network, load_state(path), path)
        recipe = default.transforms()
        resample = getattr(Image.Resampling, recipe.interpolation.name)
        geometry = ResizeAndCrop(recipe.resize_size[0], recipe.crop_size[0], resample)
        return Classifier(nn.Sequential(Normalize(recipe.mean, recipe.std), network).eval(), geometry, names)

    return ModelSource(name, names, load)


def _fetch(weights: Any) -> dict[str, Tensor]:
    """Take weights from torch's cache, or fetch them into it."""
    name = weights.url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ConfigError(
            "model.weights",
            "DEFAULT",
            f"cannot fetch {name} ({describe(error)}); put that file at {place}, "
            "or give its path as model.weights=PATH, or model.weights=none for random weights",
        ) from error
    return state
