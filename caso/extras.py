"""Optional packages: what needs one that is missing says so in one line, with the command that installs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
CHECKOUT: Path | None = _ROOT if (_ROOT / "pyproject.toml").is_file() else None
"""Where this code runs from a copy of the repository, its root; None where it was installed from a wheel."""


class MissingPackageError(ModuleNotFoundError):
    """A package that belongs to one of the extras is not installed."""


def install_command(extra: str) -> str:
    """Give the command that installs an extra beside this installation.

    Args:
        extra: as in `pyproject.toml`.
    """
    if CHECKOUT is None:
        return f"pip install 'caso[{extra}]'"
    return f"pip install -e '{'.' if Path.cwd() == CHECKOUT else CHECKOUT}[{extra}]'"


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within, where packages of an extra are imported, a missing one is an error that says how to install it.

    Args:
        extra: as in `pyproject.toml`.
        what: needs them.

    Raises:
        MissingPackageError: one is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if isinstance(error, MissingPackageError) or package == "caso":
            raise
        line = f"{what}: needs the extra {extra}; {install_command(extra)} installs it"
        raise MissingPackageError(line, name=error.name) from error
