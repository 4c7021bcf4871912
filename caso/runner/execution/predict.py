"""One process's share of a run: its batches, explained by Lightning's ``Trainer.predict``."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from caso.runner.execution.devices import own_device
from caso.runner.execution.environment import keep_freed_memory
from caso.runner.execution.lightning import LightningEnvironment, pl
from caso.runner.execution.lightning_module import ExplainModule
from caso.runner.execution.loading import Batch, PixelBatches, ReadAhead
from caso.runner.execution.quarantine import survive_readers
from caso.runner.execution.share import Share
from caso.runner.models.classifier import Classifier, ModelSource
from caso.runner.models.targets import align_labels, resolve, wants_label
from caso.runner.regions import make_regions
from caso.runner.results.panel import Look
from caso.runner.results.writer import ResultWriter

log = logging.getLogger(__name__)


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
    sink = ResultWriter(
        share.directory,
        share.manifest,
        cfg.pictures.n,
        Look(cfg.pictures.style, cfg.pictures.overlay, cfg.pictures.size),
    )
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
        survive_readers(share, sink, lambda chosen: _predict(share, module, batches(chosen), tick))
    finally:
        sink.close()


class _Tick(pl.Callback):
    """Calls back after each batch."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._tick()


@contextmanager
def _loader(batches: PixelBatches, workers: int, device: str) -> Iterator[Iterable[Batch]]:
    """Read batches beside the explaining, for a kind of device: in processes, or in a thread."""
    pin = device == "cuda"  # Lightning then copies them there without waiting
    if workers:
        yield DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=pin)
        return
    with ThreadPoolExecutor(1, "read") as thread:
        yield ReadAhead(batches, thread, pin)


def _predict(share: Share, module: ExplainModule, batches: PixelBatches, tick: Callable[[], None]) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    cfg = share.cfg
    trainer = pl.Trainer(
        accelerator="gpu" if share.device == "cuda" else "cpu",
        devices=[own_device(share.process.device)] if share.device == "cuda" else 1,
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
        with warnings.catch_warnings(), _loader(batches, cfg.num_workers, share.device) as loader:
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
