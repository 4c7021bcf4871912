"""torchvision's classifiers, with ImageNet weights from the net, from a file, or random."""

from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from caso.runner.cli.messages import ConfigError, choices, nearest
from caso.runner.components import Component
from caso.runner.models.attention import use_plain_attention
from caso.runner.models.classifier import Classifier, ModelSource, Normalize
from caso.runner.models.geometry import ResizeAndCrop
from caso.runner.models.names import Classes, given_classes, settle_classes
from caso.runner.models.weights import DEFAULT, KEY, NONE, PublishedModel, fetch_url, fill, is_file, load_state

# What torchvision calls its other networks, by the module that they live in.
_OTHERS = {
    "quantization": "is quantised, and has no derivatives",
    "segmentation": "segments images, it does not classify them",
    "detection": "detects objects, it does not classify images",
    "video": "classifies videos, not images",
    "optical_flow": "estimates motion, it does not classify images",
}
# These normalise once more, in their own way, and their weights hold heads that serve training alone.
_INCEPTIONS = ("googlenet", "inception_v3")
_TRAINING_HEADS = ("AuxLogits.", "aux1.", "aux2.")


def torchvision_classifier(options: Any) -> ModelSource:
    """Describe one of torchvision's classifiers.

    Args:
        options: ``name``: as in ``torchvision.models.list_models()``. ``weights``: ``DEFAULT`` for torchvision's best,
            the name of others (``IMAGENET1K_V1``), both fetched once and cached, ``none`` for random ones, or a file
            with a state dict. ``classes``: see :func:`caso.runner.models.names.given_classes`.

    Raises:
        ConfigError: If the network is unknown or does not classify images, or there are no such weights; on loading, if
            weights cannot be fetched or do not fit.
    """
    from torchvision.models import get_model_weights

    name, weights = str(options.name), str(options.weights)
    _check_name(name)
    named = {w.name: w for w in get_model_weights(name) if w.meta.get("categories")}
    chosen = _choose(weights, named, get_model_weights(name).DEFAULT)
    names = list(chosen.meta["categories"])
    from_net = weights != NONE and not is_file(weights)
    classes = settle_classes(given_classes(options), Classes(len(names), names), weights, fixed=from_net)

    def load() -> Classifier:
        use_plain_attention()
        network = _make(name, chosen, classes.number, random=weights == NONE)
        if weights != NONE:
            fetched = fetch_url(chosen.url, chosen.url.rsplit("/", 1)[-1], weights) if from_net else weights
            path = Path(fetched).expanduser()
            state = load_state(path)
            if name in _INCEPTIONS:
                state = {key: value for key, value in state.items() if not key.startswith(_TRAINING_HEADS)}
            fill(network, state, path)
        recipe = chosen.transforms()
        resample = getattr(Image.Resampling, recipe.interpolation.name)
        geometry = ResizeAndCrop(recipe.resize_size[0], recipe.crop_size[0], resample)
        return Classifier(nn.Sequential(Normalize(recipe.mean, recipe.std), network).eval(), geometry, classes.names)

    return ModelSource(name, classes.names, load)


def _check_name(name: str) -> None:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name in known:
        return
    if name in torchvision.models.list_models():
        module = torchvision.models.get_model_builder(name).__module__.split(".")[2]
        plain = name.removeprefix("quantized_")
        instead = f"; use {plain}" if plain != name and plain in known else ""
        raise ConfigError("model.name", name, _OTHERS.get(module, "does not classify images") + instead)
    close = nearest(name, known)
    hint = f"did you mean {choices(close)}?" if close else "torchvision.models.list_models() lists them"
    raise ConfigError("model.name", name, f"torchvision has no such classifier; {hint}")


def _choose(weights: str, named: dict[str, Any], default: Any) -> Any:
    """Find the weights whose geometry and normalisation hold: the default's for a file and for random ones."""
    if weights in (DEFAULT, NONE):
        return default
    name = weights.rpartition(".")[2]
    if name in named and not is_file(weights):
        return named[name]
    if is_file(weights):
        return default
    raise ConfigError(KEY, weights, f"no such weights or file; give {choices([DEFAULT, *named, NONE])}, or a file")


def _make(name: str, weights: Any, classes: int, random: bool) -> nn.Module:
    from torchvision.models import get_model

    options: dict[str, Any] = {"num_classes": classes}
    if name in _INCEPTIONS:
        options |= {"transform_input": True, "aux_logits": False, "init_weights": random}
    elif name.startswith("vit_"):
        options["image_size"] = weights.transforms().crop_size[0]
    return get_model(name, weights=None, **options)


COMPONENT = Component(
    ("torchvision", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    PublishedModel,
    torchvision_classifier,
)
