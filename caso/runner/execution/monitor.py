"""What a run's processes finish, as it is seen from the one that leads: for the progress bar and the loggerss."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from omegaconf import DictConfig

from caso.runner.results.loggers import Loggers
from caso.runner.results.manifest import Manifest
from caso.runner.results.progress import ShowProgress
from caso.runner.results.segments import Follower
from caso.runner.results.tables import make_console


class Monitor:
    """Follows the batches that all processes of a run finish. Closed at the end of a ``with`` block.

    Attributes:
        summary: How the run ended, for the loggers; "failed" until the run says otherwise.
    """

    def __init__(self, cfg: DictConfig, directory: Path, manifest: Manifest) -> None:
        """Start the bar and the loggerss."""
        self.summary: dict[str, Any] = {"status": "failed"}
        self._manifest, self._directory = manifest, directory
        self._finished, self._images = 0, 0
        self._follower = Follower(directory)
        self._loggerss = Loggers(cfg, directory)
        self._progress = ShowProgress(manifest.count, make_console(stderr=True))
        self._shown: set[str] = set()

    def look(self) -> None:
        """Take what is new."""
        for one in self._follower.poll():
            self._finished += 1
            self._images += len({row["image"] for row in one.rows})
            for row in one.rows:
                picture = row.get("picture") or ""
                new = picture and picture not in self._shown
                self._shown.add(picture)
                self._loggerss.log(row, self._directory / picture if new else None)
        self._progress.show(self._images)

    def remaining(self) -> int:
        """How many batches are left."""
        self.look()
        return self._manifest.batches - self._finished

    def __enter__(self) -> Self:
        """Follow until the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away and close the loggerss."""
        self._progress.close()
        self._loggerss.finish(self.summary)
