"""What every logger has: options, and a run's results as they come."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

FIGURES = ("confidence", "lambda1", "lambda2_effective", "lambda_max", "sparsity", "kkt_residual", "hvps", "seconds")
"""The columns that are figures of an image."""
OF_IMAGES = "image/"
"""Before the names of what is one image's."""


@dataclass
class RunLogger:
    """Shows a run to another tool.

    A subclass is found by its :attr:`name`. Its fields are its options, whose types are checked while the configuration
    is composed; their defaults are in ``conf/logger/NAME.yaml``.
    """

    name: ClassVar[str]

    def check(self) -> None:
        """See, before anything runs, whether the options are right and the packages are there.

        Raises:
            ConfigError: If an option is out of range.
            MissingPackageError: If a package is missing.
        """

    def start(self, cfg: Any, directory: Path) -> None:
        """Begin a run.

        Args:
            cfg: The whole configuration.
            directory: The run's.
        """
        raise NotImplementedError

    def log(self, row: dict[str, Any], picture: Path | None) -> None:
        """Take a row; its image's picture comes with the image's first row."""
        raise NotImplementedError

    def finish(self, summary: dict[str, Any]) -> None:
        """Take the run's figures in short, and close."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close what is open after an error."""


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures and scores of a row."""
    found = {name: row[name] for name in FIGURES if name in row} | row.get("scores", {})
    return {name: float(value) for name, value in found.items()}


def settings(cfg: Any) -> dict[str, Any]:
    """The configuration as plain values."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
