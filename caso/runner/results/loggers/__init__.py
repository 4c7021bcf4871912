"""Loggers beside the run's own files, chosen by the key ``logger``: one, a list of several, or none.

They show a run to other tools. The run's directory is the source of truth, so whatever fails here is said once and
never stops a run, nor another logger.
"""

import dataclasses
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from caso.registry import subclasses
from caso.runner.cli.messages import ConfigError, choices, describe
from caso.runner.results.loggers.base import RunLogger

__all__ = ["LOGGERS", "Loggers", "RunLogger", "make_loggers"]

log = logging.getLogger(__name__)

LOGGERS: dict[str, type[RunLogger]] = subclasses(__name__, __path__, RunLogger)
"""Every logger by its name."""


def make_loggers(options: Any) -> list[RunLogger]:
    """Make the loggers of a configuration, and check that they can run; none of them is started.

    Args:
        options: The group ``logger``: the options of each logger by its name.

    Raises:
        ConfigError: If there is no such logger, or an option is missing or out of range.
        MissingPackageError: If a logger's package is missing.
    """
    made = []
    for name, given in OmegaConf.to_container(options, resolve=True).items():  # type: ignore[union-attr]
        if name not in LOGGERS:
            raise ConfigError("logger", name, f"must be {choices(['none', *LOGGERS])}")
        for field in dataclasses.fields(LOGGERS[name]):
            if field.name not in given:
                raise ConfigError(f"logger.{name}.{field.name}", "???", f"must be given; logger={name} has its default")
        made.append(LOGGERS[name](**given))
        made[-1].check()
    return made


class Loggers:
    """The loggers of a run.

    Args:
        cfg: The whole configuration.
        directory: The run's directory.
    """

    def __init__(self, cfg: Any, directory: Path) -> None:
        """Start them."""
        self._each = [_Guarded(one) for one in make_loggers(cfg.logger)]
        self._attempt(lambda one: one.start(cfg, directory))

    def log(self, row: dict[str, Any], picture: Path | None) -> None:
        """Pass a row on, and its image's picture with the image's first row."""
        self._attempt(lambda one: one.log(row, picture))

    def finish(self, summary: dict[str, Any]) -> None:
        """Pass the run's figures on, and close."""
        self._attempt(lambda one: one.finish(summary))

    def _attempt(self, action: Callable[[RunLogger], None]) -> None:
        for one in self._each:
            one.attempt(action)


class _Guarded:
    """A logger whose first failure is logged in one line, and which is left alone afterwards."""

    def __init__(self, logger: RunLogger) -> None:
        self._logger: RunLogger | None = logger

    def attempt(self, action: Callable[[RunLogger], None]) -> None:
        if self._logger is None:
            return
        try:
            action(self._logger)
        except Exception as error:  # logging never stops a run
            log.warning("logger=%s: stopped (%s); results are still written", self._logger.name, describe(error))
            log.debug("logger failed", exc_info=True)
            broken, self._logger = self._logger, None
            with suppress(Exception):
                broken.abandon()
