"""Scores in short, of one run and of a sweep's methods: tables for reading, papers and programs, and a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.text import Text

from caso.metrics import summarise
from caso.runner.cli.messages import printable
from caso.runner.results.layout import Column, choose, print_table
from caso.runner.results.store import Run

SCORES = "scores"
COMPARISON = "comparison"
_FIGURES = ("mean", "mean_low", "mean_high", "median", "median_low", "median_high")
_BETTER = {True: "higher", False: "lower", None: ""}
_COLUMNS = ["method", "metric", "better", "count", "missing", *_FIGURES, "gradients", "best"]


def scores(run: Run, method: str | None = None) -> pd.DataFrame:
    """Summarise a run's scores, over its images.

    Args:
        run: With metrics, and one setting an image.
        method: What to call it; the explainer's name where it is None.

    Returns:
        A row a metric: ``method``, ``metric``, ``better`` (higher, lower, or empty), ``count`` and ``missing`` images,
        mean and median with 95 % bootstrap intervals, ``gradients``, the method's median cost, and ``best``, which
        :func:`compare` finds out. Empty for a path, whose maps are not one method's.
    """
    names = [name for name in run.metrics if name in run.table]
    if not names or run.table["image"].duplicated().any():
        return pd.DataFrame(columns=_COLUMNS)
    cost = float(run.table["gradients"].median())
    rows = []
    for name in names:
        short = summarise(torch.tensor(run.table[name].to_numpy(dtype=float)))
        figures = (short.mean, *short.mean_interval, short.median, *short.median_interval)
        better = _BETTER[run.metrics[name]["higher_is_better"]]
        called = method or str(run.table["explainer"].iloc[0])
        rows.append([called, name, better, short.count, short.missing, *figures, cost, False])
    return pd.DataFrame(rows, columns=_COLUMNS)


def compare(runs: Sequence[tuple[str, Run]]) -> pd.DataFrame:
    """Put the scores of several runs under one another.

    Args:
        runs: Names and runs.

    Returns:
        The rows of :func:`scores`. ``best`` holds where a method's mean is the best of a metric and, for every other
        method, the 95 % bootstrap interval of the differences image by image excludes zero.
    """
    scored = [(table, run) for name, run in runs if not (table := scores(run, name)).empty]
    if not scored:
        return pd.DataFrame(columns=_COLUMNS)
    table = pd.concat([one for one, _ in scored], ignore_index=True)
    method_of_row = [run.table.set_index("image") for one, run in scored for _ in range(len(one))]
    for _, rows in table.groupby("metric"):
        table.loc[rows.index, "best"] = _best(rows, [method_of_row[i] for i in rows.index])
    return table


def _best(rows: pd.DataFrame, images: Sequence[pd.DataFrame]) -> list[bool]:
    """Tell which one of a metric's rows, if any, is better than every other; `images` are their tables by image."""
    metric, better = str(rows["metric"].iloc[0]), rows["better"].iloc[0]
    if not better or len(rows) == 1 or rows["mean"].isna().all():
        return [False] * len(rows)
    means = rows["mean"].to_numpy()
    first = int(np.nanargmax(means) if better == "higher" else np.nanargmin(means))
    intervals = [
        summarise(torch.tensor((images[first][metric] - other[metric]).dropna().to_numpy(float))).mean_interval
        for index, other in enumerate(images)
        if index != first
    ]
    apart = all(low > 0 or high < 0 for low, high in intervals)
    return [apart and index == first for index in range(len(rows))]


def wide(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """Lay scores out for reading: a row a method, a column a metric, means with their intervals.

    Args:
        table: Of :func:`scores` or :func:`compare`.
        form: ``text``, ``markdown`` or ``latex``; the best method of a column is bold in the last two.
    """
    signs = {"higher": " ↑", "lower": " ↓", "": ""}
    if form == "latex":
        signs = {"higher": " $\\uparrow$", "lower": " $\\downarrow$", "": ""}
    bold = {"text": "{}", "markdown": "**{}**", "latex": "\\textbf{{{}}}"}[form]
    methods = list(dict.fromkeys(table["method"]))
    result: dict[str, list[str]] = {"method": [_escaped(name, form) for name in methods]}
    result["gradients"] = [f"{table.loc[table['method'] == name, 'gradients'].iloc[0]:.3g}" for name in methods]
    for metric, rows in table.groupby("metric", sort=False):
        better = str(rows["better"].iloc[0])
        by_method = {str(row.method): row for row in rows.itertuples()}
        cells = []
        for name in methods:
            row: Any = by_method.get(name)
            if row is None:
                cells.append("")
                continue
            mean = f"{row.mean:.3f}"
            marked = bold.format(mean) if row.best else mean
            cells.append(f"{marked} [{row.mean_low:.3f}, {row.mean_high:.3f}]")
        result[_escaped(str(metric), form) + signs[better]] = cells
    return pd.DataFrame(result)


def write_scores(table: pd.DataFrame, directory: Path, name: str) -> None:
    """Write scores as CSV (all figures), Markdown and LaTeX (means with intervals); nothing where there are none."""
    if table.empty:
        return
    table.to_csv(directory / f"{name}.csv", index=False)
    markdown = wide(table, "markdown")
    lines = [markdown.columns, ["---"] * len(markdown.columns), *markdown.itertuples(index=False)]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    (directory / f"{name}.md").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    latex = wide(table, "latex")
    rows = [" & ".join(map(str, line)) + " \\\\" for line in latex.itertuples(index=False)]
    head = " & ".join(map(str, latex.columns)) + " \\\\"
    body = "\n".join(
        ["% \\usepackage{booktabs}", f"\\begin{{tabular}}{{l{'r' * (len(latex.columns) - 1)}}}", "\\toprule", head,
         "\\midrule", *rows, "\\bottomrule", "\\end{tabular}"]
    )  # fmt: skip
    (directory / f"{name}.tex").write_text(body + "\n", encoding="utf-8", errors="backslashreplace")


def print_scores(table: pd.DataFrame, console: Console, file: str) -> None:
    """Print means with 95 % intervals, a row a method, or a row a metric of one method; nothing where there are none.

    Args:
        table: Of :func:`scores` or :func:`compare`.
        console: Where to. Where the intervals do not fit, the means stand alone.
        file: That holds all figures.
    """
    if table.empty:
        return
    shown = wide(table, "text")
    who = ""
    if len(shown) == 1:
        who = f"{shown['method'].iloc[0]}: "
        metrics = shown.columns[1:]
        shown = pd.DataFrame({"metric": metrics, "mean": [shown[metric].iloc[0] for metric in metrics]})
    columns = _columns(shown)
    complete = len(choose(columns, console.width)) == len(columns)
    if not complete:
        numbers = list(shown.columns[1:])
        columns = _columns(shown.assign(**{name: [cell.split(" [")[0] for cell in shown[name]] for name in numbers}))
    print_table(columns, console, file)
    intervals = "with 95 % bootstrap intervals" if complete else f"95 % bootstrap intervals are in {file}"
    console.print(Text(f"({who}means over {table['count'].max()} images, {intervals})"))


def _columns(shown: pd.DataFrame) -> list[Column]:
    """A table's columns for the terminal; the further to the right, the sooner left out."""
    return [
        Column(str(name), [Text(cell) for cell in shown[name]], rank, folds=rank == 0)
        for rank, name in enumerate(shown.columns)
    ]


def _escaped(text: str, form: str) -> str:
    safe = printable(text)
    if form == "latex":
        for character in "&%$#_{}":
            safe = safe.replace(character, f"\\{character}")
        return safe
    return safe.replace("|", "\\|") if form == "markdown" else safe
