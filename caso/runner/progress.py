"""Progress: a bar on terminals, sparse lines elsewhere."""

import logging
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from caso.runner.loading import Batch

log = logging.getLogger(__name__)

_LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class ShowProgress(pl.Callback):
    """Count explained images.

    Args:
        total: How many there are.
        console: Where the bar goes; its ``is_terminal`` decides between a bar and lines.
    """

    def __init__(self, total: int, console: Console) -> None:
        """Show nothing yet."""
        self.total = total
        self.done = 0
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

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        self.done += len(batch.unreadable) + sum(len(group.ids) for group in batch.groups)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            log.info("%d of %d images", self.done, self.total)

    def close(self) -> None:
        """Take the bar away, however the run ended."""
        if self._bar is not None:
            self._bar.stop()
