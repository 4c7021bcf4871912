"""From the configuration to an explanation method: CAFO, CASO, a method to compare with, or maps from elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from caso.baselines import BASELINES, make_baseline
from caso.objective import sparsity
from caso.precision import full_precision
from caso.results.table import image_rows
from caso.runner.cli.effects import MEANS
from caso.runner.cli.messages import ConfigError, choices
from caso.runner.explain.explainers import OWN, explain, finish_maps, make_explainer

EXPLAINERS = (*OWN, "smooth_caso", *BASELINES, "stored")
_EXTENT = 3
"""How many axes a map has."""


@dataclass(frozen=True)
class Explained:
    """Maps of a batch at one setting.

    Attributes:
        maps: ``[B, C, H, W]``, as they are stored.
        rows: What is known of each image's map, by the results' columns.
        probabilities: Of all classes, ``[B, K]``.
        evidence: Why the curvature was chosen; may be empty.
    """

    maps: Tensor
    rows: list[dict[str, Any]]
    probabilities: Tensor
    evidence: str = ""


class Method(Protocol):
    """Explains batches."""

    def prepare(self, pixels: Tensor) -> None:
        """Do now what the first batch of a kind would wait for."""

    def explain(
        self, pixels: Tensor, target: int | list[int] | None, ids: Sequence[str], regions: Tensor | None = None
    ) -> list[Explained]:
        """Explain images ``[B, C, H, W]``, which may have labels of regions: one result for each setting."""

    def again(self, network: Any = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The same method as a function of images and classes ``[B]``, of this or of another network."""


def make_method(cfg: Any, network: nn.Module, images_ahead: int) -> Method:
    """Make the method that a checked configuration describes.

    Args:
        cfg: The whole configuration.
        network: From pixels to logits, on its device and in its dtype.
        images_ahead: How many images will be explained.
    """
    if cfg.explainer.name in OWN:
        return _Own(cfg, network, images_ahead)
    return _Stored(cfg, network) if cfg.explainer.name == "stored" else _Baseline(cfg, network)


def choose_by_explainer(cfg: Any) -> None:
    """Let ``explainer=cafo`` and ``explainer=caso`` choose the order, and ``explainer=smooth_caso`` smoothing, too.

    Raises:
        ConfigError: If there is no such explainer, or settings do not fit it.
    """
    name = cfg.explainer.name
    if name not in EXPLAINERS:
        raise ConfigError("explainer", name, f"must be {choices(EXPLAINERS)}")
    means = MEANS.get(name, {})
    cfg.order.name = means.get("order", cfg.order.name)
    if name == "smooth_caso":
        cfg.explainer.name, cfg.smooth = "caso", True
    elif name not in OWN and cfg.regularization.name != "fixed":
        raise ConfigError("regularization", cfg.regularization.name, f"explainer={name} has no lambda1; leave it fixed")
    if name == "stored":
        _check_stored(cfg.explainer)


def _check_stored(options: Any) -> None:
    if OmegaConf.is_missing(options, "path"):
        wanted = "must be given with explainer=stored: a folder of arrays IMAGE_ID.npy, or another run's directory"
        raise ConfigError("explainer.path", "???", wanted)
    if not Path(options.path).expanduser().is_dir():
        raise ConfigError("explainer.path", options.path, "no such folder")


class _Own:
    """CAFO and CASO."""

    def __init__(self, cfg: Any, network: nn.Module, images_ahead: int) -> None:
        self._cfg, self._explainer = cfg, make_explainer(cfg, network, images_ahead)

    def prepare(self, pixels: Tensor) -> None:
        self._explainer.prepare(pixels)

    def explain(
        self, pixels: Tensor, target: int | list[int] | None, ids: Sequence[str], regions: Tensor | None = None
    ) -> list[Explained]:
        copies = self._cfg.n_samples if self._cfg.smooth else 1
        results = []
        for one in explain(self._explainer, self._cfg, pixels, target, regions):
            rows = [row | {"gradients": float(copies * (1 + row["hvps"]))} for row in image_rows(one)]
            maps = finish_maps(self._cfg, one.maps.detach(), pixels)
            results.append(Explained(maps, rows, one.probabilities, one.evidence))
        return results

    def again(self, network: Any = None) -> Callable[[Tensor, Tensor], Tensor]:
        explainer = self._explainer if network is None else make_explainer(self._cfg, network, 0)
        return lambda images, targets: finish_maps(self._cfg, explainer.attribute(images, targets), images)


