"""Components by name: whatever the modules of a package define of one kind."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def discover(package: str, path: Iterable[str], kind: type[_T]) -> dict[str, _T]:
    """Import every module of a package, and collect the objects of a kind that are bound to a name there.

    So a component is added by a file alone.

    Args:
        package: its name, `__name__` in its `__init__.py`.
        path: where its modules are, `__path__` there.
        kind: the class of the objects, which have a `name`.

    Returns:
        the objects by their names, in the order of modules and of definitions.
    """
    found: dict[str, _T] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        values = vars(import_module(f"{package}.{module}")).values()
        found |= {value.name: value for value in values if isinstance(value, kind)}
    return found
