"""Image files: the photographs inside scikit-image, the user's own, and folders of classes."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caso.runner.cli.messages import ConfigError, choices
from caso.runner.data.decoding import Picture, read_image
from caso.runner.data.formats import is_image_name
from caso.runner.data.samples import Samples

# The photographs in scikit-image's wheel; its other pictures are fetched or are no photographs.
PHOTOS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "clock_motion": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}


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


def photos(options: Any, seed: int) -> Samples:
    """List the photographs inside scikit-image.

    Args:
        options: ``names``: some of :data:`PHOTOS`, or None for all.
        seed: Not used.

    Raises:
        ConfigError: If a name is unknown.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    names = list(PHOTOS) if options.names is None else list(options.names)
    for name in names:
        if name not in PHOTOS:
            raise ConfigError("dataset.names", name, f"must be among {', '.join(PHOTOS)}")
    return Samples(names, Files([str(folder / PHOTOS[name]) for name in names]))


def images(options: Any, seed: int) -> Samples:
    """List a file, a folder's image files (by name, without its subfolders), or a list of both.

    Args:
        options: ``path``: a path or a list of paths.
        seed: Not used.

    Raises:
        ConfigError: If a path does not exist, or there is no image.
    """
    given = options.path
    if given is None or (not isinstance(given, str | int | float) and len(given) == 0):
        raise ConfigError("image", given, "give a file, a folder or a list of files")
    entries = [Path(str(p)).expanduser() for p in ([given] if isinstance(given, str | int | float) else given)]
    files: list[Path] = []
    for entry in entries:
        if entry.is_dir():
            found = sorted(p for p in entry.iterdir() if is_image_name(p.name) and not p.is_dir())
            if not found:
                raise ConfigError("image", entry, "the folder holds no image (dataset=imagefolder reads class folders)")
            files.extend(found)
        elif entry.exists():
            files.append(entry)
        else:
            raise ConfigError("image", entry, "no such file or folder" + _near_files(entry))
    files = list(dict.fromkeys(files))
    return Samples(short_names(files), Files([str(path) for path in files]))


def imagefolder(options: Any, seed: int) -> Samples:
    """List the image files below a folder of class folders, by path. The class folders' sorted names are the classes.

    Args:
        options: ``root``: the folder.
        seed: Not used.

    Raises:
        ConfigError: If the folder does not exist or holds no image.
    """
    root = folder_of(options, "root")
    names = files_below(root)
    if not names:
        raise ConfigError("dataset.root", options.root, "the folder holds no image")
    classes = sorted({name.split("/", 1)[0] for name in names if "/" in name})
    indices = {name: index for index, name in enumerate(classes)}
    labels = [indices.get(name.split("/", 1)[0]) if "/" in name else None for name in names]
    return Samples(names, below(root, names), labels, classes)


def folder_of(options: Any, key: str) -> Path:
    """Take a folder from the options of a data set.

    Raises:
        ConfigError: If there is no such folder.
    """
    root = Path(str(options[key])).expanduser()
    if not root.is_dir():
        reason = "a file, not a folder" if root.exists() else "no such folder" + _near_files(root, folders=True)
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


def _near_files(path: Path, folders: bool = False) -> str:
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
