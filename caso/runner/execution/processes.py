"""Which process this is among those of a run, and how more of them are started and watched.

Processes share nothing but the run's directory: each takes every n-th batch and writes its own files. They may be
started here (several devices of one machine), or from outside by ``torchrun`` or SLURM's ``srun``.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from caso.extras import CHECKOUT

MISTAKE = 2
"""Exit status of a process that found a mistake in the configuration, and has printed it."""
REPORTED = 3
"""Exit status of a process that failed, and has printed why."""
_PATIENCE = 1800.0
"""Seconds without any progress after which processes that were started from outside are no longer waited for."""


class TerminatedError(BaseException):
    """The process was asked to end (SIGTERM), as SLURM does before it preempts a job."""


class ProcessFailedError(Exception):
    """A process of the run failed, and has printed why.

    Attributes:
        status: Its exit status.
    """

    def __init__(self, message: str, status: int = REPORTED) -> None:
        """Keep the exit status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Process:
    """A process's rank in a run.

    Attributes:
        rank: Its number among all.
        world: How many there are.
        device: Its number on its machine; see `caso.runner.execution.devices.own_device`.
    """

    rank: int = 0
    world: int = 1
    device: int = 0

    @property
    def leads(self) -> bool:
        """Whether it is the one that plans, logs and prints."""
        return self.rank == 0


def from_outside() -> Process | None:
    """Read the index that torchrun or srun gave this process; None where neither started it."""
    for rank, world, local in (("RANK", "WORLD_SIZE", "LOCAL_RANK"), ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")):
        if all(name in os.environ for name in (rank, world, local)) and int(os.environ[world]) > 1:
            return Process(*(int(os.environ[name]) for name in (rank, world, local)))
    return None


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Within, SIGTERM raises `TerminatedError`, so that files are closed and other processes ended."""

    def ended(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what follows is short
        raise TerminatedError

    try:
        before = signal.signal(signal.SIGTERM, ended)
    except ValueError:  # not the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Meeting:
    """Where processes that torchrun or srun started agree on what the first one decides.

    Args:
        process: This one's rank.
    """

    def __init__(self, process: Process) -> None:
        """Connect the processes."""
        # They take seconds to import, which `--help` should not wait for.
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]
        from torch.distributed.rendezvous import rendezvous

        if "MASTER_ADDR" not in os.environ:
            from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

            nodes = os.environ.get("SLURM_NODELIST", "127.0.0.1")
            os.environ["MASTER_ADDR"] = SLURMEnvironment.resolve_root_node_address(nodes)
        os.environ.setdefault("MASTER_PORT", str(10_000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 20_000))
        address = f"env://?rank={process.rank}&world_size={process.world}"
        store, _, _ = next(rendezvous(address, timeout=timedelta(minutes=10)))
        store.set_timeout(timedelta(days=30))  # the first process may be long in one job of a sweep
        self._store = PrefixStore(f"caso/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        self._process = process
        self._count = 0

    def agree(self, value: Any = None) -> Any:
        """Give every process the first one's value (anything that JSON can hold)."""
        self._count += 1
        if self._process.leads:
            self._store.set(f"value/{self._count}", json.dumps(value))
            return value
        return json.loads(self._store.get(f"value/{self._count}"))


def wait_for_others(remaining: Callable[[], int], pause: float = 0.5) -> None:
    """Wait until processes that were started from outside have finished their batches.

    Args:
        remaining: How many batches are left.
        pause: Seconds between two looks.

    Raises:
        ProcessFailedError: Nothing was finished for half an hour.
    """
    left, since = remaining(), time.monotonic()
    while left:
        time.sleep(pause)
        now = remaining()
        if now < left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            raise ProcessFailedError(f"{left} batches were never finished: have processes died?")


def run_workers(
    directory: Path,
    configuration: dict[str, Any],
    world: int,
    tick: Callable[[], None],
    died: Callable[[int, str], None],
    pause: float = 0.3,
) -> None:
    """Explain a run's batches in several processes on this machine, and wait for them.

    Args:
        directory: The run's, planned.
        configuration: The whole configuration, resolved.
        world: How many processes.
        tick: Called again and again meanwhile.
        died: Called with the rank of a process that was killed, and how; it is then started again.
        pause: Seconds between two looks.

    Raises:
        ProcessFailedError: A process failed, and has printed why.
    """
    running = {rank: _start(directory, configuration, rank, world) for rank in range(world)}
    try:
        while running:
            for rank, worker in list(running.items()):
                try:
                    code = worker.wait(pause / len(running))
                except subprocess.TimeoutExpired:
                    continue
                _close(running.pop(rank))
                if code < 0:
                    died(rank, signal.Signals(-code).name)
                    running[rank] = _start(directory, configuration, rank, world)
                elif code != 0:
                    raise ProcessFailedError(f"process {rank} of {world} failed", code)
            tick()
    finally:
        _stop(running.values())


def _stop(workers: Collection[subprocess.Popen[bytes]]) -> None:
    """End processes: by SIGTERM, and those that do not hear it by SIGKILL."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        _close(worker)


def _close(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    with suppress(BrokenPipeError):
        worker.stdin.close()


def _start(directory: Path, configuration: dict[str, Any], rank: int, world: int) -> subprocess.Popen[bytes]:
    import torch

    command = [sys.executable, "-m", "caso.runner.execution.worker", str(directory), str(rank), str(world)]
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // world))}
    if CHECKOUT is not None:  # it may not be installed
        environment["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A group of its own: Ctrl-C reaches this process alone, which then ends the others in order.
    worker = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
    assert worker.stdin is not None
    with suppress(BrokenPipeError):
        worker.stdin.write(json.dumps(configuration).encode("ascii") + b"\n")
        worker.stdin.flush()
    return worker
