"""Lightning's TensorBoardLogger: event files in ``tensorboard/`` of the run's directory."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from caso.extras import needs
from caso.runner.cli.messages import printable
from caso.runner.results.loggers.base import OF_IMAGES, RunLogger, figures, settings

_FOLDER = "tensorboard"


@dataclass
class TensorBoard(RunLogger):
    """Figures of images as scalars with one step a row, pictures, and the run's figures beside its settings."""

    name = "tensorboard"

    def check(self) -> None:
        """See whether TensorBoard is installed."""
        with needs("tensorboard", "logger=tensorboard"):
            import tensorboard  # noqa: F401

    def start(self, cfg: Any, directory: Path) -> None:
        """Write the configuration as text."""
        from pytorch_lightning.loggers import TensorBoardLogger

        # A run that is resumed logs its earlier images again.
        shutil.rmtree(directory / _FOLDER, ignore_errors=True)
        self._logger = TensorBoardLogger(save_dir=directory, name=_FOLDER, version="", default_hp_metric=False)
        self._settings, self._directory, self._step = settings(cfg), directory, 0
        written = "".join(f"    {printable(line)}\n" for line in OmegaConf.to_yaml(cfg, resolve=True).splitlines())
        self._logger.experiment.add_text("configuration", written)

    def log(self, row: dict[str, Any], picture: Path | None) -> None:
        """Write the row's figures, and its image's picture under the image's name."""
        values = {f"{OF_IMAGES}{name}": value for name, value in figures(row).items()}
        if values:
            self._logger.log_metrics(values, step=self._step)
        if picture is not None:
            self._draw(f"pictures/{printable(str(row['image']))}", picture, self._step)
        self._step += 1

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the contact sheet, and the settings with the run's figures; close the files."""
        from caso.runner.results.pictures import CONTACT_SHEET

        sheet = self._directory / CONTACT_SHEET
        if sheet.is_file():
            self._draw("contact_sheet", sheet, 0)
        numbers = {name: value for name, value in summary.items() if isinstance(value, int | float)}
        self._logger.log_hyperparams(self._settings, {f"summary/{name}": float(v) for name, v in numbers.items()})
        self._logger.finalize("success" if summary.get("status") == "finished" else "failed")

    def abandon(self) -> None:
        """Close the files."""
        if hasattr(self, "_logger"):
            self._logger.finalize("failed")

    def _draw(self, tag: str, picture: Path, step: int) -> None:
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._logger.experiment.add_image(tag, pixels, step, dataformats="HWC")
