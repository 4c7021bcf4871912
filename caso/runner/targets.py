"""Which class a map explains: the predicted one, an index, or a name."""

from collections.abc import Sequence

from caso.runner.errors import ConfigError, nearest


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
        raise ConfigError("target", target, "must be predicted, a class index or a class name")
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


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
