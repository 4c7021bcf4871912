"""Keys that nothing reads, as ``+dataset.foo=1`` adds them: refused, for a setting without effect is a mistake."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caso.baselines import BASELINES
from caso.metrics import METRICS
from caso.runner.cli.messages import ConfigError, choices, nearest
from caso.runner.results.loggers import LOGGERS


def check_keys(node: DictConfig, path: str = "") -> None:
    """Raise the first key that does not exist.

    Args:
        node: The whole configuration without Hydra's own node, or a part of it.
        path: The part's key.

    Raises:
        ConfigError: Naming the key, and what there is.
    """
    allowed = _allowed(node, path)
    for name, value in ((str(name), value) for name, value in node.items_ex(resolve=False)):
        key = f"{path}.{name}" if path else name
        if allowed is not None and name not in allowed:
            close = nearest(name, allowed)
            hint = f"did you mean {choices(close)}?" if close else f"known: {', '.join(allowed)}"
            raise ConfigError(key, value, f"no such key; {hint}")
        if isinstance(value, DictConfig):
            check_keys(value, key)


def _allowed(node: DictConfig, path: str) -> Sequence[str] | None:
    """The keys that a part may have; None where they are checked by what reads them."""
    kind = OmegaConf.get_type(node)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return _UNTYPED[path](node) if path in _UNTYPED else None


def _of_explainer(node: Any) -> list[str]:
    if node.name in BASELINES:
        options = [field.name for field in dataclasses.fields(BASELINES[node.name]) if field.init]
        return ["name", *(name for name in options if name != "model")]
    return ["name", "path"] if node.name == "stored" else ["name"]


_UNTYPED: dict[str, Callable[[Any], list[str]]] = {
    "order": lambda node: ["name"],
    "solver": lambda node: ["name"],
    "regions": lambda node: ["name"],
    "size": lambda node: ["name"],
    "logger": lambda node: list(LOGGERS),
    "explainer": _of_explainer,
    "metrics": lambda node: ["names", *METRICS],
}
