"""What a run's directory is for: its settings and its batches, fixed when it is first used.

The images are cut into batches once, by their index in the data set. Processes take whole batches, and a batch that was
not finished is computed again as a whole, so that a map depends neither on how many processes there were nor on how
often they were killed.
"""

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.messages import ConfigError, describe
from caso.runner.results.segments import PARTS, finished_batches

PLAN = "run.json"
CONFIG = "config.yaml"
LOCK = ".lock"
_WITHOUT_EFFECT = (
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "num_workers", "logger", "batch_size", "pictures",
)  # fmt: skip
"""Keys that may change when a run is resumed: they have no effect on the maps beyond rounding."""


class ForeignDirectoryError(ConfigError):
    """A directory belongs to another run, which must not be touched."""


@dataclass(frozen=True)
class Manifest:
    """Images, and how they are cut into batches.

    Attributes:
        count: How many images.
        batch_size: Images in a batch; fewer in the last.
    """

    count: int
    batch_size: int

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return -(-self.count // self.batch_size)

    def images(self, batch: int) -> range:
        """The images of a batch, by their indices in the data set."""
        return range(batch * self.batch_size, min((batch + 1) * self.batch_size, self.count))


def hold(directory: Path) -> FileLock:
    """Take a run's directory for this run alone, until the process ends, however it ends.

    Raises:
        ForeignDirectoryError: If another run is writing there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    who = directory / f"{LOCK}.holder"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = who.read_text(encoding="utf-8").strip() if who.exists() else "another process"
        raise ForeignDirectoryError("hydra.run.dir", directory, f"another run is writing there ({holder})") from error
    who.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    return lock


def make_manifest(
    directory: Path, cfg: DictConfig, ids: Sequence[str], batch_size: int, overrides: Sequence[str]
) -> Manifest:
    """Write down what a directory is for, or see that it is for this.

    Args:
        directory: The run's.
        cfg: The composed configuration.
        ids: The images, in the data set's order.
        batch_size: Images explained together, if the directory does not say.
        overrides: The command line, for the run to be continued by ``resume=`` alone.

    Raises:
        ForeignDirectoryError: If the directory holds results of other settings or images, naming the first that
            differs.
    """
    settings = json.loads(json.dumps(OmegaConf.to_container(cfg, resolve=True), default=str))
    images = hashlib.sha256(json.dumps(list(ids)).encode("ascii")).hexdigest()
    path = directory / PLAN
    (directory / PARTS).mkdir(exist_ok=True)
    if not path.exists() or not finished_batches(directory):
        content = {"settings": settings, "images": images, "count": len(ids), "batch_size": batch_size}
        OmegaConf.save(cfg, directory / CONFIG, resolve=True)
        write_json(path, content | {"overrides": list(overrides)})
        return Manifest(len(ids), batch_size)
    before = _read(path)
    for key, (now, then) in _differences(settings, before["settings"]).items():
        if not key.startswith(_WITHOUT_EFFECT):
            held = f"{directory} holds results with {key}={_shown(then)}; use another directory"
            raise ForeignDirectoryError(key, now, held)
    if cfg.batch_size not in ("auto", before["batch_size"]):
        begun = f"{directory} was begun with {before['batch_size']}"
        raise ForeignDirectoryError("batch_size", cfg.batch_size, begun)
    if (len(ids), images) != (before["count"], before["images"]):
        held = f"{directory} holds results of {before['count']} images, not all the same"
        raise ForeignDirectoryError("dataset", f"{len(ids)} images", held)
    return Manifest(before["count"], before["batch_size"])


def read_manifest(directory: Path) -> Manifest:
    """Read the plan that `make_manifest` left."""
    content = _read(directory / PLAN)
    return Manifest(content["count"], content["batch_size"])


def stored_overrides(directory: Path) -> list[str]:
    """The command line of the run that a directory belongs to.

    Raises:
        ConfigError: If no run was begun there.
    """
    path = directory / PLAN
    if not path.is_file():
        raise ConfigError("resume", directory, f"no run was begun there (it has no {PLAN})")
    return [str(override) for override in _read(path)["overrides"]]


def shown(path: Path) -> Path:
    """Show a path below the current directory without it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that people read, whole or not at all."""
    text = json.dumps(content, indent=2, default=str) + "\n"
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all: what is written to the path given replaces the file at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("settings", "images", "count", "batch_size", "overrides")}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError("hydra.run.dir", path.parent, f"{path.name} there is damaged ({describe(error)})") from error


def _differences(now: Any, then: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The values in which two settings differ, by key.

    A key that `then` lacks is none: it came with a later version, and what it now says was the rule before. But the
    arguments of a user's function are the user's: one more is a difference.
    """
    if not (isinstance(now, dict) and isinstance(then, dict)):
        return {} if now == then else {prefix: (now, then)}
    found: dict[str, tuple[Any, Any]] = {}
    keys = {*then, *now} if prefix.endswith(".args") else {*then, *(["args"] if now.get("args") else [])}
    for key in sorted(keys):
        found |= _differences(now.get(key), then.get(key), f"{prefix}.{key}" if prefix else key)
    return found


def _shown(value: Any) -> str:
    return "null" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)
