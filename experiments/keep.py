"""The results that the project keeps: small copies of a report's, and the pages that quote them."""

import re
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from caso.runner.results.manifest import write_json
from experiments.experiment import ROOT, find_experiments
from experiments.formats import markdown
from experiments.report import RESULTS, WORDS, read_results

KEPT = ROOT / "experiments" / "results"
PAGES = (ROOT / "docs" / "experiments.md", ROOT / "docs" / "regions.md", ROOT / "README.md")
_BLOCK = re.compile(r"(<!-- results: ([\w. ]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
_LARGEST = 200_000
"""Bytes of a figure that is kept as it is; of a larger one, a smaller picture is."""
_WIDEST = 1100
"""Pixels of that picture."""


def keep(output: Path) -> None:
    """Copy a report's tables, small figures and numbers to :data:`KEPT`, and renew what pages quote.

    What is kept of experiments that the report does not have stays.

    Args:
        output: The report's directory.
    """
    for folder in ("tables", "figures"):
        (KEPT / folder).mkdir(parents=True, exist_ok=True)
    new = read_results(output / RESULTS)
    old = read_results(KEPT / RESULTS)["experiments"] if (KEPT / RESULTS).is_file() else {}
    for name in new["experiments"]:
        for path in KEPT.glob(f"*/{name}_*"):
            path.unlink()
    joined = old | new["experiments"]
    names = [one.name for one in find_experiments() if one.name in joined]
    write_json(KEPT / RESULTS, new | {"experiments": {name: joined[name] for name in names}})
    for path in sorted((output / "tables").glob("*.csv")) + sorted((output / "tables").glob("*.md")):
        shutil.copy(path, KEPT / "tables" / path.name)
    for path in sorted((output / "figures").glob("*.png")):
        if path.stat().st_size <= _LARGEST:
            shutil.copy(path, KEPT / "figures" / path.name)
            continue
        with Image.open(path) as picture:
            picture.thumbnail((_WIDEST, _WIDEST))
            picture.convert("RGB").save(KEPT / "figures" / f"{path.stem}.webp", quality=70, method=6)
    results = read_results(KEPT / RESULTS)
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def renewed(page: str, results: dict[str, Any]) -> str:
    """Write the quoted results of a page anew.

    Between ``<!-- results: WHAT -->`` and ``<!-- end of results -->`` stands what ``WHAT`` names: ``verdicts`` (of
    all), ``EXPERIMENT.verdict``, or ``EXPERIMENT.TABLE``.

    Args:
        page: The page's text.
        results: Of :func:`experiments.report.read_results`.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{quote(block[2], results)}{block[3]}", page)


def quote(what: str, results: dict[str, Any]) -> str:
    """Write one block of results, in Markdown.

    Raises:
        KeyError: If the results hold nothing of the name.
    """
    experiments = results["experiments"]
    if what == "verdicts":
        rows = [
            [one["title"], WORDS[one["verdict"]["holds"]], one["verdict"]["sentence"]] for one in experiments.values()
        ]
        return markdown(["experiment", "found", "numbers"], rows)
    name, _, part = what.partition(".")
    if part == "verdict":
        return f"{experiments[name]['verdict']['sentence']}\n"
    table = experiments[name]["tables"][part]
    return markdown(table["head"], table["rows"])
