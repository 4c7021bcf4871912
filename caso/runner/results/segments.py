"""What the processes of a run write while it goes on: two files a process, which only that process writes.

``parts/NAME.maps`` holds maps, one after the other. ``parts/NAME.jsonl`` holds a line for each finished batch: its
number and the rows of its images. A batch counts once its line is complete, and the line is written after the maps are
on disk, so that a process can be killed at any moment: what it leaves behind the last complete line is ignored.
"""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from caso.runner.results.encoding import decode, decode_labels, encode, encode_labels

PARTS = "parts"
Row = dict[str, Any]


class SegmentWriter:
    """The files of one process.

    Args:
        directory: The run's.
    """

    def __init__(self, directory: Path) -> None:
        """Open new files; those of earlier processes stay as they are."""
        folder = directory / PARTS
        folder.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex[:12]
        self._maps = (folder / f"{self.name}.maps").open("xb")
        self._lines = (folder / f"{self.name}.jsonl").open("xb")

    def keep(self, attribution: NDArray[Any]) -> str:
        """Write a map; it counts once its batch is committed.

        Returns:
            Its locator, for :func:`read_map`.
        """
        return self.keep_bytes(encode(attribution))

    def keep_labels(self, labels: NDArray[Any]) -> str:
        """Write labels of regions, which count as maps do.

        Returns:
            Their locator, for :func:`read_labels`.
        """
        return self.keep_bytes(encode_labels(labels))

    def keep_bytes(self, content: bytes) -> str:
        """Write anything, which counts as maps do.

        Returns:
            Its locator, for :func:`read_bytes`.
        """
        locator = f"{PARTS}/{self.name}.maps:{self._maps.tell()}:{len(content)}"
        self._maps.write(content)
        return locator

    def commit(self, batch: int, rows: list[Row]) -> None:
        """Finish a batch: from now on it survives whatever happens to the process."""
        _to_disk(self._maps)
        # ASCII alone, so that file names that are no valid text survive as escapes.
        self._lines.write(json.dumps({"batch": batch, "rows": rows}).encode("ascii") + b"\n")
        _to_disk(self._lines)

    def close(self) -> None:
        """Close the files."""
        self._maps.close()
        self._lines.close()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@dataclass(frozen=True)
class Finished:
    """A batch that was finished: its number in the plan, and the rows of its images."""

    batch: int
    rows: list[Row]


class Follower:
    """Reads what the processes of a run have finished, as they go on, each batch once.

    Args:
        directory: The run's.
    """

    def __init__(self, directory: Path) -> None:
        """Start before the first batch."""
        self._folder = directory / PARTS
        self._read: dict[str, int] = {}
        self._batches: set[int] = set()

    def poll(self) -> Iterator[Finished]:
        """Give the batches that were finished since the last time."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path.name, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # being written, or its process was killed while it wrote
                    self._read[path.name] = self._read.get(path.name, 0) + len(line)
                    try:
                        entry = json.loads(line)
                    except ValueError:  # damaged: it does not count, and its batch is computed again
                        continue
                    if entry["batch"] not in self._batches:
                        self._batches.add(entry["batch"])
                        yield Finished(entry["batch"], entry["rows"])


def finished_batches(directory: Path) -> set[int]:
    """Tell which batches of a run are finished."""
    return {one.batch for one in Follower(directory).poll()}


def read_map(directory: Path, locator: str) -> NDArray[Any]:
    """Read one map.

    Args:
        directory: The run's.
        locator: What :meth:`SegmentWriter.keep` returned, as it is in the column ``map``.
    """
    return decode(read_bytes(directory, locator))


def read_labels(directory: Path, locator: str) -> NDArray[Any]:
    """Read the labels of one image's regions.

    Args:
        directory: The run's.
        locator: What :meth:`SegmentWriter.keep_labels` returned.
    """
    return decode_labels(read_bytes(directory, locator))


def read_bytes(directory: Path, locator: str) -> bytes:
    """Read what :meth:`SegmentWriter.keep_bytes` wrote.

    Args:
        directory: The run's.
        locator: What that returned.
    """
    name, offset, length = locator.rsplit(":", 2)
    with (directory / PARTS / Path(name).name).open("rb") as file:
        file.seek(int(offset))
        return file.read(int(length))
