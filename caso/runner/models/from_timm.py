"""timm's classifiers, with weights from the net, from a file, or random."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from caso.runner.cli.messages import ConfigError, choices, nearest
from caso.runner.components import Component
from caso.runner.models.attention import use_plain_timm_attention
from caso.runner.models.classifier import Classifier, ModelSource, Normalize
from caso.runner.models.geometry import ResizeAndCrop, three_channels
from caso.runner.models.lean_timm import import_timm
from caso.runner.models.names import Classes, given_classes, imagenet_names, settle_classes
from caso.runner.models.weights import (
    DEFAULT,
    KEY,
    NONE,
    PublishedModel,
    check_weights,
    fetch_hub,
    fetch_url,
    load_state,
    told_in_one_line,
)

# Weights with more outputs than this are classifiers', even of classes that timm does not name; fewer, other than
# ImageNet's numbers, are the coordinates of an embedding.
_LARGEST_EMBEDDING = 2048


def timm_classifier(options: Any) -> ModelSource:
    """Describe one of timm's classifiers.

    Args:
        options: ``name``: as in ``timm.list_models()``, or with a tag as in ``timm.list_pretrained()``. ``weights``:
            ``DEFAULT`` for those of the tag, or timm's first choice, fetched once and cached, ``none`` for random ones,
            or a file with a state dict. ``classes``: see :func:`caso.runner.models.names.given_classes`.

    Raises:
        ConfigError: If network or tag are unknown, or the weights are no classifier's; on loading, if weights cannot be
            fetched or do not fit.
    """
    timm = import_timm()
    name, weights = str(options.name), str(options.weights)
    _check_name(name)
    check_weights(weights)
    recipe: Any = timm.models.get_pretrained_cfg(name)
    if weights == DEFAULT and not recipe.has_weights:
        raise ConfigError(KEY, weights, f"timm has no weights of {name}; give a file, or {NONE} for random ones")
    classes = settle_classes(given_classes(options), _own_classes(recipe), weights, fixed=weights == DEFAULT)
    full = f"{recipe.architecture}.{recipe.tag}" if recipe.tag and weights == DEFAULT else name

    def load() -> Classifier:
        use_plain_timm_attention()
        if weights == NONE:
            network = _make(name, classes.number, None, weights)
        else:
            path = _fetch(recipe, weights) if weights == DEFAULT else Path(weights).expanduser()
            network = _make(name, classes.number, load_state(path), path)
        geometry, normalize = _preprocessing(recipe)
        return Classifier(nn.Sequential(normalize, network).eval(), geometry, classes.names)

    return ModelSource(full, classes.names, load)


def _check_name(name: str) -> None:
    timm = import_timm()

    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        close = nearest(architecture, known)
        hint = f"did you mean {choices(close)}?" if close else "timm.list_models() lists them"
        raise ConfigError("model.name", name, f"timm has no such network; {hint}")
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        tags = [full for full in timm.list_pretrained(f"{architecture}.*") if "." in full]
        close = nearest(name, tags) or tags[:5]
        hint = f"did you mean {choices(close)}?" if close else "it has none"
        raise ConfigError("model.name", name, f"{architecture} has no such weights; {hint}")


def _own_classes(recipe: Any) -> Classes | None:
    """Name the classes of weights; None where they are a feature extractor's."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count = int(recipe.num_classes)
    subset = infer_imagenet_subset(recipe)
    if recipe.label_names:
        return Classes(count, list(recipe.label_names))
    if subset == "imagenet-1k":
        return Classes(count, imagenet_names())
    if subset is not None:
        return Classes(count, list(ImageNetInfo(subset).label_descriptions()))
    return Classes(count, None) if count > _LARGEST_EMBEDDING else None


def _fetch(recipe: Any, weights: str) -> Path:
    if recipe.hf_hub_id:
        return fetch_hub(recipe.hf_hub_id, recipe.hf_hub_filename, weights)
    return fetch_url(recipe.url, recipe.file or recipe.url.rsplit("/", 1)[-1], weights)


def _make(name: str, classes: int, state: dict[str, Tensor] | None, source: object) -> nn.Module:
    """Make a network; timm knows how to rename the entries of the state dicts that it publishes."""
    timm = import_timm()

    if state is None:
        return timm.create_model(name, pretrained=False, num_classes=classes)
    # With another number of classes here than in the network, timm would leave out the head and say nothing.
    overlay = {"state_dict": state, "num_classes": classes}
    with told_in_one_line(source):
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes)
    recipe: Any = network.pretrained_cfg
    recipe.pop("state_dict", None)  # the weights a second time
    return network


def _preprocessing(recipe: Any) -> tuple[Callable[[Any], Tensor], Normalize]:
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    config = resolve_data_config(pretrained_cfg=recipe.to_dict())
    normalize = Normalize(config["mean"], config["std"])
    _, height, width = config["input_size"]
    if config["crop_mode"] == "center" and height == width and config["interpolation"] in ("bilinear", "bicubic"):
        resample = getattr(Image.Resampling, config["interpolation"].upper())
        return ResizeAndCrop(int(height / config["crop_pct"]), height, resample), normalize
    return TimmGeometry(create_transform(**config, is_training=False, normalize=False)), normalize


@dataclass(frozen=True)
class TimmGeometry:
    """timm's own geometry, for the weights that squash or pad their images.

    Attributes:
        transform: timm's, without normalisation.
    """

    transform: Callable[[Any], Tensor]

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Turn an image into pixels ``[3, H, W]`` in [0, 1].

        Raises:
            ValueError: If it is an array of neither 1 nor 3 channels.
        """
        pixels = self.transform(three_channels(image) if isinstance(image, Tensor) else image)
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.clamp(0, 1)


COMPONENT = Component(("timm",), PublishedModel, timm_classifier)
