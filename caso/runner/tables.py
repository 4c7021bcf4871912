"""The tables that a run and a sweep print at their ends."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from caso.runner.errors import printable
from caso.runner.store import Run

FAILED = ("unreadable", "error", "not_finite")
_MOST_ROWS = 50  # images shown; all are in results.csv
_WIDTH = 150  # of output that is no terminal


def make_console(*, stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, or wide enough for a table in a log."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH)


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Give a run's table in short.

    Args:
        table: A row per image and setting.

    Returns:
        Counts of images and failures, medians over the rows, and the worst residual.
    """
    good = table[~table["status"].isin(FAILED)]
    median = {f"median_{name}": _finite(good[name].median()) for name in ("confidence", "sparsity", "lambda_max")}
    return {
        "images": int(table["image"].nunique()),
        "failed_images": int(table.loc[table["status"].isin(FAILED), "image"].nunique()),
        **median,
        "worst_kkt_residual": _finite(good["kkt_residual"].max()),
        "median_hvps": _finite(good["hvps"].astype(float).median()),
        "not_converged": int((~good["status"].isin(("converged", "floor", "computed"))).sum()),
    }


def print_run(run: Run, console: Console) -> None:
    """Print a run's table, the failures with their reasons, and where the results lie."""
    table = Table(header_style="bold", expand=False)
    table.add_column("image", overflow="fold")
    table.add_column("predicted", overflow="fold")
    for name in ("confidence", "lambda1", "sparsity", "largest eigenvalue", "residual", "HVPs", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("status")
    groups = list(run.table.groupby("image", sort=False))
    for image, rows in groups[:_MOST_ROWS]:
        table.add_row(*[Text(cell) for cell in _cells(str(image), rows)])
    console.print(table)
    if len(groups) > _MOST_ROWS:
        console.print(f"and {len(groups) - _MOST_ROWS} more images, in results.csv")
    failures = run.table[run.table["status"].isin(FAILED)]
    if len(failures):
        console.print(Text(f"{failures['image'].nunique()} of {len(groups)} images have no map:", style="bold red"))
        for row in failures.drop_duplicates("image").head(_MOST_ROWS).itertuples():
            console.print(Text(f"  {printable(str(row.image))}: {row.status}: {printable(str(row.message))}"))
    console.print(Text(f"results: {printable(_shown(run.directory))}"), soft_wrap=True)


def print_sweep(jobs: pd.DataFrame, console: Console, directory: Path) -> None:
    """Print a sweep's table, a row a job, and where the results lie."""
    table = Table(header_style="bold", expand=False)
    table.add_column("job", justify="right")
    table.add_column("overrides", overflow="fold")
    for name in ("images", "confidence", "sparsity", "largest eigenvalue", "worst residual", "HVPs", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("status", overflow="fold")
    for job in jobs.to_dict("records"):
        status = str(job["status"])
        if job["message"]:
            status = f"{status}: {job['message']}"
        elif job["failed_images"] > 0:
            status = f"{status}, {job['failed_images']:.0f} images without a map"
        table.add_row(
            str(job["job"]),
            Text(printable(str(job["overrides"]))),
            _number(job["images"], ".0f"),
            _number(job["median_confidence"], ".3f"),
            _number(job["median_sparsity"], ".3f"),
            _number(job["median_lambda_max"], ".3g"),
            _number(job["worst_kkt_residual"], ".1e"),
            _number(job["median_hvps"], ".0f"),
            _number(job["seconds"], ".1f"),
            Text(printable(status), style="" if job["status"] == "finished" else "red"),
        )
    console.print(table)
    console.print("(medians over a job's images)")
    console.print(Text(f"results: {printable(_shown(directory))}"), soft_wrap=True)


def _cells(image: str, rows: pd.DataFrame) -> list[str]:
    first = rows.iloc[0]
    confidence = _number(first["confidence"], ".3f")
    statuses = list(dict.fromkeys(rows["status"]))
    name = str(first["predicted_name"])
    if first["target_name"] != first["predicted_name"]:
        name += f" (explained: {first['target_name']})"
    return [
        printable(image),
        printable(name),
        confidence,
        _range(rows["lambda1"], ".1e"),
        _range(rows["sparsity"], ".3f"),
        _number(first["lambda_max"], ".3g"),
        _number(rows["kkt_residual"].max(), ".1e"),
        _number(rows["hvps"].astype(float).max(), ".0f"),
        _number(first["seconds"], ".2f"),
        ", ".join(statuses),
    ]


def _range(values: pd.Series, form: str) -> str:
    if len(values) == 1:
        return _number(values.iloc[0], form)
    return f"{_number(values.min(), form)} to {_number(values.max(), form)}"


def _number(value: Any, form: str) -> str:
    return "" if pd.isna(value) else format(float(value), form)


def _finite(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _shown(path: Path) -> str:
    """Show a path below the current directory without it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
