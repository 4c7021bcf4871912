"""What the project keeps of the results, and the pages that quote it."""

import json
import re
from pathlib import Path

import pytest

from experiments import keep
from experiments.experiment import find_experiments
from experiments.keep import KEPT, PAGES, quote, renewed
from experiments.report import RESULTS, read_results


def test_what_is_kept_is_small_and_whole(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- results: hessian_impact.bins -->\nold\n<!-- end of results -->\nAfter.\n")
    monkeypatch.setattr(keep, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(keep, "PAGES", (page,))
    keep.keep(report)
    assert (tmp_path / "kept" / RESULTS).is_file()
    assert list((tmp_path / "kept" / "figures").glob("hessian_impact_*"))
    text = page.read_text()
    assert text.startswith("Before.\n<!-- results: hessian_impact.bins -->\n| confidence |")
    assert text.endswith("<!-- end of results -->\nAfter.\n")
    assert "old" not in text
    assert renewed(text, read_results(report / RESULTS)) == text


def test_what_is_quoted_must_exist(report: Path) -> None:
    results = read_results(report / RESULTS)
    assert quote("hessian_impact.verdict", results).endswith(".\n")
    assert quote("verdicts", results).count("\n") == len(find_experiments()) + 2
    with pytest.raises(KeyError):
        quote("hessian_impact.nothing", results)


NOT_KEPT = {"reach", "regions_networks"}
"""Experiments that have not run to their ends at size default, as docs/experiments.md says."""


@pytest.mark.skipif(not (KEPT / RESULTS).is_file(), reason="no results are kept yet: scripts/reproduce.sh keep=true")
def test_pages_quote_the_results_that_are_kept() -> None:
    results = read_results(KEPT / RESULTS)
    assert results["size"] == "default"
    assert set(results["experiments"]) == {one.name for one in find_experiments()} - NOT_KEPT
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert renewed(text, results) == text, f"{page.name} quotes other numbers; see scripts/reproduce.sh keep=true"


@pytest.mark.skipif(not (KEPT / RESULTS).is_file(), reason="no results are kept yet: scripts/reproduce.sh keep=true")
def test_what_is_kept_has_tables_figures_and_versions() -> None:
    results = json.loads((KEPT / RESULTS).read_text())
    assert results["environment"]["versions"]["torch"]
    for name, content in results["experiments"].items():
        assert content["failures"] == []
        assert all((KEPT / "tables" / f"{name}_{table}.csv").is_file() for table in content["tables"])
        assert list((KEPT / "figures").glob(f"{name}_*"))
    assert sum(path.stat().st_size for path in KEPT.rglob("*") if path.is_file()) < 5_000_000


def test_pages_have_no_unknown_blocks() -> None:
    names = {one.name for one in find_experiments()}
    for page in PAGES:
        for what in re.findall(r"<!-- results: ([\w. ]+) -->", page.read_text(encoding="utf-8")):
            assert what == "verdicts" or what.split(".")[0] in names
