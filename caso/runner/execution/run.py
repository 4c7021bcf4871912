"""One run: from a composed configuration to a directory of results."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from caso.memory import explained_together
from caso.runner.cli.jobs import settle, settle_alone
from caso.runner.cli.messages import ConfigError, printable
from caso.runner.data import Samples, find_samples
from caso.runner.execution.devices import count_processes, find_device, take_share_of_machine
from caso.runner.execution.environment import environment
from caso.runner.execution.monitor import Monitor
from caso.runner.execution.predict import explain_share
from caso.runner.execution.processes import (
    Meeting,
    Process,
    ProcessFailedError,
    end_on_sigterm,
    run_workers,
    wait_for_others,
)
from caso.runner.execution.quarantine import Quarantine
from caso.runner.execution.share import Share
from caso.runner.models import find_model
from caso.runner.models.targets import align_labels, resolve, wants_label
from caso.runner.results.gather import gather_results, print_results
from caso.runner.results.manifest import PLAN, Manifest, hold, make_manifest, read_manifest, write_json
from caso.runner.results.store import SUMMARY
from caso.runner.results.sweep import jobs_at_once, overrides_of_job, sweep_directory
from caso.runner.results.tables import summarize

log = logging.getLogger(__name__)


def run_job(
    composed: DictConfig, directory: Path, meeting: Meeting | None = None, outside: Process | None = None
) -> int:
    """Check everything, explain every image that has not been explained, and write and print the results.

    Args:
        composed: The configuration as Hydra composed it, without Hydra's own node; stays as it is.
        directory: The run's, where all is written.
        meeting: Of the processes, where torchrun or srun started them.
        outside: This process's rank among those.

    Returns:
        The exit status: 0, or 1 where images have no map.

    Raises:
        ConfigError: For every mistake in the configuration, before weights load where it can be known then.
    """
    start = time.perf_counter()
    cfg = _checked(composed, directory)
    with ExitStack() as stack:
        dealt = stack.enter_context(take_share_of_machine(jobs_at_once()))
        device = find_device(cfg.trainer.accelerator)
        world = _world(cfg, device, outside)
        samples = find_samples(cfg.dataset, cfg.seed)
        source = find_model(cfg.model)
        _check_target(cfg.target, samples, source.class_names)
        process = outside or Process()
        size = _batch_size(cfg, device, len(samples), world)
        manifest = stack.enter_context(_held(cfg, directory, samples.ids, size, process, meeting))
        share = Share(cfg, directory, manifest, process, device, samples, source)
        stack.enter_context(end_on_sigterm())
        if not process.leads:
            explain_share(share)
            return 0
        several, world = world > 1, min(world, manifest.batches)
        log.info("%s: %d images, order=%s, on %s", source.name, len(samples), cfg.order.name, _described(device, world))
        write_json(directory / "environment.json", environment(cfg, device))
        with Monitor(cfg, directory, manifest) as monitor:
            try:
                # The part of the machine is seen by new processes alone: this one may have used its devices already.
                _explain(share, world, monitor, here=outside is not None or not (several or dealt))
            finally:
                # However it ended, what there is can be read; a full disk must not hide the reason.
                results = gather_results(directory, time.perf_counter() - start)
            ended = {"status": "finished", **summarize(results.run.table), "seconds": time.perf_counter() - start}
            monitor.summary = ended
        write_json(directory / SUMMARY, ended)
        # A sweep ends with one table over all its jobs.
        shown = sweep_directory() is not None or print_results(results)
        return int(ended["failed_images"] > 0 or not (results.written and shown))


def _checked(composed: DictConfig, directory: Path) -> DictConfig:
    """What runs. A sweep was checked as a whole, and a run that goes on when it began: only values are, again."""
    alone = sweep_directory() is None and not (directory / PLAN).exists()
    return settle_alone(composed, overrides_of_job()) if alone else settle(composed)


def _check_target(target: Any, samples: Samples, class_names: Sequence[str] | None) -> None:
    """See whether the class to explain exists, as far as that is known before the network is loaded."""
    if wants_label(target):
        if samples.labels is None:
            raise ConfigError("target", target, "this data set has no labels; give predicted, an index or a name")
        align_labels(samples.label_names, class_names)
    elif class_names is not None:
        resolve(target, class_names)


def _explain(share: Share, world: int, monitor: Monitor, *, here: bool) -> None:
    """Explain the batches that are missing: in this process, or in `world` others."""
    left = monitor.remaining()
    if left < share.manifest.batches:
        log.info("%d of %d batches were finished before", share.manifest.batches - left, share.manifest.batches)
    if here:
        explain_share(share, monitor.look)
        wait_for_others(monitor.remaining)
    elif left:
        quarantine = Quarantine(share, world)
        settings: Any = OmegaConf.to_container(share.cfg, resolve=True)
        run_workers(share.directory, settings, world, monitor.look, quarantine.record)
        if left := monitor.remaining():
            raise ProcessFailedError(f"the processes ended, but {left} batches were never finished")


@contextmanager
def _held(
    cfg: DictConfig,
    directory: Path,
    ids: Sequence[str],
    batch_size: int,
    process: Process,
    meeting: Meeting | None,
) -> Iterator[Manifest]:
    """Within, the directory is this run's, with its manifest; all processes hear whether the first one could begin."""
    if not process.leads:
        assert meeting is not None
        if not meeting.agree():
            raise ConfigError("hydra.run.dir", directory, "the first process could not begin; see its message")
        yield read_manifest(directory)
        return
    with ExitStack() as stack:
        planned = False
        try:
            stack.callback(hold(directory).release)
            manifest = make_manifest(directory, cfg, list(ids), batch_size, overrides_of_job())
            planned = True
        finally:
            if meeting is not None:
                meeting.agree(planned)
        yield manifest


def _world(cfg: DictConfig, device: str, outside: Process | None) -> int:
    """How many processes share the work."""
    if outside is not None:
        return outside.world
    nodes = cfg.trainer.num_nodes
    if nodes != 1:
        raise ConfigError("trainer.num_nodes", nodes, "start a run on several nodes by torchrun or srun, on each one")
    return count_processes(cfg.trainer.devices, device)


def _batch_size(cfg: DictConfig, device: str, images: int, world: int) -> int:
    """Images explained together: not so many that processes have nothing to do."""
    if cfg.batch_size != "auto":
        return int(cfg.batch_size)
    return max(1, min(explained_together(torch.device(device)), -(-images // world)))


def _described(device: str, world: int) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return printable(name if world == 1 else f"{name}, {world} processes")
