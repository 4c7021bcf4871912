"""Large libraries imported without the optional packages that they would bring along and that no run uses.

Most of the time that Lightning and timm take to import is that of such packages: of metrics of speech and of images, of
plotting, of a logger.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.metadata import DistributionFinder, PackageNotFoundError
from types import ModuleType
from typing import Any


class _Hidden(MetaPathFinder):
    """Answers for some packages that they are not installed, to an import and to a question for their version."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> tuple[()]:
        if context is not None and context.name in self._names:
            raise PackageNotFoundError(context.name)
        return ()


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Within, packages look as if they were not installed, also those that are imported already.

    Args:
        names: Of packages that are optional to what is imported within.
    """
    finder = _Hidden(names)
    loaded = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.modules.update(loaded)


def forget(package: str) -> None:
    """Let the next import of a package load it anew; who has it already keeps it."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


@contextmanager
def uncollected() -> Iterator[None]:
    """Within, garbage is not collected: imports make millions of objects and hardly any garbage.

    Looking for it takes a sixth of the time of importing torch and timm.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
