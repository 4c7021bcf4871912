"""Progress: a bar on terminals, sparse lines elsewhere."""

import logging
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

_LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class ShowProgress:
    """Show how many images are explained.

    Args:
        total: How many there are.
        console: Where the bar goes; its ``is_terminal`` decides between a bar and lines.
    """

    def __init__(self, total: int, console: Console) -> None:
        """Show the bar."""
        self.total = total
        self._said = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("explaining"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("images"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("explaining", total=total)
            self._bar.start()

    def show(self, done: int) -> None:
        """Show that so many images are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif done < self.total and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            log.info("%d of %d images", done, self.total)

    def close(self) -> None:
        """Take the bar away, however the run ended."""
        if self._bar is not None:
            self._bar.stop()
