"""One run: from a composed configuration to a directory of results."""

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader

from caso.runner.checks import check
from caso.runner.datasets import find_samples
from caso.runner.environment import environment, keep_freed_memory
from caso.runner.errors import ConfigError, choices
from caso.runner.loading import PixelDataset, collate
from caso.runner.loggers import Guarded, check_logger
from caso.runner.models import find_model
from caso.runner.module import ExplainModule
from caso.runner.pictures import on_sheet, panel, write_contact_sheet, write_picture
from caso.runner.progress import ShowProgress
from caso.runner.store import SUMMARY, Store, load_run, write_json
from caso.runner.sweep import sweep_directory
from caso.runner.tables import make_console, print_run, summarize
from caso.runner.targets import resolve

log = logging.getLogger(__name__)

# Images explained together where the configuration says auto. On few cores large batches gain little, and the bar
# should move; a device that lacks memory for 32 gets halves, see `caso.runner.explaining.halve_on_failure`.
_AUTO_BATCH = {"cpu": 4, "cuda": 32}


def run_job(cfg: DictConfig, directory: Path) -> dict[str, Any]:
    """Check everything, explain every image, and write and print the results.

    Args:
        cfg: The composed configuration, without Hydra's own node.
        directory: The run's, where all is written.

    Returns:
        The run's summary.

    Raises:
        ConfigError: For every mistake in the configuration, before weights load where it can be known then.
    """
    start = time.perf_counter()
    use_images(cfg)
    check(cfg)
    check_logger(cfg)
    device = _device(cfg.trainer.accelerator)
    samples = find_samples(cfg.dataset, cfg.seed)
    source = find_model(cfg.model)
    target = None if source.class_names is None else resolve(cfg.target, source.class_names)
    if device == "cpu":
        keep_freed_memory()
    torch.manual_seed(cfg.seed)  # of random weights
    log.info("%s: %d images, order=%s, on %s", source.name, len(samples), cfg.order.name, device)
    classifier = source.load()
    if source.class_names is None:
        target = resolve(cfg.target, classifier.class_names)
    write_json(directory / "environment.json", environment(cfg, device))

    collector = _Collector(cfg, directory)
    summary: dict[str, Any] = {"status": "failed"}
    try:
        module = ExplainModule(
            classifier.network,
            cfg,
            target=target,
            class_names=classifier.class_names,
            model_name=source.name,
            images_ahead=len(samples),
            sink=collector.take,
        )
        _predict(cfg, device, module, PixelDataset(samples, classifier.preprocessing), directory)
        run = load_run(directory)
        write_contact_sheet(directory, collector.sheet, collector.pictures)
        summary = {"status": "finished", **summarize(run.table), "seconds": time.perf_counter() - start}
    finally:
        collector.close(summary)
    write_json(directory / SUMMARY, summary)
    if sweep_directory() is None:  # a sweep ends with one table over all its jobs
        print_run(run, make_console())
    return summary


def use_images(cfg: DictConfig) -> None:
    """Let the key ``image`` replace the data set, or the source of crops."""
    if cfg.image is None:
        return
    replacement = {"name": "images", "path": cfg.image}
    if cfg.dataset.name == "crops":
        cfg.dataset.source = replacement
    else:
        cfg.dataset = replacement


class _Collector:
    """Takes each image's results to the store, the pictures and the logger as they come."""

    def __init__(self, cfg: DictConfig, directory: Path) -> None:
        self.directory = directory
        self.store = Store(directory)
        self.logger = Guarded(cfg, directory)
        self.sheet: list[str] = []
        self.pictures = 0

    def take(self, rows: list[dict[str, Any]], maps: list[NDArray[Any] | None], pixels: Tensor | None) -> None:
        content = None if pixels is None else panel(rows, maps, pixels)
        name = ""
        if content is not None:
            name = self.store.picture_path()
            write_picture(content, self.directory / name)
            self.pictures += 1
            if on_sheet(len(self.sheet)):
                self.sheet.append(name)
        for place, (row, attribution) in enumerate(zip(rows, maps, strict=True)):
            written = self.store.add(row | {"picture": name}, attribution)
            self.logger.log(written, self.directory / name if name and place == 0 else None)

    def close(self, summary: dict[str, Any]) -> None:
        self.store.close()
        self.logger.finish(summary)


def _device(accelerator: str) -> str:
    present = torch.cuda.is_available()
    if accelerator not in ("cpu", "gpu", "auto"):
        raise ConfigError("trainer.accelerator", accelerator, f"must be {choices(('cpu', 'gpu', 'auto'))}")
    if accelerator == "gpu" and not present:
        raise ConfigError("trainer.accelerator", accelerator, "no CUDA device is present; use trainer=cpu")
    return "cuda" if present and accelerator != "cpu" else "cpu"


def _predict(cfg: DictConfig, device: str, module: ExplainModule, data: PixelDataset, directory: Path) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    progress = ShowProgress(len(data), make_console(stderr=True))
    loader = DataLoader(
        data,
        batch_size=_AUTO_BATCH[device] if cfg.batch_size == "auto" else cfg.batch_size,
        num_workers=cfg.num_workers,
        collate_fn=collate,
    )
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=cfg.trainer.precision,
        inference_mode=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
        callbacks=[progress],
    )
    try:
        with warnings.catch_warnings():
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
    finally:
        progress.close()
