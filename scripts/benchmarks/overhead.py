"""What the program costs beside the maps: images a second of a run, and of a bare loop over ``explainer.explain``.

    python scripts/benchmark.py --overhead

Both explain the same crops in the same batches, in one process, by turns. The loop has its pixels in memory and throws
its maps away; the run reads, crops and resizes photographs, draws, and writes each batch to disk, in threads beside the
explaining. Loading and capturing the network, and each loop's first batch, are not counted; the writing of the last one
is. Seconds of the run's parts are those in their threads.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from caso.runner.cli.schema import register
from caso.runner.execution import predict
from caso.runner.execution.environment import keep_freed_memory
from caso.runner.execution.loading import PixelBatches
from caso.runner.execution.run import run_job
from caso.runner.explain.explainers import explain, make_explainer
from caso.runner.models import find_model
from caso.runner.results import segments, writer

CONF = Path(__file__).resolve().parents[2] / "conf"
CASES = (
    ("order=second", "as it is", ()),
    ("order=second", "pictures=0", ("pictures=0",)),
    ("order=first", "as it is", ()),
    ("order=first", "pictures=0", ("pictures=0",)),
    ("order=first", "pictures=0 num_workers=1", ("pictures=0", "num_workers=1")),
)
"""Order, a name, and further settings of each case."""


Moment = tuple[float, float]
"""Seconds by the clock, and of the explaining thread's own processor time, which other programs hardly lengthen."""


def now() -> Moment:
    """The moment it is."""
    return time.perf_counter(), time.thread_time()


def between(moments: Sequence[Moment]) -> list[Moment]:
    """The times from each moment to the next."""
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(moments)]


@dataclass
class Watch:
    """Seconds spent in parts of a run, and the moments at which batches were finished."""

    spent: Counter[str] = field(default_factory=Counter)
    finished: list[Moment] = field(default_factory=list)

    @contextmanager
    def on(self, place: Any, name: str, word: str) -> Iterator[None]:
        """Within, add up what a function takes."""
        before = getattr(place, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return before(*args, **kwargs)
            finally:
                self.spent[word] += time.perf_counter() - begun
                if name in ("finish", "close"):
                    self.finished.append(now())

        setattr(place, name, timed)
        try:
            yield
        finally:
            setattr(place, name, before)


def configuration(settings: list[str]) -> DictConfig:
    """Compose a run's configuration."""
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("config", overrides=settings)
    OmegaConf.set_struct(cfg, False)
    return cfg


def by_run(cfg: DictConfig) -> tuple[list[Moment], dict[str, float]]:
    """Run the program's job.

    Returns:
        seconds of each batch but the first, and of what comes after the last; and seconds a batch by part of the
        program.
    """
    watch = Watch()
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nothing,
        watch.on(PixelBatches, "__getitem__", "reading"),
        watch.on(writer, "panel", "drawing"),
        watch.on(writer, "write_picture", "drawing"),
        watch.on(segments.SegmentWriter, "keep", "encoding"),
        watch.on(segments.SegmentWriter, "commit", "writing to disk"),
        watch.on(writer.ResultWriter, "finish", "waiting for the writing"),
        watch.on(writer.ResultWriter, "close", "waiting for the writing"),
    ):
        told, sys.stdout = sys.stdout, nothing
        try:
            run_job(cfg.copy(), Path(folder))
        finally:
            sys.stdout = told
    batches = len(watch.finished) - 1
    return between(watch.finished), {word: spent / batches for word, spent in watch.spent.items()}


def by_loop(cfg: DictConfig) -> Callable[[], list[Moment]]:
    """Load the network and read the crops.

    Returns:
        a function that explains all batches and returns the seconds of each but the first.
    """
    keep_freed_memory()  # as the program does
    classifier, target = predict.load_network(find_model(cfg.model), cfg)
    samples = predict.find_samples(cfg.dataset, cfg.seed)
    pixels = torch.stack([classifier.preprocessing(samples[place].read()) for place in range(len(samples))])
    explainer = make_explainer(cfg, classifier.network, len(pixels))
    batches = pixels.split(int(cfg.batch_size))
    explainer.prepare(batches[0])

    def loop() -> list[Moment]:
        finished = []
        for batch in batches:
            for explanation in explain(explainer, cfg, batch, target):
                explanation.maps.detach().numpy()
            finished.append(now())
        return between(finished)

    return loop


def measure(images: int, batch: int, rounds: int = 3) -> list[dict[str, Any]]:
    """Measure all cases.

    Args:
        images: How many for second order; first order takes four times as many.
        batch: Images a batch.
        rounds: Turns of each loop, of which each batch's fastest counts: other programs only add time.

    Returns:
        Records with ``images_per_second`` of both, their ``ratio``, and ``parts``: seconds a batch by part of the run.
    """
    records = []
    for order, name, more in CASES:
        count = images if order == "order=second" else 4 * images
        settings = ["dataset=crops", f"dataset.n={count}", order, f"batch_size={batch}", "trainer=cpu", "logger=none"]
        cfg = configuration([*settings, *more])
        loop = by_loop(cfg)
        runs, loops, spent = [], [], []
        for _ in range(rounds):
            loops.append(loop())
            seconds, parts_of_run = by_run(cfg)
            runs.append(seconds)
            spent.append(parts_of_run)
        rates, own = (
            [(count - batch) / _fastest([[times[kind] for times in turn] for turn in turns]) for turns in (runs, loops)]
            for kind in (0, 1)
        )
        records.append(
            {
                "model": "efficientnet_lite0",
                "case": f"{order}, {name}",
                "batch": batch,
                "images": count,
                "threads": torch.get_num_threads(),
                "images_per_second": dict(zip(("run", "loop"), rates, strict=True)),
                "ratio": rates[0] / rates[1],
                "ratio_of_own_time": own[0] / own[1],
                "parts": {word: min(turn.get(word, 0.0) for turn in spent) for word in spent[0]},
            }
        )
    return records


def _fastest(turns: list[list[float]]) -> float:
    return sum(min(seconds) for seconds in zip(*turns, strict=True))


def table(records: list[dict[str, Any]]) -> Table:
    """Show the records."""
    first = records[0]
    result = Table(title=f"{first['model']}, batch {first['batch']}, CPU, {first['threads']} threads")
    words = list(dict.fromkeys(word for record in records for word in record["parts"]))
    rates = ("run, images/s", "loop, images/s", "run / loop", "by thread time")
    for heading in ("case", "images", *rates, *(f"{word}, ms" for word in words)):
        result.add_column(heading, justify="left" if heading == "case" else "right")
    for record in records:
        shown = [f"{rate:.2f}" for rate in record["images_per_second"].values()]
        shown += [f"{record[name]:.3f}" for name in ("ratio", "ratio_of_own_time")]
        spent = (f"{1000 * record['parts'].get(word, 0):.0f}" for word in words)
        result.add_row(record["case"], str(record["images"]), *shown, *spent)
    return result


def write(records: list[dict[str, Any]], path: Path) -> None:
    """Write the records."""
    path.write_text(json.dumps(records, indent=1) + "\n")
