"""Room and reading time of maps in a run's directory, beside numpy's formats.

    python scripts/measure_store.py
    python scripts/measure_store.py --maps 100 --output store.json

Maps are random: normal values, of which a fraction is set to zero, at single entries or in squares of 8 x 8 pixels as
sparse maps tend to look. All are read once in order and some by id in random order, from the page cache: what is
measured is decoding, not the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caso.runner import load_run
from caso.runner.results.segments import SegmentWriter

Map = NDArray[np.float32]
Read = Callable[[int], Map]
SHAPE = (3, 224, 224)


def maps(count: int, sparsity: float, squares: bool) -> Iterator[Map]:
    """Make maps, the same each time."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        values = generator.standard_normal(SHAPE, dtype=np.float32)
        if squares:
            kept = np.kron(generator.random((3, 28, 28)) >= sparsity, np.ones((1, 8, 8), bool))
        else:
            kept = generator.random(SHAPE) >= sparsity
        yield np.where(kept, values, np.float32(0)) if sparsity > 0 else values


def in_run(folder: Path, made: Iterator[Map]) -> Read:
    """Write them as a run does, 32 images a batch."""
    writer = SegmentWriter(folder)
    rows: list[dict[str, Any]] = []
    for number, attribution in enumerate(made):
        rows.append({"image": str(number), "status": "converged", "map": writer.keep(attribution)})
        if len(rows) == 32:
            writer.commit(number // 32, rows)
            rows = []
    writer.commit(1 << 30, rows)
    writer.close()
    stored = load_run(folder).maps
    return lambda number: stored[str(number)]


def as_npy(folder: Path, made: Iterator[Map]) -> Read:
    """Write a ``.npy`` file each."""
    for number, attribution in enumerate(made):
        np.save(folder / f"{number}.npy", attribution)
    return lambda number: np.load(folder / f"{number}.npy")


def as_npz(folder: Path, made: Iterator[Map]) -> Read:
    """Write a compressed ``.npz`` file each."""
    for number, attribution in enumerate(made):
        np.savez_compressed(folder / f"{number}.npz", attribution)

    def read(number: int) -> Map:
        with np.load(folder / f"{number}.npz") as content:
            return np.asarray(content["arr_0"])

    return read


FORMATS: dict[str, Callable[[Path, Iterator[Map]], Read]] = {
    "in a run": in_run,
    ".npy": as_npy,
    "np.savez_compressed": as_npz,
}


def measure(write: Callable[[Path, Iterator[Map]], Read], count: int, sparsity: float, squares: bool) -> dict[str, Any]:
    """Write, weigh and read.

    Returns:
        bytes a map, and seconds a map: of writing (making the maps taken off), of reading all, of reading one by id.
    """
    begun = time.perf_counter()
    for _ in maps(count, sparsity, squares):
        pass
    making = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        read = write(Path(folder), maps(count, sparsity, squares))
        writing = time.perf_counter() - begun - making
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        for number, attribution in zip(range(5), maps(5, sparsity, squares), strict=True):
            np.testing.assert_array_equal(read(number), attribution)
        begun = time.perf_counter()
        for number in range(count):
            read(number)
        reading = time.perf_counter() - begun
        chosen = np.random.default_rng(1).permutation(count)[: max(1, count // 5)]
        begun = time.perf_counter()
        for number in chosen:
            read(int(number))
        random = time.perf_counter() - begun
    return {
        "bytes": size / count,
        "write_seconds": writing / count,
        "read_seconds": reading / count,
        "random_read_seconds": random / len(chosen),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    chosen = parser.parse_args()
    shown = Table(title=f"{chosen.maps} maps {SHAPE}, float32, {os.cpu_count()} cores")
    for name in ("sparsity", "zeros", "format", "kB a map", "of .npy", "ms to write", "ms to read", "ms by id"):
        shown.add_column(name, justify="right")
    records = []
    plain = float(np.prod(SHAPE)) * 4 + 128
    for sparsity, squares in ((0.0, False), (0.9, False), (0.9, True), (0.99, False), (0.99, True)):
        for name, write in FORMATS.items():
            record = measure(write, chosen.maps, sparsity, squares)
            zeros = "" if sparsity == 0 else "in squares" if squares else "anywhere"
            records.append({"sparsity": sparsity, "zeros": zeros, "format": name} | record)
            milliseconds = (f"{1000 * record[key]:.2f}" for key in record if key.endswith("seconds"))
            share = f"{100 * record['bytes'] / plain:.1f} %"
            shown.add_row(f"{sparsity:g}", zeros, name, f"{record['bytes'] / 1000:.1f}", share, *milliseconds)
    Console(width=120).print(shown)
    if chosen.output:
        chosen.output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
