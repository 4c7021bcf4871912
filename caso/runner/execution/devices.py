"""Which devices a run uses, and how many processes that makes."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from filelock import FileLock, Timeout

from caso.runner.cli.messages import ConfigError, choices
from caso.runner.execution.cores import usable_cores

ACCELERATORS = ("cpu", "gpu", "auto")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def find_device(accelerator: str) -> str:
    """Choose ``cpu`` or ``cuda``.

    Raises:
        ConfigError: If there is no such device.
    """
    present = torch.cuda.is_available()
    if accelerator not in ACCELERATORS:
        raise ConfigError("trainer.accelerator", accelerator, f"must be {choices(ACCELERATORS)}")
    if accelerator == "gpu" and not present:
        raise ConfigError("trainer.accelerator", accelerator, "no CUDA device is present; use trainer=cpu")
    return "cuda" if present and accelerator != "cpu" else "cpu"


def count_processes(asked: Any, device: str) -> int:
    """Turn ``trainer.devices`` into a number of processes on this machine.

    Args:
        asked: A number, or ``auto``: all CUDA devices that are visible, or one process on the CPU.
        device: ``cpu`` or ``cuda``.

    Raises:
        ConfigError: If there are not so many devices, or, on the CPU, so many cores that this process may use.
    """
    # Torch counts once, and a job beside others may have a part of what was there then.
    there = min(torch.cuda.device_count(), len(_visible())) if device == "cuda" else 1
    if asked == "auto":
        return there
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise ConfigError("trainer.devices", asked, "must be auto or a whole number of at least 1")
    if device == "cuda" and asked > there:
        raise ConfigError("trainer.devices", asked, f"there are {there} CUDA devices")
    if device == "cpu" and asked > (cores := usable_cores()):
        raise ConfigError("trainer.devices", asked, f"must be at most {cores}, the CPU cores that may be used here")
    return asked


def own_device(number: int) -> int:
    """The CUDA device of a process, by its number on this machine.

    Batch systems may show each process its own device alone, and processes may share one.
    """
    return number % max(1, torch.cuda.device_count())


@contextmanager
def take_share_of_machine(jobs: int) -> Iterator[bool]:
    """Within, keep to this job's part of a machine that runs several jobs side by side.

    The CUDA devices are dealt out: a job sees those of the first free part; where there are fewer devices than jobs,
    jobs share them evenly. So are CPU threads, beyond what the user or the launcher has limited already.

    Args:
        jobs: How many jobs run at once.

    Yields:
        Whether CUDA devices were dealt out. New processes alone see the part: this one may have used its devices.
    """
    if jobs <= 1:
        yield False
        return
    threads, visible = torch.get_num_threads(), os.environ.get(_VISIBLE)
    torch.set_num_threads(min(threads, max(1, usable_cores() // jobs)))
    part = _free_part(jobs) if torch.cuda.device_count() > 0 else None
    try:
        if part is not None:
            os.environ[_VISIBLE] = part[1]
        yield part is not None
    finally:
        torch.set_num_threads(threads)
        if part is not None:
            part[0].release()
            if visible is None:
                os.environ.pop(_VISIBLE, None)
            else:
                os.environ[_VISIBLE] = visible


def _free_part(jobs: int) -> tuple[FileLock, str] | None:
    """Hold the first part of the devices that no other job holds; None where more jobs run than were announced."""
    names = _visible()
    user = os.getuid() if hasattr(os, "getuid") else 0
    for number in range(jobs):
        first, end = (n * len(names) // jobs for n in (number, number + 1))
        own = names[first:end] if len(names) >= jobs else [names[number % len(names)]]
        # Devices may be named by things that are no file names.
        key = hashlib.sha256(repr((names, jobs, number)).encode()).hexdigest()[:16]
        lock = FileLock(os.path.join(tempfile.gettempdir(), f"caso-{user}-{key}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock, ",".join(own)
    return None


def _visible() -> list[str]:
    """The CUDA devices that a new process would see, by the names that the environment gives them."""
    visible = os.environ.get(_VISIBLE)
    return [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
