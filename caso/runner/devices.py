"""Which devices a run uses, and how many processes that makes."""

import os
import tempfile
from typing import Any

import torch
from filelock import FileLock, Timeout

from caso.runner.errors import ConfigError, choices

ACCELERATORS = ("cpu", "gpu", "auto")


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
        ConfigError: If there are not so many.
    """
    there = torch.cuda.device_count() if device == "cuda" else 1
    if asked == "auto":
        return there
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise ConfigError("trainer.devices", asked, "must be auto or a whole number of at least 1")
    if device == "cuda" and asked > there:
        raise ConfigError("trainer.devices", asked, f"there are {there} CUDA devices")
    return asked


def take_share_of_machine(jobs: int) -> FileLock | None:
    """Keep to this job's part of a machine that runs several jobs side by side.

    The CUDA devices are dealt out: a job sees those of the first free part. CPU threads are shared out evenly.

    Args:
        jobs: How many jobs run at once.

    Returns:
        What holds the part until it is released or the process ends; None where there is nothing to hold.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    part = len(names) // jobs
    if torch.cuda.device_count() == 0 or part == 0:
        return None
    user = os.getuid() if hasattr(os, "getuid") else 0
    for number in range(jobs):
        own = ",".join(names[number * part : (number + 1) * part])
        lock = FileLock(os.path.join(tempfile.gettempdir(), f"caso-{user}-devices-{own}"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = own
        return lock
    return None
