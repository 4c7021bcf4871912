"""Images in tar files: listed once, by the standard library, then read by seeking."""

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from filelock import FileLock

from caso.runner.data.decoding import Picture, UnreadableImageError, read_bytes
from caso.runner.data.formats import is_image_name

_BLOCK = 512
_VERSION = 2


@dataclass(frozen=True)
class Shard:
    """What a tar file holds.

    Attributes:
        names: Of the images' members.
        offsets: Where their contents begin, in bytes.
        sizes: How long these are, in bytes.
        labels: One a member, None where there is none.
        problem: Why the file ends early, or nothing.
    """

    names: list[str]
    offsets: list[int]
    sizes: list[int]
    labels: list[int | None]
    problem: str


@dataclass(frozen=True)
class Members:
    """Reads members of tar files by their indices in a list.

    Attributes:
        paths: The tar files.
        names: The members', which may begin with anything: their endings say what cannot be read.
        shards: For each member, which of them.
        offsets: Where each member's content begins, in bytes.
        sizes: How long each is, in bytes.
    """

    paths: list[str]
    names: Sequence[str]
    shards: "array[int]"
    offsets: "array[int]"
    sizes: "array[int]"

    def __call__(self, index: int) -> Picture:
        """Read one member. Every call opens the file anew, so that processes share nothing."""
        try:
            with open(self.paths[self.shards[index]], "rb") as file:
                file.seek(self.offsets[index])
                content = file.read(self.sizes[index])
        except OSError as error:
            raise UnreadableImageError(str(error)) from error
        return read_bytes(content, self.names[index])


def list_shard(path: Path, label: str | None, cache: Path) -> Shard:
    """List a tar file's images, from the cache where the file has not changed since.

    Args:
        path: The file, not compressed.
        label: The ending of the members that hold labels; None for ``cls``, else ``json`` with an entry ``label``.
        cache: A folder for the lists.

    Raises:
        tarfile.TarError: If it is no tar file at all.
        OSError: If it cannot be read.
    """
    status = path.stat()
    key = json.dumps([_VERSION, str(path.absolute()), status.st_size, status.st_mtime_ns, label])
    kept = cache / f"{hashlib.sha256(key.encode('ascii')).hexdigest()[:32]}.json"
    try:
        return Shard(**json.loads(kept.read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        listed = _list(path, status.st_size, label)
    with suppress(OSError):  # a cache that cannot be written costs time alone
        _write(kept, json.dumps(asdict(listed)).encode("ascii"))
    return listed


def fetch_shard(url: str, cache: Path) -> Path:
    """Take a tar file from the cache, or fetch it into it: one process does, the others wait.

    Raises:
        OSError: If it cannot be fetched whole.
    """
    name = url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    path = cache / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16] / name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            return path
        part = path.with_name(f"{name}.part")
        try:
            with urlopen(url, timeout=60) as source, part.open("wb") as file:
                expected = source.headers.get("Content-Length")
                shutil.copyfileobj(source, file, 1 << 20)
        except HTTPError as error:
            error.close()
            raise OSError(f"the server answered {error.code} {error.reason}") from error
        if expected is not None and part.stat().st_size != int(expected):
            raise OSError(f"only {part.stat().st_size} of {expected} bytes arrived")
        part.replace(path)
    return path


def _list(path: Path, size: int, label: str | None) -> Shard:
    names: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    end = 0
    problem = ""
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        members = iter(tar)
        while True:
            try:
                member = next(members, None)
            except tarfile.TarError as error:
                problem = str(error)
                break
            if member is None:
                break
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
            end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK if member.isreg() else member.offset_data
            if member.offset_data + member.size > size:
                problem = f"{member.name} is cut off"
                break
            if not member.isreg() or member.sparse is not None:
                continue
            if is_image_name(member.name):
                names[member.name] = (member.offset_data, member.size)  # a name that comes twice: the last one holds
            elif (found := _label(file, member, label)) is not None:
                labels[_key(member.name)] = found
        file.seek(min(end, size))
        if not problem and (len(block := file.read(_BLOCK)) < _BLOCK or any(block)):
            problem = "it does not end as a tar file should: it is cut off or damaged there"
    extents = list(names.values())
    return Shard(
        list(names),
        [offset for offset, _ in extents],
        [length for _, length in extents],
        [labels.get(_key(name)) for name in names],
        problem,
    )


def _key(name: str) -> str:
    """Name what a sample's members have in common: all before the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.split(".", 1)[0]


def _label(file: Any, member: tarfile.TarInfo, wanted: str | None) -> int | None:
    ending = member.name.rsplit("/", 1)[-1].partition(".")[2]
    if member.size > 1 << 20 or ending not in ((wanted,) if wanted else ("cls", "json")):
        return None
    offset = file.tell()
    file.seek(member.offset_data)
    content = file.read(member.size)
    file.seek(offset)
    try:
        value = json.loads(content)
        value = value.get("label") if isinstance(value, dict) else value
        return int(value) if value is not None and int(value) >= 0 else None
    except (ValueError, TypeError):
        return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


def expand_braces(text: str) -> Iterator[str]:
    """Write out ranges: ``shard-{00..02}.tar`` is three names. Zeros in front are kept."""
    before, brace, rest = text.partition("{")
    inside, closing, after = rest.partition("}")
    first, dots, last = inside.partition("..")
    if not (brace and closing and dots and first.isdecimal() and last.isdecimal()):
        yield text
        return
    for number in range(int(first), int(last) + 1):
        for tail in expand_braces(after):
            yield f"{before}{number:0{len(first)}}{tail}"
