"""Sweeps: one table over all jobs at the end."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.messages import describe
from caso.runner.execution.cores import usable_cores
from caso.runner.execution.processes import from_outside
from caso.runner.results.comparison import COMPARISON, compare, print_scores, write_scores
from caso.runner.results.comparison_figure import draw_comparison
from caso.runner.results.report import REPORT
from caso.runner.results.report_sweep import write_sweep_report
from caso.runner.results.segments import PARTS
from caso.runner.results.store import SUMMARY, load_run
from caso.runner.results.tables import make_console, print_page, print_sweep

log = logging.getLogger(__name__)

SWEEP = "sweep.csv"
_FIGURES = (
    "images",
    "failed_images",
    "median_confidence",
    "median_sparsity",
    "median_lambda_max",
    "worst_kkt_residual",
    "median_hvps",
    "seconds",
)


def sweep_directory() -> Path | None:
    """Find the directory of the sweep that the current job belongs to; None for a single run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).absolute()


def overrides_of_job() -> list[str]:
    """The current job's overrides, as they were typed or as the sweep made them."""
    return [str(override) for override in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


def jobs_at_once() -> int:
    """How many jobs of a sweep run side by side on this machine."""
    if sweep_directory() is None:
        return 1
    asked = OmegaConf.select(HydraConfig.get().launcher, "n_jobs", default=1)
    return usable_cores() if asked is None or asked < 1 else int(asked)


class SweepTable(Callback):
    """A Hydra callback that gathers the jobs' summaries into one table, printed and written as ``sweep.csv``.

    It reads what the jobs left in their directories, and so works with every launcher.
    """

    directory: ClassVar[Path | None] = None
    """Of the sweep that this process began last."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember the directory: the jobs may run in other processes."""
        type(self).directory = Path(config.hydra.sweep.dir).absolute()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Gather, write and print."""
        show(Path(config.hydra.sweep.dir).absolute())


def show(directory: Path) -> None:
    """Write and print a sweep's table, in one process."""
    outside = from_outside()
    jobs = gather(directory)
    if not jobs.empty and (outside is None or outside.leads):
        print_sweep(jobs, make_console(), directory, SWEEP)
        try:
            jobs.to_csv(directory / SWEEP, index=False)
            runs = [(str(j["overrides"]), directory / j["directory"]) for j in jobs.to_dict("records")]
            table = show_comparison(directory, runs)
            if write_sweep_report(directory, jobs, table, SWEEP):
                print_page(directory / REPORT, make_console())
        except OSError as error:
            log.error("%s cannot be written: %s", directory, describe(error))


def show_comparison(directory: Path, jobs: Sequence[tuple[str, Path]]) -> pd.DataFrame:
    """Write, draw and print the scores of several runs side by side, where they have any.

    Args:
        directory: Where the table and the figure go.
        jobs: Names and directories of runs.

    Returns:
        The scores, of :func:`caso.runner.results.comparison.compare`.
    """
    present = [(name.replace("explainer=", "") or path.name, path) for name, path in jobs if (path / PARTS).is_dir()]
    runs = [(name, load_run(path)) for name, path in present]
    table = compare(runs)
    if len(table):
        write_scores(table, directory, COMPARISON)
        draw_comparison(table, directory / f"{COMPARISON}.png")
        print_scores(table, make_console(), f"{COMPARISON}.csv")
    return table


def gather(directory: Path) -> pd.DataFrame:
    """Collect the jobs of a sweep.

    Args:
        directory: The sweep's.

    Returns:
        A row a job: its number, directory, the overrides in which the jobs differ, status, message and figures. A job
        that was killed before it could write how it ended has the status ``killed``.
    """
    rows, overrides = [], []
    for overrides_file in directory.glob("**/.hydra/overrides.yaml"):
        job = overrides_file.parent.parent
        summary_file = job / SUMMARY
        ended = json.loads(summary_file.read_text(encoding="utf-8")) if summary_file.exists() else {"status": "killed"}
        hydra = OmegaConf.load(job / ".hydra" / "hydra.yaml")
        row = {
            "job": int(OmegaConf.select(hydra, "hydra.job.num", default=-1)),
            "directory": job.relative_to(directory).as_posix(),
            "status": ended["status"],
            "message": ended.get("message", ""),
        }
        rows.append(row | {name: ended.get(name) for name in _FIGURES})
        overrides.append([str(override) for override in OmegaConf.load(overrides_file)])
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    for row, own in zip(rows, overrides, strict=True):
        row["overrides"] = " ".join(override for override in own if override not in shared)
    columns = ["job", "directory", "overrides", "status", "message", *_FIGURES]
    table = pd.DataFrame(rows, columns=columns).sort_values("job", ignore_index=True)
    return table.astype(dict.fromkeys(_FIGURES, float))


def any_failed(directory: Path) -> bool:
    """Tell whether a job of a sweep failed, or has images without a map."""
    jobs = gather(directory)
    return bool(((jobs["status"] != "finished") | (jobs["failed_images"] > 0)).any())
