"""Weights & Biases: one run a job, its sweep as the group; offline where there is no key."""

import json
import logging
import netrc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caso.extras import needs
from caso.runner.cli.messages import ConfigError, choices, describe, printable
from caso.runner.entries import described
from caso.runner.results.loggers.base import FIGURES, OF_IMAGES, RunLogger, figures, settings
from caso.runner.results.store import DEFINITIONS

log = logging.getLogger(__name__)

MODES = ("online", "offline", "disabled")
_TABLE = ("image", "predicted_name", "target_name", "status", *FIGURES)
_LONGEST_NAME, _LONGEST_TAG = 128, 64  # characters that W&B takes
_DATA_DIRECTORY = "WANDB_DATA_DIR"


@dataclass
class Wandb(RunLogger):
    """Figures and pictures of images, a table of both, mean curves and the run's figures.

    Attributes:
        project: The name of the project there.
        entity: A user or team; None for the account's default.
        mode: One of :data:`MODES`; None for online where there is a key, else offline.
    """

    project: str
    entity: str | None
    mode: str | None

    name = "wandb"

    def check(self) -> None:
        """See whether W&B is installed."""
        if self.mode is not None and self.mode not in MODES:
            raise ConfigError("logger.wandb.mode", self.mode, f"must be {choices(MODES)}")
        with needs("wandb", "logger=wandb"):
            import wandb  # noqa: F401

    def start(self, cfg: Any, directory: Path) -> None:
        """Start the run there."""
        import wandb

        from caso.runner.results.sweep import overrides_of_job, sweep_directory

        sweep = sweep_directory()
        mode = _mode(self.mode)
        options: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "dir": str(directory),
            "group": f"{sweep.parent.name}-{sweep.name}" if sweep is not None else None,
            "name": _run_name(overrides_of_job(), directory),
            "tags": _tags(cfg),
            "config": settings(cfg),
            "settings": wandb.Settings(silent=True, console="off", init_timeout=30),
            "reinit": "finish_previous",
        }
        try:
            self._run = wandb.init(mode=mode, **options)
        except Exception as error:  # no server, no right, no quota: what is logged can be uploaded later
            if mode == "offline":
                raise
            log.warning("logger=wandb: no connection (%s); logging offline", describe(error))
            self._run = wandb.init(mode="offline", **options)
        # The summary is the run's: without this it would hold the last image's figures.
        self._run.define_metric(f"{OF_IMAGES}*", summary="none")
        self._image = wandb.Image
        self._table = wandb.Table(columns=[*_TABLE, "picture"])
        self._directory = directory
        self._curves: dict[str, list[list[float]]] = {}
        self._line_series = wandb.plot.line_series

    def log(self, row: dict[str, Any], picture: Path | None) -> None:
        """Log the row's figures, and its image's picture as an image and in the table."""
        values: dict[str, Any] = dict(figures(row))
        for name, curve in row.get("curves", {}).items():
            self._curves.setdefault(name, []).append(curve)
        drawn = None if picture is None else self._image(str(picture), caption=_caption(row))
        self._table.add_data(*[row.get(name) for name in _TABLE], drawn)
        if drawn is not None:
            values["picture"] = drawn
        if values:
            self._run.log({f"{OF_IMAGES}{name}": value for name, value in values.items()})

    def finish(self, summary: dict[str, Any]) -> None:
        """Log the table, the contact sheet and the summary, and end the run."""
        from caso.runner.results.pictures import CONTACT_SHEET

        sheet = self._directory / CONTACT_SHEET
        try:
            with _files_of_tables_in(self._directory / "wandb" / "data"):
                self._run.log({"results": self._table})
                self._log_curves()
            if sheet.is_file():
                self._run.log({"contact_sheet": self._image(str(sheet))})
            self._run.summary.update({key: value for key, value in summary.items() if key != "message"})
        finally:
            self._run.finish(exit_code=0 if summary.get("status") == "finished" else 1)

    def abandon(self) -> None:
        """End the run there."""
        self._run.finish(exit_code=1)

    def _log_curves(self) -> None:
        """Log the mean curve over the images of each metric that has one."""
        path = self._directory / DEFINITIONS
        if not self._curves or not path.exists():
            return
        definitions = json.loads(path.read_text(encoding="utf-8"))
        for name, curves in self._curves.items():
            x, axes = definitions[name]["x"], definitions[name]["axes"]
            mean = np.nanmean(np.asarray(curves), axis=0).tolist()
            plot = self._line_series(xs=x, ys=[mean], keys=["mean"], title=f"{name}: {axes[1]}", xname=axes[0])
            self._run.log({f"curves/{name}": plot})


def _mode(asked: str | None) -> Any:
    """Choose online where there is a key and nothing else is asked; say so where there is none."""
    mode = asked or os.environ.get("WANDB_MODE") or "online"
    if mode == "online" and not _has_key():
        log.info("logger=wandb: no API key found, so logging offline; `wandb leet` shows it, `wandb sync` uploads it")
        return "offline"
    return mode


def _tags(cfg: Any) -> list[str]:
    """What runs are filtered by: model, data set, order, explainer."""
    from caso.runner.explain.explainers import constant_columns

    columns = constant_columns(cfg, described(cfg.model) if "entry" in cfg.model else cfg.model.name)
    tags = [columns["model"], cfg.dataset.name, columns["explainer"]]
    if "order" in columns:  # methods to compare with have none
        tags.append(f"order={columns['order']}")
    return list(dict.fromkeys(str(tag)[:_LONGEST_TAG] for tag in tags))


def _run_name(overrides: Sequence[str], directory: Path) -> str:
    """What tells a run from others: the overrides, as far as there is room, and its directory."""
    end = f"{directory.parent.name}-{directory.name}"[-_LONGEST_NAME:]
    start = printable(" ".join(overrides))[: max(0, _LONGEST_NAME - len(end) - 1)]
    return f"{start} {end}".strip()


@contextmanager
def _files_of_tables_in(directory: Path) -> Iterator[None]:
    """Within, W&B keeps what tables refer to in the run's directory, and not in the user's home."""
    before = os.environ.get(_DATA_DIRECTORY)
    os.environ[_DATA_DIRECTORY] = before or str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_DATA_DIRECTORY]


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host or host in os.environ.get("WANDB_BASE_URL", "") for host in hosts if host != "default")


def _caption(row: dict[str, Any]) -> str:
    return printable(f"{row['image']}: {row.get('predicted_name', '')}")
