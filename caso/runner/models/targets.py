"""Which class a map explains: the predicted one, the image's label, an index, or a name."""

from collections.abc import Sequence

from caso.runner.cli.messages import ConfigError, nearest


def resolve(target: object, class_names: Sequence[str] | None) -> int | None:
    """Turn the key ``target`` into a class index.

    Args:
        target: ``"predicted"``, an index from 0, or a class name; underscores count as spaces, and case does not count.
        class_names: The network's class names in order; None where they are unknown, and then names cannot be used.

    Returns:
        The index, or None for the predicted class.

    Raises:
        ConfigError: If there is no such class, or more than one.
    """
    if isinstance(target, str) and _plain(target) == "predicted":
        return None
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise ConfigError("target", target, "must be predicted, label, a class index or a class name")
    if isinstance(target, str) and target.strip().isdecimal():
        target = int(target)
    if isinstance(target, int):
        if target < 0 or (class_names is not None and target >= len(class_names)):
            last = f" to {len(class_names) - 1}" if class_names is not None else " upwards"
            raise ConfigError("target", target, f"a class index goes from 0{last}")
        return target
    if class_names is None:
        raise ConfigError("target", target, "this model has no class names; give predicted or a class index")
    plain = [_plain(name) for name in class_names]
    wanted = _plain(target)
    found = [index for index, name in enumerate(plain) if name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError("target", target, f"names several classes; give an index: {', '.join(map(str, found))}")
    close = nearest(wanted, sorted(set(plain)))
    holding = [name for name in dict.fromkeys(plain) if wanted and wanted in name]
    near = list(dict.fromkeys(close + holding))[:5]
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    raise ConfigError("target", target, f"no class has this name{hint}")


def wants_label(target: object) -> bool:
    """Tell whether the key ``target`` asks for each image's own label."""
    return isinstance(target, str) and _plain(target) == "label"


def align_labels(label_names: Sequence[str] | None, class_names: Sequence[str] | None) -> list[int] | None:
    """Find which of the network's classes a data set's labels mean.

    By their names, then, for ImageNet's networks, by WordNet ids (n01440764). Where neither is known on both sides, or
    as many names differ, both are taken to be in the same order, as they are after a training on such folders.

    Args:
        label_names: What the labels mean, for each index; None where labels are the network's own indices.
        class_names: The network's; None where they are unknown.

    Returns:
        The class of each label, or None where labels are the classes' indices.

    Raises:
        ConfigError: If a label means no class of the network.
    """
    if label_names is None or class_names is None or list(label_names) == list(class_names):
        return None
    plain: dict[str, list[int]] = {}
    for index, name in enumerate(class_names):
        plain.setdefault(_plain(name), []).append(index)
    found = [plain.get(_plain(name), []) for name in label_names]
    if all(len(indices) == 1 for indices in found):
        return [indices[0] for indices in found]
    folders = _imagenet_folders(class_names)
    if all(name in folders for name in label_names):
        return [folders[name] for name in label_names]
    if len(label_names) == len(class_names):
        return None
    name = next(name for name, indices in zip(label_names, found, strict=True) if len(indices) != 1)
    close = nearest(_plain(name), sorted(plain))
    hint = f"; the nearest are {', '.join(close)}" if close else ""
    raise ConfigError("target", "label", f"the data set's class {name} is none of the network's{hint}")


def _imagenet_folders(class_names: Sequence[str]) -> dict[str, int]:
    from caso.runner.models.names import imagenet_folders, imagenet_names

    if list(class_names) != imagenet_names():
        return {}
    return {folder: index for index, folder in enumerate(imagenet_folders())}


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
