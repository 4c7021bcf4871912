"""Ranges of options, stated in the annotations of their dataclasses and checked before any weights load."""

import dataclasses
import math
from typing import Annotated, Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from caso.arguments import Allowed
from caso.runner.cli.messages import ConfigError, choices


def one_of(*names: str) -> Allowed:
    """Some names, and no others; null where the type allows it."""
    return Allowed(choices(names), lambda value: value is None or value in names)


AtLeastZero = Annotated[float, Allowed("finite, at least 0", lambda value: 0 <= value < math.inf)]
AboveZero = Annotated[float, Allowed("finite, greater than 0", lambda value: 0 < value < math.inf)]
Share = Annotated[float, Allowed("finite, at least 0 and at most 1", lambda value: 0 <= value <= 1)]
PositiveShare = Annotated[float, Allowed("finite, greater than 0 and at most 1", lambda value: 0 < value <= 1)]


def check_ranges(node: DictConfig, path: str = "") -> None:
    """Raise the first value that its annotation does not allow.

    Args:
        node: The whole configuration, or a part of it. What is no dataclass there is passed over.
        path: The part's key.

    Raises:
        ConfigError: Naming the key, its value and what is allowed.
    """
    kind = OmegaConf.get_type(node)
    hints = get_type_hints(kind, include_extras=True) if dataclasses.is_dataclass(kind) else {}
    for option, hint in hints.items():
        for rule in getattr(hint, "__metadata__", ()):
            _check(f"{path}.{option}" if path else option, node[option], rule)
    for name, part in ((str(name), part) for name, part in node.items_ex(resolve=False)):
        if isinstance(part, DictConfig):  # after the values, which are the defaults of some of the parts'
            check_ranges(part, f"{path}.{name}" if path else name)


def _check(key: str, value: Any, rule: Allowed) -> None:
    if not rule.test(value):
        shown = f"[{','.join(map(str, value))}]" if OmegaConf.is_list(value) else value
        raise ConfigError(key, shown, f"must be {rule.words}")
