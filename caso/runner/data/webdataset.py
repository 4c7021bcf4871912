"""WebDataset: images in tar files, local or by URL. The way to millions of images on a cluster's file system."""

import glob
import logging
import os
import tarfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError, describe, printable
from caso.runner.components import Component
from caso.runner.data.files import short_names
from caso.runner.data.samples import Samples
from caso.runner.data.shards import Members, Shard, expand_braces, fetch_shard, list_shard
from caso.runner.data.subset import Subset

log = logging.getLogger(__name__)


@dataclass
class WebDataset:
    """Options of tar files."""

    name: str = MISSING
    path: Any = MISSING
    label: str | None = None
    cache: str | None = None
    subset: Subset = field(default_factory=Subset)


def webdataset(options: Any, seed: int) -> Samples:
    """List the images in tar files. Ids are ``shard/member``, by the tar file's name without its ending.

    Args:
        options: ``path``: a tar file, a folder of them, a pattern (``*``, ``{000..099}``), a URL (with a range of
            numbers, too), or a list of these. ``label``: the ending of the members that hold class indices; None for
            ``.cls``, else ``.json`` with an entry ``label``. ``cache``: a folder for what is fetched and for lists of
            members; None for the user's cache.
        seed: Not used.

    Raises:
        ConfigError: If a file is missing, cannot be fetched or is no tar file, or there is no image.
    """
    cache = _cache(options.get("cache"))
    given = options.path if not isinstance(options.path, str) else [options.path]
    sources = [source for one in given for source in _sources(str(one))]
    paths = [_local(source, cache) for source in sources]
    shards = [_listed(path, source, options.get("label"), cache) for path, source in zip(paths, sources, strict=True)]
    ids: list[str] = []
    labels: list[int | None] = []
    members = Members([str(path) for path in paths], ids, array("l"), array("q"), array("q"))
    for number, (shard, name) in enumerate(zip(shards, _names(sources), strict=True)):
        ids.extend(f"{name}/{member}" for member in shard.names)
        labels.extend(shard.labels)
        members.shards.extend([number] * len(shard.names))
        members.offsets.extend(shard.offsets)
        members.sizes.extend(shard.sizes)
    if not ids:
        raise ConfigError("dataset.path", options.path, f"no image in {len(shards)} tar files")
    return Samples(ids, members, labels if any(label is not None for label in labels) else None)


def _cache(given: object) -> Path:
    if given is not None:
        return Path(str(given)).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caso" / "shards"


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _sources(given: str) -> list[str]:
    if _is_url(given):
        return list(expand_braces(given))
    path = os.path.expanduser(given)
    if os.path.isdir(path):
        found = sorted(glob.glob(os.path.join(glob.escape(path), "*.tar")))
    elif os.path.exists(path):
        found = [path]
    else:
        found = [name for one in expand_braces(path) for name in (sorted(glob.glob(one)) or [one])]
    missing = [name for name in found if not os.path.exists(name)]
    if missing or not found:
        raise ConfigError("dataset.path", given, f"no such file: {missing[0]}" if missing else "no .tar file there")
    return found


def _local(source: str, cache: Path) -> Path:
    if not _is_url(source):
        return Path(source)
    try:
        return fetch_shard(source, cache)
    except (OSError, ValueError) as error:
        raise ConfigError("dataset.path", source, f"cannot be fetched ({describe(error)})") from error


def _listed(path: Path, source: str, label: str | None, cache: Path) -> Shard:
    try:
        shard = list_shard(path, label, cache / "lists")
    except (OSError, tarfile.TarError) as error:
        with path.open("rb") as file:
            packed = file.read(4)[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5")
        reason = "is compressed: unpack it, images hardly shrink" if packed else f"no tar file ({describe(error)})"
        raise ConfigError("dataset.path", source, reason) from error
    if shard.problem:
        log.warning("%s: %s; it gives %d images", printable(source), printable(shard.problem), len(shard.names))
    return shard


def _names(sources: Sequence[str]) -> list[str]:
    """Name shards without their ending; with their folders, too, where two would be alike."""
    paths = [Path(source.split("?")[0].replace("://", "/") if _is_url(source) else source) for source in sources]
    return short_names([path.with_suffix("") for path in paths])


COMPONENT = Component(("webdataset",), WebDataset, webdataset)
