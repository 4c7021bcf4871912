"""A run's page: photographs beside maps, certificates in words, scores, and how it was made."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from caso.results.words import number
from caso.runner.cli.messages import describe, printable
from caso.runner.results.comparison import SCORES
from caso.runner.results.manifest import CONFIG, PLAN, read_manifest
from caso.runner.results.pictures import CONTACT_SHEET
from caso.runner.results.record import COLUMNS
from caso.runner.results.report_words import MEANINGS, better, command, methods
from caso.runner.results.store import CLASSES, REGIONS, RESULTS, Run, read_rows
from caso.runner.results.tables import FAILED, summarize

log = logging.getLogger(__name__)

REPORT = "report.html"
ENVIRONMENT = "environment.json"
MOST_IMAGES = 2000
"""Images in a page's table; all are in results.csv."""
_FILES = {
    RESULTS: "all numbers, a row per image and setting",
    REGIONS: "a row per image and region",
    CLASSES: "the numbers by true class",
    f"{SCORES}.csv": "scores with their intervals",
    CONTACT_SHEET: "the first pictures on one sheet",
    CONFIG: "the settings",
    "caso.log": "the log",
}
_NUMBERS = {
    "confidence": "confidence",
    "lambda1": "lambda1",
    "largest eigenvalue": "lambda_max",
    "residual": "kkt_residual",
    "error bound": "error_bound",
    "floor": "floor",
    "HVPs": "lambda_max",
}
"""Columns of the table, by what they are called here."""


def write_report(run: Run, scored: pd.DataFrame, seconds: float | None = None) -> bool:
    """Write a run's page; what goes wrong costs a line in the log, and nothing else.

    Args:
        run: As it was read back; it may have been interrupted.
        scored: Its scores in short, of :func:`caso.runner.results.comparison.scores`.
        seconds: That it took; None where it did not end.

    Returns:
        Whether there is a page.
    """
    path = run.directory / REPORT
    try:
        from caso.runner.results.report_templates import write_page

        path.unlink(missing_ok=True)  # of what was there before it was resumed
        if run.table.empty:
            return False
        write_page(path, "run.html.j2", **_content(run, scored, seconds))
    except Exception as error:  # a page is never worth a run
        log.error("%s cannot be written: %s", REPORT, describe(error))
        log.debug("no page", exc_info=True)
        return False
    return True


def _content(run: Run, scored: pd.DataFrame, seconds: float | None) -> dict[str, Any]:
    """What the template shows of a run; the images are read while the page is written."""
    from caso.runner.results.report_curves import curves
    from caso.runner.results.report_entries import Budget, entries, middle

    table, directory = run.table, run.directory
    images = table.drop_duplicates("image")
    listed = set(images["image"].iloc[:MOST_IMAGES])
    rows = [row for row in read_rows(directory) if row["image"] in listed]
    budget, at, columns = Budget(), middle(rows), _columns(table)
    shown = images[images["image"].isin(listed)]
    metrics = [str(name) for name in table.columns[len(COLUMNS) :]]
    return {
        "title": printable(f"{table['model'].iloc[0]}, {len(images)} image{'s' * (len(images) != 1)}"),
        "methods": methods([name for name in dict.fromkeys(table["explainer"]) if name]),
        "summary": summarize(table) | {"images": len(images), "planned": _planned(directory, len(images))},
        "ended": _ended(table),
        "seconds": seconds,
        "directory": printable(directory.name),
        "entries": entries(directory, rows, at, budget),
        "budget": budget,
        "at": at,
        "steps": int(table.groupby("image", sort=False).size().max()),
        "most": MOST_IMAGES,
        "names": sorted({printable(str(name)) for name in shown["predicted_name"] if name}),
        "statuses": sorted(set(table["status"])),
        "columns": columns,
        "metrics": metrics,
        "headings": _headings(columns, metrics, outlined=any("outlines" in row for row in rows)),
        "scores": _scores(run, scored),
        "curves": curves(run),
        "failures": _failures(table),
        "meanings": {name: said for name, said in MEANINGS.items() if _NUMBERS.get(name, "sparsity") in columns},
        "environment": read_environment(directory),
        "command": command(read_environment(directory).get("command", ())),
        "files": {name: what for name, what in _FILES.items() if (directory / name).is_file()},
    }


def _planned(directory: Path, images: int) -> int:
    return read_manifest(directory).count if (directory / PLAN).is_file() else images


def _ended(table: pd.DataFrame) -> list[tuple[str, int]]:
    """How many maps ended how, in words."""
    words = {
        "converged": "converged: the residual is within the tolerance",
        "floor": "as exact as this precision allows",
        "stopped": "stopped early: the residual says how far they came",
        "computed": "computed as the method says, without a certificate",
    }
    counts = table["status"].value_counts()
    return [(said, int(counts[status])) for status, said in words.items() if status in counts]


def _columns(table: pd.DataFrame) -> set[str]:
    """Columns that say something in this run."""
    return {name for name in (*_NUMBERS.values(), "sparsity") if table[name].notna().any()}


@dataclass(frozen=True)
class _Heading:
    """Of a column of the images' table.

    Attributes:
        words: What it says.
        width: At least, in em.
        grows: Its share of the room that is left.
        number: Whether its cells are numbers.
    """

    words: str
    width: float
    grows: int = 1
    number: bool = True


def _headings(columns: set[str], metrics: Sequence[str], *, outlined: bool) -> list[_Heading]:
    """The columns of the images' table; their widths are given, for to find them a browser lays out every row first."""
    numbers = [name for name in _NUMBERS if name in ("lambda1", "largest eigenvalue", "residual")]
    known = [_Heading(name, 7) for name in numbers if _NUMBERS[name] in columns]
    known.insert(1 if "lambda1" in columns else 0, _Heading("sparsity", 7))
    return [
        _Heading("picture", 27 if outlined else 18.5, 0, False),
        _Heading("image", 9, 3, False),
        _Heading("predicted", 8, 2, False),
        _Heading("confidence", 7.5),
        *known,
        _Heading("certificate", 16, 4, False),
        *(_Heading(name, 3 + 0.6 * len(name)) for name in metrics),
    ]


def _scores(run: Run, scored: pd.DataFrame) -> list[dict[str, Any]]:
    """Each metric's mean and median with intervals, and what it is."""
    return [
        {
            "metric": row["metric"],
            "better": better(run.metrics[row["metric"]]["higher_is_better"]),
            "mean": _interval(row, "mean"),
            "median": _interval(row, "median"),
            "images": int(row["count"]),
            "sentence": run.metrics[row["metric"]].get("sentence", ""),
        }
        for row in scored.to_dict("records")
    ]


def _interval(row: dict[Any, Any], what: str) -> str:
    ends = ", ".join(number(row[f"{what}_{end}"]) for end in ("low", "high"))
    return f"{number(row[what])} [{ends}]"


def _failures(table: pd.DataFrame) -> Sequence[tuple[str, str, str]]:
    """Images without a map: id, status, reason."""
    failed = table[table["status"].isin(FAILED)].drop_duplicates("image")
    told = ((row.image, row.status, row.message) for row in failed.itertuples())
    return [tuple(printable(str(word)) for word in one) for one in islice(told, MOST_IMAGES)]  # type: ignore[misc]


def read_environment(directory: Path) -> dict[str, Any]:
    """Read what a run wrote of its machine; nothing where it did not."""
    path = directory / ENVIRONMENT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
