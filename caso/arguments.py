"""Arguments, checked: each mistake is a ValueError that names the argument, what came and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

Target = int | Sequence[int] | Tensor | None


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise a ValueError that names the argument, its value and what is allowed, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{name}={value!r}: must be {allowed}")


def require_module(model: object) -> None:
    """Raise a TypeError unless `model` is a `torch.nn.Module`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: must be a torch.nn.Module, not {type(model).__name__}")


@dataclass(frozen=True)
class Allowed:
    """Values that an argument may have, stated in its annotation: `steps: Count = 64`.

    Attributes:
        words: completes "must be ..." in the message of an error.
        test: whether a value is allowed.
    """

    words: str
    test: Callable[[Any], bool]


def one_of(*names: str) -> Allowed:
    """Some names, and no others."""
    words = " or ".join(names) if len(names) == 2 else "one of " + ", ".join(names)
    return Allowed(words, lambda value: value in names)


Count = Annotated[int, Allowed("at least 1", lambda value: value >= 1)]
CountOrNone = Annotated[int | None, Allowed("None or at least 1", lambda value: value is None or value >= 1)]
CountOrZero = Annotated[int, Allowed("at least 0", lambda value: value >= 0)]
Positive = Annotated[float, Allowed("a number > 0", lambda value: 0 < value < math.inf)]
NotNegative = Annotated[float, Allowed("a number >= 0", lambda value: 0 <= value < math.inf)]
Fraction = Annotated[float, Allowed("between 0 and 1", lambda value: 0 < value < 1)]
FractionOrBound = Annotated[float, Allowed("between 0 and 1", lambda value: 0 <= value <= 1)]

_TYPES: dict[Any, tuple[type, str]] = {
    int: (Integral, "a whole number"),
    int | None: (Integral | NoneType, "None or a whole number"),  # type: ignore[dict-item]
    float: (Real, "a number"),
}


def check(name: str, value: object, annotation: Any) -> None:
    """Check an argument by its annotation.

    Raises:
        ValueError: it is no number where one must be (True and False are none), or not what an `Allowed` asks for.
    """
    rules = getattr(annotation, "__metadata__", ())
    plain = get_args(annotation)[0] if rules else annotation
    if plain is bool:
        require(isinstance(value, bool), name, value, "True or False")
    if plain in _TYPES:
        kind, words = _TYPES[plain]
        require(isinstance(value, kind) and not isinstance(value, bool), name, value, words)
    for rule in rules:
        require(rule.test(value), name, value, rule.words)


def check_fields(owner: Any, prefix: str = "") -> None:
    """Check every annotated attribute of an object; `prefix` comes before its name in messages.

    Raises:
        ValueError: a value is not allowed.
    """
    for name, annotation in get_type_hints(type(owner), include_extras=True).items():
        if get_origin(annotation) is not ClassVar:
            check(prefix + name, getattr(owner, name), annotation)


def _tensor(values: object, name: str, allowed: str, dtype: torch.dtype | None = None) -> Tensor:
    try:
        require(torch.as_tensor(values).dtype != torch.bool, name, values, allowed)
        return torch.as_tensor(values, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}={values!r}: must be {allowed}") from error


def checked_images(inputs: object) -> Tensor:
    """Images `[B, ...]` in the dtype and memory in which they are explained: a copy, in float32 or float64.

    Raises:
        ValueError: they are no batch of floats.
    """
    if not isinstance(inputs, Tensor):
        raise ValueError(f"inputs of type {type(inputs).__name__}: must be a tensor of floats [B, ...]")
    if not inputs.is_floating_point():
        hint = ", as inputs / 255" if inputs.dtype == torch.uint8 else ""
        raise ValueError(f"inputs of {inputs.dtype}: must be floats{hint}")
    if inputs.dim() < 2 or not inputs.numel():
        raise ValueError(f"inputs of shape {list(inputs.shape)}: must be a batch [B, ...] of B >= 1")
    # A copy: what Lightning hands over in inference mode cannot enter autograd.
    return inputs.detach().clone().to(torch.promote_types(inputs.dtype, torch.float32))


def checked_targets(target: Target, batch: int, device: torch.device) -> Tensor:
    """The class of each image `[B]`; -1 for the predicted one.

    Raises:
        ValueError: there is neither one for all nor one for each, or they are no class indices.
    """
    if target is None:
        return torch.full((batch,), -1, dtype=torch.long, device=device)
    given = _tensor(target, "target", "None, a class index, or one for each image").to(device)
    whole = not given.is_floating_point() and not given.is_complex()
    fits = whole and given.dim() <= 1 and given.numel() in (1, batch)
    require(fits, "target", target, f"None, a class index, or {batch} of them")
    require(bool((given >= 0).all()), "target", target, "class indices >= 0")
    return given.long().flatten().expand(batch).clone()


def checked_lambda1s(lambda1s: Sequence[float] | Tensor) -> Tensor:
    """Values of lambda1 in float64, ascending.

    Raises:
        ValueError: they are no list of numbers >= 0.
    """
    values = _tensor(lambda1s, "lambda1s", "a list of numbers >= 0", torch.float64)
    fine = values.dim() == 1 and len(values) > 0 and bool(((values >= 0) & torch.isfinite(values)).all())
    require(fine, "lambda1s", lambda1s, "a list of numbers >= 0, at least one")
    return values.sort().values
