"""The values that a parameter may have, stated in its annotation: `steps: Count = 64`.

Types with further conditions are defined like those below, beside the class that has the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_type_hints


@dataclass(frozen=True)
class Allowed:
    """Allowed values of a parameter.

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
Positive = Annotated[float, Allowed("a number > 0", lambda value: value > 0)]
NotNegative = Annotated[float, Allowed("a number >= 0", lambda value: 0 <= value < math.inf)]
Fraction = Annotated[float, Allowed("between 0 and 1", lambda value: 0 < value < 1)]


class Parametrised(Protocol):
    """Whatever has a name and annotated parameters."""

    @property
    def name(self) -> str:
        """For messages."""
        ...


def require(owner: Parametrised, holds: bool, parameter: str, allowed: str) -> None:
    """Require something of a parameter's value.

    Raises:
        ValueError: it does not hold; the message names the owner, the parameter, its value and what is allowed.
    """
    if not holds:
        raise ValueError(f"{owner.name}: {parameter}={getattr(owner, parameter)!r}: must be {allowed}")


def check_parameters(owner: Parametrised) -> None:
    """Check every parameter whose annotation states allowed values.

    Raises:
        ValueError: a value is not allowed.
    """
    for parameter, hint in get_type_hints(type(owner), include_extras=True).items():
        for allowed in getattr(hint, "__metadata__", ()):
            require(owner, allowed.test(getattr(owner, parameter)), parameter, allowed.words)
