"""One process's share of a run: its batches, explained by Lightning's ``Trainer.predict``."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from caso.runner.data import Samples, find_samples
from caso.runner.execution.environment import keep_freed_memory
from caso.runner.execution.lightning_module import ExplainModule
from caso.runner.execution.loading import Batch, PixelBatches, ReadAhead
from caso.runner.execution.processes import Process
from caso.runner.explain.explainers import constant_columns
from caso.runner.models import find_model
from caso.runner.models.classifier import Classifier, ModelSource
from caso.runner.models.targets import align_labels, resolve, wants_label
from caso.runner.regions import make_regions
from caso.runner.results.manifest import Manifest
from caso.runner.results.segments import SegmentWriter, finished_batches
from caso.runner.results.writer import ResultWriter

log = logging.getLogger(__name__)


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


def load_network(source: ModelSource, cfg: DictConfig) -> tuple[Classifier, int | None]:
    """Load the network, and find the class that is explained.

    Returns:
        the classifier, and a class index, or None for the predicted class.
    """
    torch.manual_seed(cfg.seed)  # of random weights
    classifier = source.load()
    target = None if wants_label(cfg.target) else resolve(cfg.target, classifier.class_names)
    return classifier, target


def explain_share(share: Share, tick: Callable[[], None] = lambda: None) -> None:
    """Explain the batches of one process that are not finished yet.

    Args:
        share: The batches, and what they need.
        tick: Called after each batch.
    """
    if not share.missing():
        return
    cfg = share.cfg
    if share.device == "cpu":
        keep_freed_memory()
    classifier, target = load_network(share.source, cfg)
    classes = align_labels(share.samples.label_names, classifier.class_names) if share.samples.labels else None
    regions = make_regions(cfg.regions)
    sink = ResultWriter(share.directory, share.manifest, cfg.pictures)
    module = ExplainModule(
        classifier.network,
        cfg,
        target=target,
        by_label=wants_label(cfg.target),
        class_names=classifier.class_names,
        model_name=share.source.name,
        images_ahead=share.manifest.count,
        sink=sink,
    )

    def batches(chosen: Sequence[int]) -> PixelBatches:
        indices = [share.manifest.images(batch) for batch in chosen]
        return PixelBatches(share.samples, classifier.preprocessing, indices, classes, regions)

    try:
        _survive_readers(share, sink, lambda chosen: _predict(share, module, batches(chosen), tick))
    finally:
        sink.close()


def _survive_readers(share: Share, sink: ResultWriter, explain: Callable[[Sequence[int]], None]) -> None:
    """Explain what is missing, whatever becomes of the processes that read images.

    After one died, batches are read one at a time, to find out which one it cannot survive.
    """
    singly = 0
    while missing := _missing(share, sink):
        try:
            explain(missing[:1] if singly else missing)
            singly = max(0, singly - 1)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            if singly:
                give_up(share, missing[0], "the process that read it was killed twice", sink.writer)
            log.warning("a process that reads images was killed; going on with another")
            singly = 2 * share.cfg.num_workers + 1  # as many as were being read ahead


def _missing(share: Share, sink: ResultWriter) -> list[int]:
    sink.settle()
    return share.missing()


def give_up(share: Share, batch: int, reason: str, writer: SegmentWriter) -> None:
    """Finish a batch with rows that say why its images have no map."""
    constant = constant_columns(share.cfg, share.source.name)
    indices = share.manifest.images(batch)
    writer.commit(
        batch, [constant | {"image": share.samples.ids[i], "status": "error", "message": reason} for i in indices]
    )


class _Tick(pl.Callback):
    """Calls back after each batch."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._tick()


@contextmanager
def _loader(batches: PixelBatches, workers: int) -> Iterator[Iterable[Batch]]:
    """Read batches beside the explaining: in processes, or in a thread."""
    if workers:
        yield DataLoader(batches, batch_size=None, num_workers=workers)
        return
    with ThreadPoolExecutor(1, "read") as thread:
        yield ReadAhead(batches, thread)


def _predict(share: Share, module: ExplainModule, batches: PixelBatches, tick: Callable[[], None]) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    cfg = share.cfg
    trainer = pl.Trainer(
        accelerator="gpu" if share.device == "cuda" else "cpu",
        devices=[share.process.device] if share.device == "cuda" else 1,
        precision=cfg.trainer.precision,
        # Processes do not talk to each other, however they were started.
        plugins=[LightningEnvironment()],
        use_distributed_sampler=False,
        inference_mode=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=share.directory,
        callbacks=[_Tick(tick)],
    )
    try:
        with warnings.catch_warnings(), _loader(batches, cfg.num_workers) as loader:
            # Explaining an image takes far longer than reading it.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Results are handed on inside predict_step, and memory must not grow with the data set.
            warnings.filterwarnings("ignore", message="predict returned None.*")
            # Lightning's own use of torch, until it follows torch's change.
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated.*")
            # trainer=cpu on a machine with a GPU is a choice.
            warnings.filterwarnings("ignore", message="GPU available but not used.*")
            trainer.predict(module, loader, return_predictions=False)
    except SystemExit as end:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from end
