"""Image files: found below folders, named by ids, read one by one."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caso.runner.cli.messages import ConfigError, choices
from caso.runner.data.decoding import Picture, read_image
from caso.runner.data.formats import is_image_name


@dataclass(frozen=True)
class Files:
    """Reads image files by their indices in a list.

    Attributes:
        paths: The files.
    """

    paths: Sequence[str]

    def __call__(self, index: int) -> Picture:
        """Read one file."""
        return read_image(Path(self.paths[index]))


def folder_of(options: Any, key: str) -> Path:
    """Take a folder from the options of a data set.

    Raises:
        ConfigError: If there is no such folder.
    """
    root = Path(str(options[key])).expanduser()
    if not root.is_dir():
        reason = "a file, not a folder" if root.exists() else "no such folder" + near_files(root, folders=True)
        raise ConfigError(f"dataset.{key}", options[key], reason)
    return root


def files_below(root: Path) -> list[str]:
    """List the image files in a folder and its subfolders: paths below it with slashes, sorted part by part."""
    found = []
    # Class folders are often links to elsewhere; deeper down, links might lead round in circles.
    for entry in sorted(os.listdir(root)):
        path = os.path.join(root, entry)
        if not os.path.isdir(path):
            found.append(entry)
        for folder, _, names in os.walk(path):
            inside = os.path.relpath(folder, root).replace(os.sep, "/")
            found.extend(f"{inside}/{name}" for name in names)
    return sorted((name for name in found if is_image_name(name)), key=lambda name: name.split("/"))


def below(root: Path, names: Sequence[str]) -> Files:
    """Read files by their paths below a folder."""
    return Files([os.path.join(root, name) for name in names])


def short_names(files: Sequence[Path]) -> list[str]:
    """Name files by their names alone, or, where two would be alike, by their paths below the common folder."""
    names = [path.name for path in files]
    if len(set(names)) == len(names):
        return names
    paths = [path.absolute() for path in files]
    shared = 0
    while len({path.parts[: shared + 1] for path in paths}) == 1:
        shared += 1
    return ["/".join(path.parts[shared:]) for path in paths]


def near_files(path: Path, folders: bool = False) -> str:
    """Name what lies beside a path and has nearly its name; nothing hidden, and nothing in the file system's root."""
    parent = path.absolute().parent
    if parent == parent.parent:
        return ""
    try:
        names = [p.name for p in parent.iterdir() if not p.name.startswith(".") and (p.is_dir() or not folders)]
    except OSError:
        return ""
    # A slip of the finger, no more: short names look alike too easily.
    close = difflib.get_close_matches(path.name, names, cutoff=0.75)
    return f"; did you mean {choices(close)}?" if close else ""
