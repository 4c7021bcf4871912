"""One process's share of a run: which batches it explains, and what it needs for that."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from caso.runner.data import Samples, find_samples
from caso.runner.execution.processes import Process
from caso.runner.models import find_model
from caso.runner.models.classifier import ModelSource
from caso.runner.results.manifest import Manifest
from caso.runner.results.segments import finished_batches


@dataclass(frozen=True)
class Share:
    """What one process needs to explain its batches.

    Attributes:
        cfg: The whole configuration.
        directory: The run's.
        manifest: The run's.
        process: Which of the run's processes this is.
        device: ``cpu`` or ``cuda``.
        samples: All images, in order.
        source: The network, not loaded yet.
    """

    cfg: DictConfig
    directory: Path
    manifest: Manifest
    process: Process
    device: str
    samples: Samples
    source: ModelSource

    def missing(self) -> list[int]:
        """The batches of this process that are not finished yet."""
        finished = finished_batches(self.directory)
        own = range(self.process.rank, self.manifest.batches, self.process.world)
        return [batch for batch in own if batch not in finished]


def find_share(cfg: DictConfig, directory: Path, manifest: Manifest, process: Process, device: str) -> Share:
    """Gather what a process needs that is started with a planned directory alone."""
    return Share(cfg, directory, manifest, process, device, find_samples(cfg.dataset, cfg.seed), find_model(cfg.model))