class _Other:
    """What methods that are not the project's own share: figures from the network alone."""

    def __init__(self, cfg: Any, network: nn.Module) -> None:
        self._cfg, self._network = cfg, network

    def prepare(self, pixels: Tensor) -> None:
        """Do nothing: these methods prepare as they explain."""

    def _explained(
        self, pixels: Tensor, target: int | list[int] | None, maps: Callable[[Tensor], Tensor], gradients: float
    ) -> list[Explained]:
        with torch.no_grad(), full_precision(pixels.device):
            probabilities = self._network(pixels).double().softmax(1)
        confidence, predicted = probabilities.max(1)
        targets = predicted if target is None else torch.as_tensor(target, device=pixels.device).expand(len(pixels))
        of_target = probabilities.gather(1, targets[:, None])[:, 0]
        finished = finish_maps(self._cfg, maps(targets).detach(), pixels)
        numbers = torch.stack([confidence, of_target, sparsity(finished)], 1).tolist()
        classes = torch.stack([targets, predicted], 1).tolist()
        rows = [
            {
                "target": target,
                "predicted": predicted,
                "confidence": confidence,
                "target_confidence": of_target,
                "sparsity": zeros,
                "gradients": gradients,
                "status": "computed",
            }
            for (confidence, of_target, zeros), (target, predicted) in zip(numbers, classes, strict=True)
        ]
        return [Explained(finished, rows, probabilities)]


class _Baseline(_Other):
    """A method to compare with."""

    def __init__(self, cfg: Any, network: nn.Module) -> None:
        super().__init__(cfg, network)
        self._options = {str(key): value for key, value in cfg.explainer.items() if key != "name"}
        try:
            self._baseline = make_baseline(cfg.explainer.name, network, **self._options)
        except ValueError as error:
            raise ConfigError("explainer", cfg.explainer.name, str(error)) from error

    def explain(
        self, pixels: Tensor, target: int | list[int] | None, ids: Sequence[str], regions: Tensor | None = None
    ) -> list[Explained]:
        explained = self._explained(
            pixels, target, lambda targets: self._baseline.attribute(pixels, targets), self._baseline.gradients
        )
        for row in explained[0].rows:
            row["gradients"] = self._baseline.gradients  # occlusion knows its cost once it has seen an image
        return explained

    def again(self, network: Any = None) -> Callable[[Tensor, Tensor], Tensor]:
        baseline = self._baseline
        if network is not None:
            baseline = make_baseline(self._cfg.explainer.name, network, **self._options)
        return lambda images, targets: finish_maps(self._cfg, baseline.attribute(images, targets), images)


class _Stored(_Other):
    """Maps from a folder of arrays, or from another run."""

    def __init__(self, cfg: Any, network: nn.Module) -> None:
        super().__init__(cfg, network)
        self._folder = Path(cfg.explainer.path).expanduser()
        self._run = None
        if (self._folder / "parts").is_dir():
            from caso.runner.results.store import load_run

            self._run = load_run(self._folder)

    def explain(
        self, pixels: Tensor, target: int | list[int] | None, ids: Sequence[str], regions: Tensor | None = None
    ) -> list[Explained]:
        maps = torch.stack([self._read(name, image) for name, image in zip(ids, pixels, strict=True)])
        return self._explained(pixels, target, lambda targets: maps, float("nan"))

    def again(self, network: Any = None) -> Callable[[Tensor, Tensor], Tensor]:
        raise ValueError("explainer=stored cannot explain again; use metrics=faithfulness or complexity")

    def _read(self, name: str, image: Tensor) -> Tensor:
        if self._run is not None:
            if name not in self._run.maps:
                raise ValueError(f"{self._folder} holds no map of this image")
            array = self._run.maps[name]
        else:
            path = (self._folder / f"{name}.npy").resolve()
            if not path.is_relative_to(self._folder.resolve()) or not path.is_file():
                raise ValueError(f"{self._folder} holds no {name}.npy")
            array = np.load(path, allow_pickle=False)
        found = torch.as_tensor(array, dtype=image.dtype, device=image.device)
        if found.dim() == _EXTENT - 1:
            found = found.expand(image.shape) / len(image)
        if found.shape != image.shape:
            raise ValueError(f"its map is {list(found.shape)}, the image {list(image.shape)}")
        return found
