"""Components by name: whatever the modules of a package define of one kind, so that a file alone adds a component."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def instances(package: str, path: Iterable[str], kind: type[_T]) -> dict[str, _T]:
    """Collect the objects of a class that the modules of a package define, by their `name`.

    Args:
        package: the package's name, `__name__` in its `__init__.py`.
        path: where its modules are, `__path__` there.
        kind: the class.
    """
    return {value.name: value for value in defined(package, path) if isinstance(value, kind)}


def subclasses(package: str, path: Iterable[str], base: type[_T]) -> dict[str, type[_T]]:
    """Collect the subclasses of `base` that the modules of a package define with a `name`, by that name."""
    found = (value for value in defined(package, path) if isinstance(value, type) and issubclass(value, base))
    return {str(value.name): value for value in found if "name" in vars(value)}


def defined(package: str, path: Iterable[str]) -> Iterator[Any]:
    """What the modules of a package bind to names, module by module."""
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        yield from vars(import_module(f"{package}.{module}")).values()
