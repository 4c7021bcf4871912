"""Measure every method on every photograph, in units of one gradient."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import caso
from benchmarks.measure import peak_bytes, seconds
from benchmarks.methods import Method, all_methods, gradient, true_residuals
from benchmarks.networks import channels_last
from caso.curvature import trace
from caso.memory import is_out_of_memory
from caso.network import prepare

Say = Callable[[str], None]
_HEAVY_BATCHES = 3
"""Slow methods are measured on so many batches only; the table says on how many."""


def batches_of(images: Tensor, size: int) -> list[Tensor]:
    """Batches of one size that cover all photographs, starting again at the first where they run out."""
    count = -(-len(images) // size)
    rows = torch.arange(count * size) % len(images)
    return [images[chunk] for chunk in rows.split(size)]


def set_up_seconds(network: nn.Module, images: Tensor, targets: Tensor) -> dict[str, float]:
    """Seconds to capture and to trace a network, and of the very first map of one image, which does not trace."""
    start = time.perf_counter()
    ready = prepare(network, images)
    captured = time.perf_counter()
    trace(ready, images)
    traced = time.perf_counter()
    caso.CASO(network).explain(images[:1], targets[:1])
    end = time.perf_counter()
    return {"capture": captured - start, "trace": traced - captured, "first_map_of_one_image": end - traced}


def figures(result: Any) -> dict[str, Any]:
    """Residual, products and status of a result, nothing where the method has none."""
    if not hasattr(result, "kkt_residual"):
        return {}
    found: dict[str, Any] = {
        "residual": [float(r) for r in result.kkt_residual.flatten()],
        "hvps": [int(h) for h in result.hvps.flatten()],
    }
    parts = getattr(result, "explanations", [result])
    for name in ("status", "certificate"):
        found[name] = dict(Counter(entry for part in parts for entry in getattr(part, name)))
    return found


class _Record:
    """What one method took, batch by batch."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.gradients: list[float] = []
        self.seconds: list[float] = []
        self.memory: int | None = None
        self.figures: list[dict[str, Any]] = []
        self.too_large = False

    def take(self, work: Callable[[], Any]) -> Any:
        """Do some work of the method; where it does not fit into memory, nothing more is asked of it."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.too_large = True
        torch.cuda.empty_cache()
        return None

    def summary(self, unit_memory: int | None) -> dict[str, Any]:
        if self.too_large:
            return {"method": self.method.name, "error": "does not fit into memory"}
        row: dict[str, Any] = {
            "method": self.method.name,
            "batches": len(self.gradients),
            "gradients_median": median(self.gradients),
            "gradients_worst": max(self.gradients),
            "gradients": self.gradients,
            "seconds_median": median(self.seconds),
            "peak_bytes": self.memory,
        }
        if self.memory is not None and unit_memory:
            row["peak_relative"] = self.memory / unit_memory
        for name in ("residual", "hvps"):
            values = [v for f in self.figures for v in f.get(name, [])]
            if values:
                row |= {f"{name}_median": median(values), f"{name}_worst": max(values)}
        for name in ("status", "certificate"):
            total: Counter[str] = Counter()
            for f in self.figures:
                total.update(f.get(name, {}))
            if total:
                row[name] = dict(total)
        return row


def _warm_up(record: _Record, images: Tensor, targets: Tensor) -> None:
    call = record.method.prepare(images, targets)
    call()
    record.memory, _ = peak_bytes(call, images.device)


def _measured(record: _Record, number: int, images: Tensor, targets: Tensor) -> tuple[float, Any]:
    call = record.method.prepare(images, targets)
    if record.method.heavy and number == 0:
        record.memory, _ = peak_bytes(call, images.device)
    return seconds(call, images.device, 1 if record.method.heavy else 3)


def measure(network: nn.Module, images: Tensor, size: int, quick: bool, say: Say) -> dict[str, Any]:
    """Measure all methods at one batch size.

    The unit is timed before and after each timing of a method, and what a method took is divided by the middle one of
    these two and of the run's median, so that a machine whose speed drifts does not favour any method.

    Args:
        network: in eval mode, on its device.
        images: all photographs, on that device.
        size: batch size.
        quick: leave out the slowest methods.
        say: told what is being done.

    Returns:
        a JSON-ready record.
    """
    device, chunks = images.device, batches_of(images, size)
    with torch.no_grad():
        classes = [network(chunk).argmax(1) for chunk in chunks]
    other = channels_last(network)
    methods = all_methods(network, other, chunks[0], quick)
    records = [_Record(m) for m in methods]
    units: list[float] = []

    def unit(chunk: Tensor, targets: Tensor) -> float:
        units.append(seconds(lambda: gradient(network, chunk, targets), device)[0])
        return units[-1]

    unit(chunks[0], classes[0])
    units.clear()
    unit_memory, _ = peak_bytes(lambda: gradient(network, chunks[0], classes[0]), device)
    for record in records:
        if not record.method.heavy:
            say(f"warm-up, memory: {record.method.name}")
            record.take(lambda r=record: _warm_up(r, chunks[0], classes[0]))
    verified: list[Tensor] = []
    for i, (chunk, targets) in enumerate(zip(chunks, classes, strict=True)):
        before = unit(chunk, targets)
        for record in records:
            if record.too_large or (record.method.heavy and i >= _HEAVY_BATCHES):
                continue
            say(f"batch {i + 1} of {len(chunks)}: {record.method.name}")
            measured = record.take(lambda r=record, n=i, x=chunk, t=targets: _measured(r, n, x, t))
            if measured is None:
                continue
            taken, result = measured
            after = unit(chunk, targets)
            record.seconds.append(taken)
            # The third keeps one stalled measurement of the unit from passing for a fast method.
            record.gradients.append(taken / median((before, after, median(units))))
            record.figures.append(figures(result))
            if hasattr(result, "explanations"):
                verified.append(true_residuals(network, chunk, targets, result).cpu())
            before = after
            del measured, result
    true = torch.cat(verified)
    return {
        "batch": size,
        "batches": len(chunks),
        "unit_seconds_median": median(units),
        "unit_seconds_spread": [min(units), max(units)],
        "unit_peak_bytes": unit_memory,
        "methods": [r.summary(unit_memory) for r in records],
        "path_true_residual": {"median": float(true.median()), "worst": float(true.max())},
    }
