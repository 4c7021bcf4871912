"""Kill a run again and again, resume it each time, and compare what it ends with to an uninterrupted run.

    python scripts/kill_and_resume.py
    python scripts/kill_and_resume.py --kills 5 --images 40 --processes 1
    python scripts/kill_and_resume.py --images 50 model=efficientnet_lite0 batch_size=4

A run of crops by a tiny network, slowed down so that it can be caught in the middle, is ended by SIGKILL: alone or
with the processes that it started, by chance. Most moments are uniform over the run's work, every fifth is uniform over
the time before its first batch. What follows the options replaces settings of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caso.runner import Run, load_run
from caso.runner.results.segments import PARTS, finished_batches

ROOT = Path(__file__).resolve().parent.parent
CHANGING = ["seconds", "map"]
"""Columns that differ from run to run: a time, and where a map lies."""
TINY = ("model=python", "model.entry=tiny_network:make")


class Program:
    """One run's directory, and the program started in it.

    Args:
        folder: Where the run's directory and its log lie.
        settings: The run's overrides.
        processes: How many explain images.
        pause: Seconds that reading an image takes longer.
    """

    def __init__(self, folder: Path, settings: Sequence[str], processes: int, pause: float) -> None:
        """Prepare; nothing is started."""
        self.run = folder / "run"
        self.read = folder / "read"
        self._log = folder / "log"
        folder.mkdir(parents=True)
        self._command = [
            *(sys.executable, str(ROOT / "run.py"), *settings, f"hydra.run.dir={self.run}"),
            *("trainer=ddp_cpu", f"trainer.devices={processes}", "logger=none", "pictures=0"),
        ]
        outside = ("SLURM_", "RANK", "WORLD_SIZE", "LOCAL_RANK")
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith(outside)} | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")]),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            "TINY_PAUSE": str(pause),
            "TINY_READ": str(self.read),
        }

    def start(self) -> subprocess.Popen[bytes]:
        """Start the program, which goes on with what is in the directory."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def finish(self) -> float:
        """Run to the end.

        Returns:
            The seconds before the first batch that this start finished.
        """
        before, begun = len(self.finished()), time.monotonic()
        process = self.start()
        first = 0.0
        while process.poll() is None:
            if first == 0.0 and len(self.finished()) > before:
                first = time.monotonic() - begun
            time.sleep(0.02)
        if process.returncode != 0:
            raise SystemExit(f"the run failed:\n{self._log.read_text()}")
        return first

    def finished(self) -> set[int]:
        """The batches that are finished."""
        return finished_batches(self.run) if (self.run / PARTS).is_dir() else set()


def kill(process: subprocess.Popen[bytes], *, everything: bool) -> bool:
    """End a process by SIGKILL, with those that it started or without.

    Returns:
        Whether there were others, and they were left alone.
    """
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    own = [int(pid) for pid in listed.stdout.split()]
    for pid in (process.pid, *(own if everything else ())):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    return bool(own) and not everything


def interrupt(program: Program, kills: int, batches: int, start_up: float, generator: random.Random) -> Counter[str]:
    """Start and kill a run, then let it finish.

    Args:
        program: The run's.
        kills: How often it is killed.
        batches: How many batches it has.
        start_up: Seconds before the first batch.
        generator: Chooses moments and ways.

    Returns:
        Counts: ``kills`` in all, ``early`` those before the first batch of a start, ``alone`` those of the first
        process alone, ``lost`` batches that were finished and then not.
    """
    counts: Counter[str] = Counter()
    targets = sorted(generator.uniform(0, batches) for _ in range(kills))
    for number in range(3 * kills):  # more than needed, for a run may end before it is killed
        if counts["kills"] == kills:
            break
        target = targets[counts["kills"]]
        before = program.finished()
        early, everything = number % 5 == 4 or len(before) >= batches - 1, generator.random() < 0.5
        more = min(max(int(target), len(before) + 1), batches - 1)
        process, begun = program.start(), time.monotonic()
        moment = generator.uniform(0, start_up)
        while process.poll() is None:
            if early and time.monotonic() - begun > moment:
                break
            if not early and len(program.finished()) >= more:
                time.sleep(generator.uniform(0, 0.05))
                break
            time.sleep(0.003)
        if process.poll() is None:
            alone = kill(process, everything=everything)
            counts.update(kills=1, early=early, alone=alone, lost=len(before - program.finished()))
    while program.finished() != set(range(batches)):
        program.finish()
    program.finish()  # there may be all batches, but no table yet
    return counts


