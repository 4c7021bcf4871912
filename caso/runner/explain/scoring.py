"""The metrics that a configuration asks for: made and checked early, applied batch by batch."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from caso.memory import Chunks
from caso.metrics import METRICS, Case, Metric, make_metric
from caso.runner.cli.messages import ConfigError, choices, describe
from caso.runner.explain.methods import Explained, Method

log = logging.getLogger(__name__)


def make_metrics(cfg: Any) -> list[Metric]:
    """Make the metrics that a configuration names.

    Raises:
        ConfigError: If there is no such metric or parameter, or it does not fit the other settings.
    """
    metrics = []
    every: Any = OmegaConf.to_container(cfg.metrics, resolve=True)
    names = every["names"]
    if not isinstance(names, list):
        raise ConfigError("metrics.names", names, "must be a list, as [gini,insertion]")
    for index, name in enumerate(names):
        if name not in METRICS:
            raise ConfigError("metrics.names", name, f"must be among {choices(METRICS)}")
        if name in names[:index]:
            raise ConfigError("metrics.names", name, "is named twice")
        parameters: Any = every.get(name)
        parameters = {} if parameters is None else parameters
        if not isinstance(parameters, dict):
            raise ConfigError(f"metrics.{name}", parameters, "must be parameters, as metrics.insertion.steps=56")
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
        try:
            metric = make_metric(name, **lists)
        except TypeError as error:
            raise ConfigError(f"metrics.{name}", parameters, f"a value has a wrong type ({error})") from error
        except ValueError as error:
            raise ConfigError(f"metrics.{name}", parameters, str(error)) from error
        explains_again = set(metric.needs) & {"explain", "explain_with"}
        if explains_again and cfg.regularization.name != "fixed":
            raise ConfigError("metrics", name, "explains again, which needs regularization=fixed")
        if explains_again and cfg.explainer.name == "stored":
            raise ConfigError("metrics", name, "explains again, which explainer=stored cannot")
        if explains_again and cfg.regions.name == "masks":
            raise ConfigError("metrics", name, "explains altered images again, of which regions=masks knows no masks")
        if "regions" in metric.needs and cfg.regions.name in ("none", "channels"):
            raise ConfigError("metrics", name, "needs regions of pixels, as regions=slic")
        metrics.append(metric)
    return metrics


class Scorer:
    """Scores the maps of a run.

    Args:
        metrics: Of :func:`make_metrics`.
        network: From pixels to logits.
        method: That makes the maps.
    """

    def __init__(self, metrics: Sequence[Metric], network: nn.Module, method: Method) -> None:
        """Keep all."""
        self._metrics, self._network, self._method = metrics, network, method
        self._chunks = Chunks(None)
        self._logged: set[str] = set()
        self._x: dict[str, list[float]] = {}

    @property
    def definitions(self) -> dict[str, Any]:
        """What each metric is, with where its curve was taken; for the run's directory."""
        return {one.name: one.definition | {"axes": one.axes, "x": self._x.get(one.name)} for one in self._metrics}

    def score(self, pixels: Tensor, results: Sequence[Explained], regions: Tensor | None = None) -> None:
        """Put the scores of each map into its row, under ``scores`` and ``curves``.

        With regions, labels ``[B, H, W]``, pixels are ranked region by region. A metric that fails leaves its scores
        missing, which is logged once: it must not cost a map.
        """
        if not self._metrics:
            return
        case: Case | None = None
        with torch.no_grad():
            for result in results:
                targets = torch.tensor([row["target"] for row in result.rows], device=pixels.device)
                needed = any({"explain", "explain_with"} & set(metric.needs) for metric in self._metrics)
                explain = self._method.again() if needed else None
                others = self._method.again if needed else None
                if case is None:
                    case = Case(self._network, pixels, result.maps, targets, explain, others, regions, self._chunks)
                else:
                    case = case.with_maps(result.maps, explain, others)
                for metric in self._metrics:
                    self._apply(metric, case, result)

    def _apply(self, metric: Metric, case: Case, result: Explained) -> None:
        try:
            with torch.enable_grad():
                score = metric.score(case)
        except Exception as error:
            if metric.name not in self._logged:
                log.warning("metric %s: no score (%s)", metric.name, describe(error))
                log.debug("metric failed", exc_info=True)
                self._logged.add(metric.name)
            for row in result.rows:
                row.setdefault("scores", {})[metric.name] = math.nan
            return
        for row, value in zip(result.rows, score.values.tolist(), strict=True):
            row.setdefault("scores", {})[metric.name] = float(value)
        if score.curve is not None:
            for row, curve in zip(result.rows, score.curve.tolist(), strict=True):
                # Five digits are more than a curve's meaning, and a third of the room.
                row.setdefault("curves", {})[metric.name] = [float(f"{y:.5g}") for y in curve]
        if score.x is not None:
            self._x[metric.name] = score.x.tolist()
