"""The user's own images: files, folders, patterns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError, describe
from caso.runner.components import Component
from caso.runner.data.files import Files, files_below, near_files, short_names
from caso.runner.data.formats import is_image_name
from caso.runner.data.samples import Samples
from caso.runner.data.subset import Subset


@dataclass
class Images:
    """Options of files, folders and patterns."""

    name: str = MISSING
    path: Any = None
    recursive: bool = False
    subset: Subset = field(default_factory=Subset)


def images(options: Any, seed: int) -> Samples:
    """List files, the image files of folders (in the order of their names), and those that a pattern matches.

    A pattern has ``*``, ``?``, ``[...]`` or, for any folders in between, ``**``. Ids are paths below the folder that is
    given, or below the last folder before a pattern's first special character; where two would be alike, below the
    folder that all files share.

    Args:
        options: ``path``: a file, a folder, a pattern, or a list of these. ``recursive``: whether folders are searched
            with those below them.
        seed: Not used.

    Raises:
        ConfigError: If a path does not exist, or there is no image.
    """
    given = options.path
    if given is None or (not isinstance(given, str | int | float) and len(given) == 0):
        raise ConfigError("image", given, "give a file, a folder or a list of these, or a pattern")
    found: dict[Path, str] = {}
    for entry in [given] if isinstance(given, str | int | float) else given:
        for path, name in _listed(Path(str(entry)).expanduser(), bool(options.get("recursive"))):
            found.setdefault(path, name)
    names = list(found.values())
    unique = len(set(names)) == len(names)
    return Samples(names if unique else short_names(list(found)), Files([str(path) for path in found]))


def _listed(entry: Path, recursive: bool) -> list[tuple[Path, str]]:
    """The files that an entry stands for, each with its path below the folder that was given."""
    if entry.is_dir():
        files = [entry / name for name in files_below(entry)] if recursive else _images(entry.iterdir())
        if not files:
            hint = "" if recursive else " (dataset=imagefolder reads class folders)"
            raise ConfigError("image", entry, f"the folder holds no image{hint}")
        return [(path, path.relative_to(entry).as_posix()) for path in files]
    if entry.exists():
        return [(entry, entry.name)]
    if not has_magic(str(entry)):
        raise ConfigError("image", entry, "no such file or folder" + near_files(entry))
    return _matched(entry)


def _matched(entry: Path) -> list[tuple[Path, str]]:
    base = Path(*takewhile(lambda part: not has_magic(part), entry.parts))
    pattern = entry.relative_to(base).as_posix()
    if pattern.endswith("**"):
        pattern += "/*"  # what is meant; by itself it stands for folders
    try:
        # Unlike the module glob's, this `**` follows no links, which might lead round in circles.
        names = {path: path.relative_to(base).as_posix() for path in _images(base.glob(pattern))}
    except ValueError as error:
        raise ConfigError("image", entry, f"no pattern ({describe(error)})") from error
    listed = [(path, name) for path, name in names.items() if is_image_name(name)]  # hidden folders are passed over
    if not listed:
        raise ConfigError("image", entry, "no image matches")
    return listed


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted({path for path in paths if is_image_name(path.name) and not path.is_dir()})


COMPONENT = Component(("images",), Images, images)
