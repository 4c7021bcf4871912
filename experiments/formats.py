"""Tables for reading, for papers and for programs."""

import html
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from caso.runner.cli.messages import printable
from experiments.experiment import Table


def number(value: Any) -> str:
    """Write a cell: three digits of a number, nothing of a missing one, any other text without control characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if value == 0:
            return "0"
        return f"{value:.3f}" if 0.01 <= abs(value) < 10 else f"{value:.3g}"
    return "" if value is None or value is pd.NA else printable(str(value))


def readable(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Lay a table out for reading: its head and its rows, an interval beside the value that it belongs to."""
    ends = {f"{column}_{end}" for column in frame.columns for end in ("low", "high")}
    shown = [str(column) for column in frame.columns if column not in ends]
    rows = []
    for row in frame.to_dict("records"):
        cells = []
        for column in shown:
            cell = number(row[column])
            if cell and f"{column}_low" in row:
                cell += f" [{number(row[f'{column}_low'])}, {number(row[f'{column}_high'])}]"
            cells.append(cell)
        rows.append(cells)
    return [column.replace("_", " ") for column in shown], rows


def is_number(cell: str) -> bool:
    """Tell whether a cell of :func:`readable` is to be set flush right."""
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]\d+)?( \[.*\])?", cell) is not None


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown; markup in its cells is shown as text."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_in_markdown, line)) + " |" for line in lines) + "\n"


def _in_markdown(cell: str) -> str:
    escaped = html.escape(cell, quote=False)
    for character in "\\|`*_[":
        escaped = escaped.replace(character, f"\\{character}")
    # An interval's bracket begins no link, and escaped it is hard to read.
    return escaped.replace(" \\[", " [")


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in LaTeX."""
    flush = ["r" if any(is_number(row[i]) for row in rows) else "l" for i in range(len(head))]
    lines = [" & ".join(map(_in_latex, row)) + " \\\\" for row in rows]
    body = [f"\\begin{{tabular}}{{{''.join(flush)}}}", "\\hline", " & ".join(map(_in_latex, head)) + " \\\\", "\\hline"]
    return "\n".join([*body, *lines, "\\hline", "\\end{tabular}"]) + "\n"


_LATEX = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
    ">": "\\textgreater{}", "|": "\\textbar{}", **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def _in_latex(cell: str) -> str:
    return "".join(_LATEX.get(character, character) for character in cell)


def write_table(table: Table, path: Path) -> None:
    """Write a table as CSV (all digits), Markdown and LaTeX.

    Args:
        table: Of a result.
        path: Without an ending.
    """
    head, rows = readable(table.frame)
    files = {"csv": table.frame.to_csv(index=False), "md": markdown(head, rows), "tex": latex(head, rows)}
    for ending, content in files.items():
        path.with_name(f"{path.name}.{ending}").write_text(content, encoding="utf-8", errors="backslashreplace")
