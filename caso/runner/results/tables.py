"""The tables that a run and a sweep print at their ends."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from caso.runner.cli.messages import printable
from caso.runner.results.layout import Column, print_table
from caso.runner.results.manifest import shown
from caso.runner.results.record import COLUMNS
from caso.runner.results.store import RESULTS, Run

FAILED = ("unreadable", "error", "not_finite")
_MOST_ROWS = 50  # images shown; all are in results.csv
_WIDTH = 150  # of output that is no terminal, unless the environment says otherwise


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, or, in a log, as ``COLUMNS`` says or wide enough for a table."""
    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(stderr=stderr, highlight=False, width=_WIDTH)


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Give a run's table in short.

    Args:
        table: A row per image and setting.

    Returns:
        Counts of images and failures, medians over the rows (of scores, too), and the worst residual.
    """
    good = table[~table["status"].isin(FAILED)]
    scores = table.columns[len(COLUMNS) :]
    names = ("confidence", "sparsity", "lambda_max", *scores)
    median = {f"median_{name}": _finite(good[name].median()) for name in names}
    return {
        "images": int(table["image"].nunique()),
        "failed_images": int(table.loc[table["status"].isin(FAILED), "image"].nunique()),
        **median,
        "worst_kkt_residual": _finite(good["kkt_residual"].max()),
        "median_hvps": _finite(good["hvps"].astype(float).median()),
        "not_converged": int((~good["status"].isin(("converged", "floor", "computed"))).sum()),
    }


def print_run(run: Run, console: Console, page: str | None = None) -> None:
    """Print a run's table, the failures with their reasons, and where its page, if any, and the results lie."""
    groups = [(printable(str(image)), rows) for image, rows in run.table.groupby("image", sort=False)]
    first = groups[:_MOST_ROWS]
    print_table(
        [
            _column("image", [image for image, _ in first], 0, folds=True),
            _column("predicted", [_predicted(rows.iloc[0]) for _, rows in first], 1, folds=True),
            _column("confidence", [_number(rows["confidence"].iloc[0], ".3f") for _, rows in first], 3),
            _column("lambda1", [_range(rows["lambda1"], ".1e") for _, rows in first], 7),
            _column("sparsity", [_range(rows["sparsity"], ".3f") for _, rows in first], 5),
            _column("largest eigenvalue", [_number(rows["lambda_max"].iloc[0], ".3g") for _, rows in first], 6),
            _column("residual", [_number(rows["kkt_residual"].max(), ".1e") for _, rows in first], 4),
            _column("HVPs", [_number(rows["hvps"].astype(float).max(), ".0f") for _, rows in first], 8),
            _column("seconds", [_number(rows["seconds"].iloc[0], ".2f") for _, rows in first], 9),
            _column("status", [", ".join(dict.fromkeys(rows["status"])) for _, rows in first], 2, folds=True),
        ],
        console,
        RESULTS,
    )
    if len(groups) > _MOST_ROWS:
        console.print(f"and {len(groups) - _MOST_ROWS} more images, in {RESULTS}")
    failures = run.table[run.table["status"].isin(FAILED)]
    if len(failures):
        console.print(Text(f"{failures['image'].nunique()} of {len(groups)} images have no map:", style="bold red"))
        for row in failures.drop_duplicates("image").head(_MOST_ROWS).itertuples():
            console.print(Text(f"  {printable(str(row.image))}: {row.status}: {printable(str(row.message))}"))
    if page is not None:
        print_page(run.directory / page, console)
    console.print(Text(f"results: {printable(str(shown(run.directory)))}"), soft_wrap=True)


def print_page(path: Path, console: Console) -> None:
    """Print where a page lies that a browser shows."""
    console.print(Text(f"page: {printable(str(shown(path)))}"), soft_wrap=True)


def print_sweep(jobs: pd.DataFrame, console: Console, directory: Path, file: str) -> None:
    """Print a sweep's table, a row a job, and where the results lie; ``file`` is the one that holds the table."""
    rows = jobs.to_dict("records")

    def numbers(heading: str, name: str, form: str, rank: int) -> Column:
        return _column(heading, [_number(job[name], form) for job in rows], rank)

    print_table(
        [
            _column("job", [str(job["job"]) for job in rows], 0),
            _column("overrides", [printable(str(job["overrides"])) for job in rows], 1, folds=True),
            numbers("images", "images", ".0f", 9),
            numbers("confidence", "median_confidence", ".3f", 5),
            numbers("sparsity", "median_sparsity", ".3f", 4),
            numbers("largest eigenvalue", "median_lambda_max", ".3g", 6),
            numbers("worst residual", "worst_kkt_residual", ".1e", 3),
            numbers("HVPs", "median_hvps", ".0f", 7),
            numbers("seconds", "seconds", ".1f", 8),
            Column("status", [_ended(job) for job in rows], 2, folds=True),
        ],
        console,
        file,
    )
    console.print("(medians over a job's images)")
    console.print(Text(f"results: {printable(str(shown(directory)))}"), soft_wrap=True)


def _column(heading: str, cells: Sequence[str], rank: int, *, folds: bool = False) -> Column:
    return Column(heading, [Text(cell) for cell in cells], rank, folds)


def _predicted(row: Any) -> str:
    name = str(row["predicted_name"])
    if row["target_name"] != row["predicted_name"]:
        name += f" (explained: {row['target_name']})"
    return printable(name)


def _ended(job: dict[Any, Any]) -> Text:
    """How a job ended, in words; in red where it did not finish."""
    status = str(job["status"])
    if job["message"]:
        status = f"{status}: {job['message']}"
    elif job["failed_images"] > 0:
        status = f"{status}, {job['failed_images']:.0f} images without a map"
    return Text(printable(status), style="" if job["status"] == "finished" else "red")


def _range(values: pd.Series, form: str) -> str:
    if len(values) == 1:
        return _number(values.iloc[0], form)
    return f"{_number(values.min(), form)} to {_number(values.max(), form)}"


def _number(value: Any, form: str) -> str:
    return "" if pd.isna(value) else format(float(value), form)


def _finite(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
