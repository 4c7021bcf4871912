"""One run: from a composed configuration to a directory of results."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.jobs import settle, settle_alone
from caso.runner.cli.messages import ConfigError, describe, printable
from caso.runner.data import Samples, find_samples
from caso.runner.execution.devices import count_processes, find_device, take_share_of_machine
from caso.runner.execution.environment import environment
from caso.runner.execution.predict import Share, explain_share
from caso.runner.execution.processes import (
    Meeting,
    Process,
    ProcessFailedError,
    end_on_sigterm,
    run_workers,
    wait_for_others,
)
from caso.runner.execution.quarantine import Quarantine
from caso.runner.models import find_model
from caso.runner.models.targets import align_labels, resolve, wants_label
from caso.runner.results.comparison import SCORES, print_scores, scores, write_scores
from caso.runner.results.loggers import Guarded
from caso.runner.results.manifest import PLAN, Manifest, hold, make_manifest, read_manifest, write_json
from caso.runner.results.pictures import on_sheet, write_contact_sheet
from caso.runner.results.progress import ShowProgress
from caso.runner.results.report import REPORT, write_report
from caso.runner.results.segments import Follower
from caso.runner.results.store import RESULTS, SUMMARY, Run, load_run, write_table
from caso.runner.results.sweep import jobs_at_once, overrides_of_job, sweep_directory
from caso.runner.results.tables import make_console, print_run, summarize

log = logging.getLogger(__name__)

# Images explained together where the configuration says auto. On few cores large batches gain little, and the bar
# should move; a device that lacks memory for 32 gets halves, see `caso.runner.explain.explainers.halve_on_failure`.
_AUTO_BATCH = {"cpu": 4, "cuda": 32}


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
        ids = list(samples.ids)
        manifest = _manifest(cfg, directory, ids, _batch_size(cfg, device, len(ids), world), process, meeting, stack)
        several, world = world > 1, min(world, manifest.batches)
        share = Share(cfg, directory, manifest, process, device, samples, source)
        with end_on_sigterm():
            if not process.leads:
                explain_share(share)
                return 0
            log.info("%s: %d images, order=%s, on %s", source.name, len(ids), cfg.order.name, _described(device, world))
            write_json(directory / "environment.json", environment(cfg, device))
            # The part of the machine is seen by new processes alone: this one may have used its devices already.
            here = outside is not None or not (several or dealt)
            return _lead(share, world, start, here=here)


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


class _Monitor:
    """Follows what all processes of a run finish: for the bar and the logger."""

    def __init__(self, cfg: DictConfig, directory: Path, manifest: Manifest) -> None:
        self.manifest, self.finished = manifest, 0
        self._directory, self._images = directory, 0
        self._follower = Follower(directory)
        self._logger = Guarded(cfg, directory)
        self._progress = ShowProgress(manifest.count, make_console(stderr=True))
        self._shown: set[str] = set()

    def look(self) -> None:
        """Take what is new."""
        for one in self._follower.poll():
            self.finished += 1
            self._images += len({row["image"] for row in one.rows})
            for row in one.rows:
                picture = row.get("picture") or ""
                new = picture and picture not in self._shown
                self._shown.add(picture)
                self._logger.log(row, self._directory / picture if new else None)
        self._progress.show(self._images)

    def remaining(self) -> int:
        """How many batches are left."""
        self.look()
        return self.manifest.batches - self.finished

    def close(self, summary: dict[str, Any]) -> None:
        self._progress.close()
        self._logger.finish(summary)


def _lead(share: Share, world: int, start: float, *, here: bool) -> int:
    """Explain what is missing, `here` or in other processes; then gather, write and print."""
    cfg, directory = share.cfg, share.directory
    monitor = _Monitor(cfg, directory, share.manifest)
    summary: dict[str, Any] = {"status": "failed"}
    try:
        before = share.manifest.batches - monitor.remaining()
        if before:
            log.info("%d of %d batches were finished before", before, share.manifest.batches)
        try:
            if here:
                explain_share(share, monitor.look)
                wait_for_others(monitor.remaining)
            elif monitor.remaining():
                quarantine = Quarantine(share, world)
                settings: Any = OmegaConf.to_container(cfg, resolve=True)
                run_workers(directory, settings, world, monitor.look, quarantine.record)
                if left := monitor.remaining():
                    raise ProcessFailedError(f"the processes ended, but {left} batches were never finished")
        finally:
            # However it ended, what there is can be read; a full disk must not hide the reason.
            run = load_run(directory)
            scored = scores(run)
            written = _write(run, scored)
            paged = write_report(run, scored, time.perf_counter() - start)
        summary = {"status": "finished", **summarize(run.table), "seconds": time.perf_counter() - start}
    finally:
        monitor.close(summary)
    write_json(directory / SUMMARY, summary)
    if sweep_directory() is None:  # a sweep ends with one table over all its jobs
        try:
            console = make_console()
            print_scores(scored, console, f"{SCORES}.csv")
            print_run(run, console, REPORT if paged else None)
        except (OSError, SystemExit) as error:  # rich ends the program where nobody reads any more
            reason = describe(error) if isinstance(error, OSError) else "nobody reads it"
            log.error("the table cannot be printed: %s", reason)
            written = False
    return int(summary["failed_images"] > 0 or not written)


def _write(run: Run, scored: pd.DataFrame) -> bool:
    """Write table, scores and contact sheet, and tell whether that could be done; results can be read without."""
    try:
        if len(run.table):
            write_table(run)
            write_scores(scored, run.directory, SCORES)
            pictures = [name for name in dict.fromkeys(run.table["picture"]) if name]
            write_contact_sheet(run.directory, [p for i, p in enumerate(pictures) if on_sheet(i)], len(pictures))
    except OSError as error:
        log.error("%s cannot be written: %s; load_run reads the results", RESULTS, describe(error))
        return False
    return True


def _manifest(
    cfg: DictConfig,
    directory: Path,
    ids: list[str],
    batch_size: int,
    process: Process,
    meeting: Meeting | None,
    stack: ExitStack,
) -> Manifest:
    """Take the directory for this run, and write its manifest; all processes hear whether the first one could."""
    if not process.leads:
        assert meeting is not None
        if not meeting.agree():
            raise ConfigError("hydra.run.dir", directory, "the first process could not begin; see its message")
        return read_manifest(directory)
    planned = False
    try:
        lock: FileLock = hold(directory)
        stack.callback(lock.release)
        manifest = make_manifest(directory, cfg, ids, batch_size, overrides_of_job())
        planned = True
    finally:
        if meeting is not None:
            meeting.agree(planned)
    return manifest


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
    size = _AUTO_BATCH[device] if cfg.batch_size == "auto" else int(cfg.batch_size)
    return max(1, min(size, -(-images // world))) if cfg.batch_size == "auto" else size


def _described(device: str, world: int) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return printable(name if world == 1 else f"{name}, {world} processes")
