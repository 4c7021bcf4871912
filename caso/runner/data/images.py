"""The user's own images: a file, a folder or a list."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.files import Files, near_files, short_names
from caso.runner.data.formats import is_image_name
from caso.runner.data.samples import Samples
from caso.runner.data.subset import Subset


@dataclass
class Images:
    """Options of a file, a folder or a list of files."""

    name: str = MISSING
    path: Any = None
    subset: Subset = field(default_factory=Subset)


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
            raise ConfigError("image", entry, "no such file or folder" + near_files(entry))
    files = list(dict.fromkeys(files))
    return Samples(short_names(files), Files([str(path) for path in files]))


COMPONENT = Component(("images",), Images, images)
