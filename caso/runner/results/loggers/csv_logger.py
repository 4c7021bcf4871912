"""Lightning's CSVLogger: ``logs/metrics.csv`` with one step a row, and ``logs/hparams.yaml``."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caso.runner.results.loggers.base import RunLogger, figures, settings

_FOLDER = "logs"


@dataclass
class Csv(RunLogger):
    """Figures of images as a table."""

    name = "csv"

    def start(self, cfg: Any, directory: Path) -> None:
        """Write the configuration."""
        from pytorch_lightning.loggers import CSVLogger

        # A run that is resumed logs its earlier images again.
        shutil.rmtree(directory / _FOLDER, ignore_errors=True)
        self._logger = CSVLogger(save_dir=directory, name=_FOLDER, version="")
        self._logger.log_hyperparams(settings(cfg))
        self._step = 0

    def log(self, row: dict[str, Any], picture: Path | None) -> None:
        """Write the row's figures."""
        if values := figures(row):
            self._logger.log_metrics(values, step=self._step)  # type: ignore[arg-type]  # it takes any mapping of floats
        self._step += 1

    def finish(self, summary: dict[str, Any]) -> None:
        """Write what is left."""
        self._logger.save()
