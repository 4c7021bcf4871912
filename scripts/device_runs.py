"""Runs of the program on two devices: two processes on one, and a run that begins on one and goes on on the other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from caso.runner import load_run
from caso.runner.results.segments import PARTS, finished_batches

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1e-4
"""Largest difference of a map's entries, as a fraction of its largest one."""
_SETTINGS = (
    *("model=python", "model.entry=tiny_network:make", "dataset=crops", "dataset.n=12", "batch_size=2"),
    *("order=second", "logger=none", "pictures=0"),
)
Seen = tuple[float, float, str]
"""A figure, its limit, and a note."""


def _environment(pause: float = 0.0) -> dict[str, str]:
    outside = ("SLURM_", "RANK", "WORLD_SIZE", "LOCAL_RANK")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(outside)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    return kept | {"PYTHONPATH": path, "TINY_PAUSE": str(pause), "TINY_SIZE": "64"}


def _settings(device: str, directory: Path) -> list[str]:
    trainer = "gpu" if device.startswith("cuda") else "cpu"
    return [str(ROOT / "run.py"), *_SETTINGS, f"trainer={trainer}", f"hydra.run.dir={directory}"]


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"the program failed: {ended.stderr.strip().splitlines()[-1:]}")


def _difference(one: Path, other: Path) -> float:
    a, b = load_run(one).maps, load_run(other).maps
    if list(a) != list(b):
        raise RuntimeError(f"{len(a)} maps in one run, {len(b)} in the other")
    return max(float(np.abs(a[name] - b[name]).max() / max(np.abs(a[name]).max(), 1e-30)) for name in a)


def two_processes(folder: Path, devices: Sequence[str]) -> Iterator[Seen]:
    """Two processes on the second device, beside one on the first."""
    _run([sys.executable, *_settings(devices[0], folder / "alone")])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    _run([sys.executable, *launcher, *_settings(devices[1], folder / "two")])
    segments = len(list((folder / "two" / PARTS).glob("*.jsonl")))
    yield _difference(folder / "alone", folder / "two"), LIMIT, f"{segments} processes wrote"


def resumed_elsewhere(folder: Path, devices: Sequence[str]) -> Iterator[Seen]:
    """A run that is ended on the first device after its first batch, and goes on on the second."""
    if not (folder / "alone").exists():
        _run([sys.executable, *_settings(devices[0], folder / "alone")])
    directory = folder / "resumed"
    begun = subprocess.Popen(
        [sys.executable, *_settings(devices[0], directory)], env=_environment(pause=1.0),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while begun.poll() is None and not ((directory / PARTS).is_dir() and finished_batches(directory)):
        time.sleep(0.1)
    begun.terminate()
    begun.wait()
    before = len(finished_batches(directory))
    _run([sys.executable, *_settings(devices[1], directory)])
    note = f"{before} of 6 batches on {devices[0]}, the others on {devices[1]}"
    yield float(not 0 < before < 6), 0.0, note
    yield _difference(folder / "alone", directory), LIMIT, note
