"""The explanation methods that users know, behind one interface; and two that need no network, to keep metrics honest.

Captum computes what it has (https://captum.ai); it is imported when a method is first used. Every method explains the
logit of a class in a copy of the model that shares its weights, so that the user's model comes back unchanged.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import nn

from caso.baselines.baseline import Baseline
from caso.registry import subclasses

__all__ = ["BASELINES", "Baseline", "make_baseline"]

BASELINES: dict[str, type[Baseline]] = subclasses(__name__, __path__, Baseline)
"""Every method by its name."""


def make_baseline(name: str, model: nn.Module, **options: Any) -> Baseline:
    """Make an explanation method from its name and options.

    Raises:
        TypeError: the model is not a module.
        ValueError: there is no such method or option, or a value is out of range.
    """
    if name not in BASELINES:
        raise ValueError(f"explainer {name!r}: must be one of " + ", ".join(BASELINES))
    known = [one.name for one in fields(BASELINES[name]) if one.init and one.name != "model"]
    for option in options:
        if option not in known:
            raise ValueError(f"{name}: has no option {option!r}; it has " + ", ".join(known))
    return BASELINES[name](model=model, **options)
