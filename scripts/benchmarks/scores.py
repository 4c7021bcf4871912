"""What metrics cost beside the forward passes that they need, and beside Quantus.

    python scripts/benchmark.py --metrics

On EfficientNet-Lite0 the forward passes are nearly all of the cost; a network that takes next to no time shows what is
around them. The bare passes run as many images, in chunks of the same size and memory layout, of pixels that are ready.
Quantus flips as many entries a step as takes the same number of steps. All take turns, and the fastest turn of each
counts: other programs only add time.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_network
import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks.networks import load
from caso.memory import forward_batch
from caso.metrics import Case, make_metric
from caso.network.capture import pays_channels_last

METRICS = ("insertion", "deletion", "pixel_flipping")
_STEPS, _FEW_STEPS = 96, 12
"""Quantus takes each channel of a pixel by itself, in steps that divide the number of pixels: multiples of three."""


def bare(network: nn.Module, images: Tensor, count: int) -> None:
    """Run so many images through a network."""
    chunk = images.repeat(-(-forward_batch(images.device) // len(images)), 1, 1, 1)[: forward_batch(images.device)]
    if pays_channels_last(network, images):
        chunk = chunk.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for begin in range(0, count, len(chunk)):
            network(chunk[: count - begin])


def quantus_flipping(network: nn.Module, images: Tensor, maps: Tensor, targets: Tensor, steps: int) -> None:
    """Score maps by the pixel flipping of Quantus."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        import quantus

        metric = quantus.PixelFlipping(
            features_in_step=maps[0].numel() // steps, perturb_baseline=0.0, abs=True, normalise=False,
            disable_warnings=True,
        )  # fmt: skip
        metric(
            model=network, x_batch=images.numpy(), y_batch=targets.numpy(), a_batch=maps.numpy(), softmax=True,
            device="cpu",
        )  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _of(model: str, network: nn.Module, images: Tensor, steps: int, rounds: int) -> list[dict[str, Any]]:
    with torch.no_grad():
        targets = network(images).argmax(1)
    maps = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    records = []
    for name in METRICS:
        metric = make_metric(name, steps=steps)
        calls: dict[str, Callable[[], object]] = {
            "metric": lambda one=metric: one.score(Case(network, images, maps, targets)),
            "bare": lambda one=metric: bare(network, images, len(images) * one.passes),
        }
        if name == "pixel_flipping":
            calls["quantus"] = lambda: quantus_flipping(network, images, maps, targets, steps)
        for call in calls.values():
            call()
        turns = [{who: _seconds(call) for who, call in calls.items()} for _ in range(rounds)]
        fastest = {who: min(turn[who] for turn in turns) for who in calls}
        record = {
            "model": model,
            "metric": name,
            "images": len(images),
            "steps": steps,
            "size": list(images.shape[1:]),
            "threads": torch.get_num_threads(),
            "seconds": fastest,
            "over_bare": fastest["metric"] / fastest["bare"],
        }
        if "quantus" in fastest:
            record["quantus_over"] = fastest["quantus"] / fastest["metric"]
        records.append(record)
    return records


def measure(images: int, quick: bool, rounds: int = 5) -> list[dict[str, Any]]:
    """Measure on EfficientNet-Lite0 and on a tiny network, on the CPU.

    Args:
        images: How many photographs.
        quick: Fewer steps on the large network.
        rounds: Turns of each.

    Returns:
        Records with ``seconds`` of the metric, of the bare forward passes and of Quantus where it has the metric,
        ``over_bare`` and ``quantus_over``, their ratios.
    """
    network, photographs, _, _ = load("efficientnet_lite0", images, None)
    records = _of("efficientnet_lite0", network, photographs, _FEW_STEPS if quick else _STEPS, 2 if quick else 3)
    tiny = tiny_network.network().eval()
    for size in (32, 224):
        small = nn.functional.interpolate(photographs, (size, size), mode="area")
        records += _of(f"tiny, {size} pixels", tiny, small, _STEPS, rounds)
    return records


def table(records: list[dict[str, Any]]) -> Table:
    """Show the records."""
    result = Table(title=f"metrics on {records[0]['images']} images, CPU, {records[0]['threads']} threads")
    headings = ("network", "metric", "steps", "ms an image", "bare, ms", "over bare", "Quantus, ms", "Quantus over")
    for heading in headings:
        result.add_column(heading, justify="left" if heading in ("network", "metric") else "right")
    for one in records:
        times = {who: f"{1000 * seconds / one['images']:.1f}" for who, seconds in one["seconds"].items()}
        over = f"{one['quantus_over']:.2f}" if "quantus_over" in one else ""
        cells = (times["metric"], times["bare"], f"{one['over_bare']:.2f}", times.get("quantus", ""), over)
        result.add_row(one["model"], one["metric"], str(one["steps"]), *cells)
    return result


def write(records: list[dict[str, Any]], path: Path) -> None:
    """Write the records."""
    path.write_text(json.dumps(records, indent=1) + "\n")
