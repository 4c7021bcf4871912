"""A sweep's page: its jobs, with links to their pages, and the same images side by side."""

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from caso.runner.cli.messages import describe, printable
from caso.runner.results.comparison import COMPARISON, wide
from caso.runner.results.report import REPORT, read_environment
from caso.runner.results.report_words import MEANINGS, command
from caso.runner.results.segments import PARTS
from caso.runner.results.store import read_rows

log = logging.getLogger(__name__)

_MOST_JOBS, _MOST_IMAGES = 8, 24  # side by side
_NUMBERS = ("confidence", "sparsity", "largest eigenvalue", "residual", "HVPs")


def write_sweep_report(directory: Path, jobs: pd.DataFrame, scores: pd.DataFrame, file: str) -> bool:
    """Write a sweep's page; what goes wrong costs a line in the log, and nothing else.

    Args:
        directory: The sweep's.
        jobs: Of :func:`caso.runner.results.sweep.gather`.
        scores: Of :func:`caso.runner.results.comparison.compare`.
        file: That holds the jobs' table.

    Returns:
        Whether there is a page.
    """
    try:
        from caso.runner.results.report_templates import write_page

        write_page(directory / REPORT, "sweep.html.j2", **_content(directory, jobs, scores, file))
    except Exception as error:  # a page is never worth a sweep
        log.error("%s cannot be written: %s", REPORT, describe(error))
        log.debug("no page", exc_info=True)
        return False
    return True


def _content(directory: Path, jobs: pd.DataFrame, scores: pd.DataFrame, file: str) -> dict[str, Any]:
    told = [dict(job) for job in jobs.to_dict("records")]
    for job in told:
        page = directory / job["directory"] / REPORT
        job["page"] = f"{job['directory']}/{REPORT}" if page.is_file() else None
    machine: dict[str, Any] = next(
        (found for job in told if (found := read_environment(directory / job["directory"]))), {}
    )
    compared = wide(scores, "text") if len(scores) else None
    names = (f"{COMPARISON}.{ending}" for ending in ("csv", "md", "tex", "png"))
    return {
        "title": f"{len(told)} job{'s' * (len(told) != 1)}",
        "directory": printable(directory.name),
        "jobs": told,
        "beside": _side_by_side(directory, told),
        "statuses": sorted({str(job["status"]) for job in told}),
        "compared": None if compared is None else (list(compared.columns), compared.to_numpy().tolist()),
        "figure": f"{COMPARISON}.png" if (directory / f"{COMPARISON}.png").is_file() else None,
        "meanings": {
            key: MEANINGS[key] for key in ("confidence", "sparsity", "largest eigenvalue", "residual", "HVPs")
        },
        "environment": machine,
        "command": command(machine.get("command", ())),
        "files": [name for name in (file, *names) if (directory / name).is_file()],
    }


def _side_by_side(directory: Path, jobs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first images of the first jobs, each with its photograph and a map a job; None where there is none."""
    from caso.runner.results.report_entries import Budget, Entry, entries, middle

    chosen = [job for job in jobs if (directory / job["directory"] / PARTS).is_dir()][:_MOST_JOBS]
    columns: list[dict[str, Entry]] = []
    for job in chosen:
        rows = read_rows(directory / job["directory"])
        read = islice(entries(directory / job["directory"], rows, middle(rows), Budget()), _MOST_IMAGES)
        columns.append({entry.image: entry for entry in read if entry.photograph})
    images = list(dict.fromkeys(name for column in columns for name in column))[:_MOST_IMAGES]
    if not images or len(chosen) < 2:
        return None
    lines = [[column.get(name) for column in columns] for name in images]
    return {"jobs": chosen, "lines": lines, "all": len(chosen) == len(jobs)}
