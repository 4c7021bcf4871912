"""How many classes a network has, and what they are called."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from caso.runner.cli.messages import ConfigError
from caso.runner.models.lean_timm import import_timm


class Classes(NamedTuple):
    """The classes of a network: how many, and their names where they are known."""

    number: int
    names: list[str] | None


@cache
def _imagenet_names() -> tuple[str, ...]:
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


def imagenet_names() -> list[str]:
    """List ImageNet's 1000 class names in the order of the logits."""
    return list(_imagenet_names())


def imagenet() -> Classes:
    """Give ImageNet's 1000 classes."""
    return Classes(1000, imagenet_names())


def imagenet_folders() -> list[str]:
    """List ImageNet's 1000 WordNet ids (n01440764 ...), which name its class folders, in the order of the logits."""
    return list(import_timm().data.ImageNetInfo("imagenet-1k").label_names())


def given_classes(options: Any) -> Classes | None:
    """Read the key ``model.classes``.

    Args:
        options: The node of the group ``model``.

    Returns:
        None where the key is absent or null: the classes are then those of the weights.

    Raises:
        ConfigError: If it is neither a number nor a file of names.
    """
    value = getattr(options, "classes", None)
    if value is None:
        return None
    if isinstance(value, str) and not value.isdecimal():
        path = Path(value).expanduser()
        if not path.is_file():
            raise ConfigError("model.classes", value, "no such file; give a number, or a file with one name a line")
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return _at_least_two(Classes(len(names), names), value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigError("model.classes", value, "must be the number of classes, or a file with one name a line")
    return _at_least_two(Classes(int(value), None), value)


def _at_least_two(classes: Classes, value: object) -> Classes:
    if classes.number < 2:
        raise ConfigError("model.classes", value, "a classifier has at least 2 classes")
    return classes


def settle_classes(given: Classes | None, own: Classes | None, weights: str, fixed: bool) -> Classes:
    """Choose between the classes that the user gives and those of the weights.

    Args:
        given: The user's.
        own: The weights', None where they are no classifier's.
        weights: The key ``model.weights``, for errors.
        fixed: Whether the weights have a head, which settles the number.

    Raises:
        ConfigError: If both differ in number, or there are none.
    """
    if given is None and own is None:
        raise ConfigError(
            "model.weights",
            weights,
            "these extract features, they name no classes; give model.classes=N and a file with a head",
        )
    if given is None or own is None:
        return given or own or Classes(0, None)
    if fixed and given.number != own.number:
        raise ConfigError("model.classes", given.number, f"model.weights={weights} has {own.number} classes")
    return given
