"""All experiments, one after the other: each a sweep that goes on where it was interrupted; then the report."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from caso.runner.cli.messages import printable
from caso.runner.results.manifest import write_json
from experiments.experiment import ROOT, Experiment, find_experiments
from experiments.report import RESULTS, WORDS, read_results, write_report
from experiments.sweep import Sweep

SIZES = ("smoke", "default", "paper")
Run = Callable[[Sequence[str]], int]
"""Runs ``run.py`` with arguments, and gives its exit status."""
_MARK = "experiment.json"
_USABLE = (0, 1)
"""Exit statuses that leave results; 1 where images have no map or jobs failed, which the report judges."""


def program(arguments: Sequence[str]) -> int:
    """Run ``run.py`` in a process of its own."""
    return subprocess.run([sys.executable, str(ROOT / "run.py"), *arguments], check=False).returncode


def reproduce(
    size: str, output: Path, only: Sequence[str] | None = None, overrides: Sequence[str] = (), run: Run = program
) -> int:
    """Run the experiments that are not finished, and write the report over all that are.

    Args:
        size: One of :data:`SIZES`.
        output: A directory for the sweeps and the report; what is finished there is not run again.
        only: Names of experiments; None for all.
        overrides: Of ``run.py``, for every experiment.
        run: Runs ``run.py``.

    Returns:
        0, or 1 where a run failed or a result could not be read.

    Raises:
        ValueError: If there is no such size or experiment, or the directory holds one with other settings.
    """
    experiments = find_experiments()
    known = sorted(one.name for one in experiments)
    if size not in SIZES:
        raise ValueError(f"size={size}: must be one of {', '.join(SIZES)}")
    for name in only or ():
        if name not in known:
            raise ValueError(f"only={name}: must be among {', '.join(known)}")
    output.mkdir(parents=True, exist_ok=True)
    started: list[Experiment] = []
    status = 0
    for one in experiments:
        directory = output / "sweeps" / one.name
        if only is None or one.name in only:
            status = max(status, _sweep(one, size, directory, overrides, run))
        if directory.is_dir():
            started.append(one)
    complete = write_report(started, output, size, overrides)
    for name, found in read_results(output / RESULTS)["experiments"].items():
        print(f"{name}: {WORDS[found['verdict']['holds']]}. {found['verdict']['sentence']}")
        for failure in found["failures"]:
            print(f"{name}: {printable(failure)}", file=sys.stderr)
    return status if complete else 1


def _sweep(one: Experiment, size: str, directory: Path, overrides: Sequence[str], run: Run) -> int:
    """Run a sweep to its end, unless that was done before."""
    arguments = ["-m", f"experiment={one.name}", f"size={size}", *overrides]
    mark = directory / _MARK
    before: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else {}
    if before.get("arguments", arguments) != arguments:
        raise ValueError(f"output={directory.parent.parent}: {one.name} was begun with {' '.join(before['arguments'])}")
    if before.get("status") in _USABLE and not Sweep(directory).failures:
        print(f"{one.name}: finished before", flush=True)
        return 0
    print(f"{one.name}: python run.py {' '.join(arguments)}", flush=True)
    quoted = "'" + str(directory.absolute()).replace("\\", "\\\\").replace("'", "\\'") + "'"
    start = time.perf_counter()
    directory.mkdir(parents=True, exist_ok=True)
    write_json(mark, {"arguments": arguments, "status": None, "seconds": None})
    status = run([*arguments, f"hydra.sweep.dir={quoted}"])
    if status in _USABLE:
        write_json(mark, {"arguments": arguments, "status": status, "seconds": time.perf_counter() - start})
        return 0
    if status in (130, 143):
        raise KeyboardInterrupt
    print(f"{one.name}: run.py ended with status {status}", file=sys.stderr)
    return 1
