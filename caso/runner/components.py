"""Models, data sets and ways to find regions: whatever their packages' modules define, so that a file adds one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from caso.registry import defined


@dataclass(frozen=True)
class Component:
    """What choices of a group of the configuration stand for.

    Attributes:
        names: What the group's node says as its ``family``, or where it has none as its ``name``.
        options: The node's keys: a dataclass, whose annotations state types and ranges
            (:mod:`caso.runner.cli.ranges`). Files in ``conf/`` begin with it, as ``/hydra/schema/GROUP/NAME@_here_``.
        make: Makes from the node what the group is for.
    """

    names: tuple[str, ...]
    options: type
    make: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        """Make it."""
        return self.make(*arguments)


def components(package: str, path: Iterable[str]) -> dict[str, Component]:
    """Collect the components that the modules of a package define, by each of their names, sorted.

    Args:
        package: The package's name, ``__name__`` in its ``__init__.py``.
        path: Where its modules are, ``__path__`` there.
    """
    found = (value for value in defined(package, path) if isinstance(value, Component))
    named = {name: component for component in found for name in component.names}
    return {name: named[name] for name in sorted(named)}