def farthest(one: Run, other: Run) -> float:
    """Give the largest distance between two runs' maps, relative to the largest entry; 0 where they are bitwise equal.

    Tables that differ in their images or statuses are infinitely far apart.
    """
    for column in ("image", "status", "target"):
        if one.table[column].tolist() != other.table[column].tolist():
            return float("inf")
    if list(one.maps) != list(other.maps):
        return float("inf")
    distances = [
        float(np.abs(one.maps[name] - other.maps[name]).max() / max(np.abs(one.maps[name]).max(), 1e-30))
        for name in one.maps
    ]
    same_table = one.table.drop(columns=CHANGING).equals(other.table.drop(columns=CHANGING))
    bitwise = same_table and all(one.maps[name].tobytes() == other.maps[name].tobytes() for name in one.maps)
    return 0.0 if bitwise else max(*distances, sys.float_info.min)


def lines_of(run: Path) -> list[int]:
    """The batches of all lines that are complete, as often as they occur."""
    whole = [line for path in (run / PARTS).glob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line)["batch"] for line in whole if line.endswith(b"\n")]


def main() -> int:
    """Measure and print.

    Returns:
        0 if nothing was lost, nothing was done twice, and the results are those of an uninterrupted run.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=200, help="crops of the embedded photographs")
    parser.add_argument("--processes", default="1,2", help="process counts, comma-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that reading an image takes longer")
    parser.add_argument("settings", nargs="*", help="of the run, such as model=efficientnet_lite0")
    chosen = parser.parse_intermixed_args()
    settings = ["dataset=crops", f"dataset.n={chosen.images}", "order=second", "batch_size=2", *chosen.settings]
    if not any(setting.startswith("model") for setting in settings):
        settings += TINY
    shown = Table(title=f"{chosen.images} images, seed {chosen.seed}: {' '.join(settings)}")
    columns = (
        *("processes", "kills", "before the first batch", "first process alone", "batches", "finished, then lost"),
        *("finished twice", "images read again", "beside the same count", "beside one process"),
    )
    for name in columns:
        shown.add_column(name, justify="right")
    right, alone = True, None
    with tempfile.TemporaryDirectory() as folder:
        for processes in map(int, chosen.processes.split(",")):
            whole = Program(Path(folder, f"whole-{processes}"), settings, processes, chosen.pause)
            start_up = whole.finish()
            alone = alone or load_run(whole.run)
            batches = len(whole.finished())
            killed = Program(Path(folder, f"killed-{processes}"), settings, processes, chosen.pause)
            counts = interrupt(killed, chosen.kills, batches, start_up, random.Random(f"{chosen.seed} {processes}"))
            results = load_run(killed.run)
            twice = len(lines := lines_of(killed.run)) - len(set(lines))
            same, one = farthest(results, load_run(whole.run)), farthest(results, alone)
            again = killed.read.stat().st_size - chosen.images if killed.read.exists() else None
            shown.add_row(
                str(processes), str(counts["kills"]), str(counts["early"]), str(counts["alone"]), str(batches),
                str(counts["lost"]), str(twice), "" if again is None else str(again),
                *("bitwise equal" if distance == 0 else f"{distance:.1e}" for distance in (same, one)),
            )  # fmt: skip
            right &= counts["lost"] == twice == 0 and same == 0 and one <= 1e-5
    Console(width=170).print(shown)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
