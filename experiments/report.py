"""One report over all experiments: a page made for looking, and the same for papers and programs."""

import json
import logging
import math
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from caso.runner.cli.messages import describe, printable
from caso.runner.results.manifest import write_json
from caso.runner.results.report_templates import environment
from experiments import gallery
from experiments.drawing import svg, write_figure
from experiments.experiment import Experiment, Result, Verdict
from experiments.formats import is_number, markdown, readable, write_table
from experiments.sweep import Sweep

log = logging.getLogger(__name__)

RESULTS = "results.json"
_TEMPLATES = Path(__file__).resolve().parent / "template"
_MOST_ROWS = 40
"""Rows of a table in ``report.md``; longer tables are in their own files."""
UNJUDGED = "smoke"
"""The size at which experiments show that they run, and nothing else."""
WORDS = {True: "as expected", False: "not as expected", None: "not judged"}
"""For verdicts."""


def write_report(experiments: Sequence[Experiment], output: Path, size: str, overrides: Sequence[str] = ()) -> bool:
    """Read the sweeps below ``output/sweeps`` and write the report beside them.

    Args:
        experiments: Whose sweeps were begun.
        output: Where ``report.html``, ``report.md``, ``results.json``, ``tables`` and ``figures`` go.
        size: Of the experiments.
        overrides: With which they were run.

    Returns:
        Whether every experiment has a result, from complete runs.
    """
    entries = [_entry(one, output, size, overrides) for one in experiments]
    machine: dict[str, Any] = next((entry["environment"] for entry in entries if entry["environment"]), {})
    shown = next((entry["gallery"] for entry in entries if entry["gallery"]), None)
    for folder in ("tables", "figures"):
        (output / folder).mkdir(exist_ok=True)
    for entry in entries:
        _write_files(entry, output)
    head = {
        "size": size,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "overrides": list(overrides),
        "environment": {key: machine.get(key) for key in ("device", "python", "platform", "versions")},
    }
    write_json(output / RESULTS, head | {"experiments": {e["experiment"].name: _plain(e) for e in entries}})
    templates = _templates()
    content = {"head": head, "entries": entries, "gallery": shown, "words": WORDS}
    for name in ("report.html", "report.md"):
        page = templates.get_template(f"{name}.j2").render(content)
        (output / name).write_text(page, encoding="utf-8", errors="backslashreplace")
    return not any(entry["failures"] for entry in entries)


def _entry(one: Experiment, output: Path, size: str, overrides: Sequence[str]) -> dict[str, Any]:
    """What the report says of an experiment; one without a result must not cost the others theirs."""
    command = printable(" ".join(["python run.py -m", f"experiment={one.name}", f"size={size}", *overrides]))
    entry: dict[str, Any] = {"experiment": one, "command": command, "failures": [], "seed": None, "seconds": None,
                             "environment": {}, "gallery": None}  # fmt: skip
    try:
        sweep = Sweep(output / "sweeps" / one.name)
        entry |= {"failures": sweep.failures, "seed": sweep.environment.get("seed"), "seconds": sweep.seconds}
        entry["environment"] = sweep.environment
        entry["result"] = _judged(one.read(sweep), size)
        if one.name == gallery.SOURCE:
            entry["gallery"] = gallery.make_gallery(sweep)
    except Exception as error:
        log.debug("%s", traceback.format_exc())
        entry["failures"] = [*entry["failures"], f"no result: {type(error).__name__}: {describe(error)}"]
        entry.setdefault("result", Result([], [], {}, Verdict(None, "There is no result.")))
    return entry


def _judged(result: Result, size: str) -> Result:
    """Take the verdict back where one or two images gave it."""
    return replace(result, verdict=replace(result.verdict, holds=None)) if size == UNJUDGED else result


def _write_files(entry: dict[str, Any], output: Path) -> None:
    name, result = entry["experiment"].name, entry["result"]
    for table in result.tables:
        write_table(table, output / "tables" / f"{name}_{table.name}")
    for picture in result.pictures:
        write_figure(picture.figure, output / "figures" / f"{name}_{picture.name}")


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """What programs and pages read of an experiment."""
    one, result = entry["experiment"], entry["result"]
    return {
        "title": one.title,
        "expectation": one.expectation,
        "verdict": {"holds": result.verdict.holds, "sentence": result.verdict.sentence},
        "numbers": _finite(result.numbers),
        "tables": {
            table.name: dict(zip(("head", "rows"), readable(table.frame), strict=True)) for table in result.tables
        },
        "command": entry["command"],
        "seed": entry["seed"],
        "seconds": entry["seconds"],
        "failures": entry["failures"],
    }


def _finite(value: Any) -> Any:
    """The same without numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _templates() -> Environment:
    """Templates, with filters that show every value as text in Markdown, too, whatever markup it holds."""
    made = environment(_TEMPLATES)
    made.globals["most_rows"] = _MOST_ROWS
    made.filters["readable"] = readable
    made.filters["is_number"] = is_number
    made.filters["markdown"] = lambda table: Markup(markdown(*readable(table.frame)))
    made.filters["words"] = lambda words: escape(words, quote=False).replace("|", "\\|").replace("`", "\\`")
    made.filters["svg"] = lambda picture, name: Markup(svg(picture.figure, f"{name}-{picture.name}"))
    made.filters["minutes"] = lambda s: "" if s is None else f"{s:.0f} s" if s < 120 else f"{s / 60:.1f} min"
    return made


def read_results(path: Path) -> dict[str, Any]:
    """Read ``results.json`` back."""
    return dict(json.loads(path.read_text(encoding="utf-8")))
