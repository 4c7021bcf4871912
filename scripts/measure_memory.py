"""Memory of a run in one process: the resident size after few and after many images.

    python scripts/measure_memory.py
    python scripts/measure_memory.py --images 200,2000,10000 model=efficientnet_lite0 batch_size=4

The program's own ``run_job`` explains crops by a tiny network, in one fresh process. Its size is read whenever so many
images have been written, and when the run has ended: then, and only then, the whole table is in memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

ROOT = Path(__file__).resolve().parent.parent
TINY = ("model=python", "model.entry=tiny_network:make")


def resident() -> float:
    """The size of this process in memory, in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(settings: list[str], marks: list[int]) -> dict[str, float]:
    """Run a job and read the size of this process after so many images.

    Returns:
        The size by the number of images, and ``end`` for when the run has ended.
    """
    from hydra import compose, initialize_config_dir

    from caso.runner.cli.schema import register
    from caso.runner.execution.run import run_job
    from caso.runner.results.segments import Row, SegmentWriter

    sizes: dict[str, float] = {}
    commit = SegmentWriter.commit
    done = 0

    def commit_and_read(writer: SegmentWriter, batch: int, rows: list[Row]) -> None:
        nonlocal done
        commit(writer, batch, rows)
        done += len(rows)
        if done in marks:
            sizes[str(done)] = resident()

    SegmentWriter.commit = commit_and_read  # type: ignore[method-assign]
    register()
    overrides = ["dataset=crops", f"dataset.n={marks[-1]}", "order=second", "logger=none", "trainer=cpu", *settings]
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        cfg = compose("config", overrides=overrides)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        told, sys.stdout = sys.stdout, nothing
        try:
            if run_job(cfg, Path(folder)) != 0:
                raise SystemExit("images have no map")
        finally:
            sys.stdout = told
    return sizes | {"end": resident()}


def main() -> int:
    """Measure and print.

    Returns:
        0 if the size after most images is within 5 % of that after fewest.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", default="200,2000", help="ascending, whole batches, comma-separated")
    parser.add_argument("--size", type=int, default=224, help="height and width of the tiny network's images")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("settings", nargs="*", help="of the run, such as model=efficientnet_lite0")
    chosen = parser.parse_intermixed_args()
    settings = list(chosen.settings)
    if not any(setting.startswith("model") for setting in settings):
        settings += TINY
    marks = [int(count) for count in chosen.images.split(",")]
    if chosen.here:
        print(json.dumps(measure(settings, marks)))
        return 0
    command = [sys.executable, __file__, "--here", "--images", chosen.images, *settings]
    environment = os.environ | {"TINY_SIZE": str(chosen.size)}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    sizes = json.loads(ended.stdout.splitlines()[-1])
    for count in map(str, marks):
        print(
            f"after {count:>6} images: {sizes[count]:7.1f} MiB, {sizes[count] / sizes[str(marks[0])]:.3f} of the first"
        )
    print(f"after the run:       {sizes['end']:7.1f} MiB")
    return int(abs(sizes[str(marks[-1])] / sizes[str(marks[0])] - 1) > 0.05)


if __name__ == "__main__":
    sys.exit(main())
