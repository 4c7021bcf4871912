"""Seconds and peak memory of a call, on the CPU and on CUDA devices."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

_SETTLE = 1.0
"""Seconds after which a call is not repeated any more."""


def synchronise(device: torch.device) -> None:
    """Wait for the device's work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], Any], device: torch.device, repeats: int = 3) -> tuple[float, Any]:
    """Run a call up to `repeats` times, fewer where it is slow.

    Returns:
        the median of the seconds, and what the last call returned.
    """
    times: list[float] = []
    result = None
    while len(times) < repeats and sum(times) < _SETTLE:
        result = None
        synchronise(device)
        start = time.perf_counter()
        result = call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], result


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


class _Sampler(threading.Thread):
    """Watches the resident memory where the kernel's own high-water mark cannot be reset."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.stopped = _status("VmRSS"), threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.002):
            self.peak = max(self.peak, _status("VmRSS"))


def _cpu_peak(call: Callable[[], Any]) -> tuple[int, Any]:
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")
        exact = _status("VmHWM") <= before * 1.01
    except OSError:
        exact = False
    if exact:
        result = call()
        return max(_status("VmHWM") - before, 0), result
    sampler = _Sampler()
    sampler.start()
    try:
        result = call()
    finally:
        sampler.stopped.set()
        sampler.join()
    return max(sampler.peak - before, 0), result


def peak_bytes(call: Callable[[], Any], device: torch.device) -> tuple[int | None, Any]:
    """Run a call once and see by how much it raises the memory in use, weights and inputs not counted.

    Returns:
        the bytes, None where the platform cannot tell, and what the call returned.
    """
    if device.type == "cuda":
        gc.collect()
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before, result
    if not Path("/proc/self/status").exists():
        return None, call()
    return _cpu_peak(call)
