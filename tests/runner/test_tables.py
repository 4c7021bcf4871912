"""The tables at the end: at every width whole numbers, the important columns, and where the rest is."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console

from caso.runner import load_run
from caso.runner.results.comparison import print_scores
from caso.runner.results.segments import SegmentWriter
from caso.runner.results.tables import print_run, print_sweep
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
WIDTHS = (60, 80, 120, 150)
ROW = {
    "target_name": "Egyptian cat", "predicted_name": "Egyptian cat", "confidence": 0.377, "lambda1": 1e-4,
    "sparsity": 0.001, "lambda_max": 1410.4, "kkt_residual": 6.9e-5, "hvps": 7, "seconds": 0.61, "status": "converged",
}  # fmt: skip
HEADINGS = ("confidence", "lambda1", "sparsity", "eigenvalue", "residual", "HVPs", "seconds", "status")


def printed(width: int, show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False))
    text = out.getvalue()
    assert all(len(line.rstrip()) <= width for line in text.splitlines() if not line.startswith("results: ")), text
    assert "…" not in text
    return text


def table_of(folder: Path, rows: list[dict[str, Any]], width: int) -> str:
    writer = SegmentWriter(folder)
    for batch, row in enumerate(rows):
        where = writer.keep(torch.ones(1, 2, 2).numpy())
        writer.commit(batch, [ROW | {"map": where} | row])
    writer.close()
    return printed(width, lambda console: print_run(load_run(folder), console))


def shown(text: str) -> set[str]:
    """The numbers' headings that stand above columns."""
    head = text.split("(")[0]
    return {heading for heading in HEADINGS if heading in head}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_says_the_same_at_every_width(tmp_path: Path, width: int) -> None:
    rows = [{"image": "hubble_deep_field"}, {"image": "moon", "confidence": 0.455, "kkt_residual": 3.9e-5}]
    rows[1] |= {"predicted_name": "nematode", "target_name": "nematode"}
    rows[1] |= {"hvps": 4, "sparsity": 0.027, "lambda_max": 16.3, "seconds": 0.25}
    text = table_of(tmp_path, rows, width)
    for said in ("hubble_deep_field", "Egyptian cat", "0.377", "0.455", "6.9e-05", "3.9e-05", "0.027", "converged",
                 "1.0e-04"):  # fmt: skip
        assert said in text
    missing = set(HEADINGS) - shown(text)
    assert missing == {
        60: {"lambda1", "status", "eigenvalue", "HVPs", "seconds"}, 80: {"lambda1", "status", "seconds"}, 120: set(),
        150: set(),
    }[width]  # fmt: skip
    if width == 80:
        assert "(in every row: lambda1 1.0e-04, status converged)\n(not shown, but in results.csv: seconds)" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_status_that_differs_stays(tmp_path: Path, width: int) -> None:
    text = table_of(tmp_path, [{"image": "a"}, {"image": "b", "status": "stopped", "confidence": 0.5}], width)
    assert "status" in shown(text)
    assert "stopped" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_are_folded_and_numbers_are_not(tmp_path: Path, width: int) -> None:
    name = "/".join(f"folder{i}" for i in range(20)) + ".JPEG"
    predicted = "black and gold garden spider, Argiope aurantia"
    text = table_of(tmp_path, [{"image": name, "predicted_name": predicted}, {"image": "b", "confidence": 0.5}], width)
    assert {"confidence", "residual"} <= shown(text) or width == 60
    assert "0.377" in text
    assert "0.500" in text


def test_a_path_has_its_ranges_whole(tmp_path: Path) -> None:
    path = [{"image": "a", "lambda1": value, "sparsity": zeros} for value, zeros in ((1e-5, 0.0), (0.22, 0.999))]
    writer = SegmentWriter(tmp_path)
    writer.commit(0, [ROW | row for row in path])
    writer.close()
    text = printed(80, lambda console: print_run(load_run(tmp_path), console))
    assert "1.0e-05 to 2.2e-01" in text
    assert "0.000 to 0.999" in text


JOB = {"failed_images": 0.0, "images": 11.0, "median_confidence": 0.455, "median_sparsity": 0.001,
       "median_lambda_max": 1410.4, "worst_kkt_residual": 6.9e-4, "median_hvps": 5.0, "seconds": 12.5}  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_a_sweep_says_the_same_at_every_width(tmp_path: Path, width: int) -> None:
    none = dict.fromkeys(JOB, float("nan"))
    jobs = [
        JOB | {"job": 0, "overrides": "order=first lambda1=1e-05", "status": "finished", "message": ""},
        none | {"job": 1, "overrides": "lambda1=-1", "status": "failed", "message": "lambda1=-1: must be at least 0"},
    ]
    text = printed(width, lambda console: print_sweep(pd.DataFrame(jobs), console, tmp_path, "sweep.csv"))
    assert {"failed:", "6.9e-04"} <= set(text.split())
    assert ("seconds" in text.split("(not shown, but in sweep.csv")[0]) == (width >= 120)


def scored(methods: int, metrics: int) -> pd.DataFrame:
    rows = [
        {"method": f"method_{m}", "metric": f"faithfulness_{n}", "better": "higher", "count": 9, "missing": 0,
         "mean": 0.25 + m / 100, "mean_low": 0.2, "mean_high": 0.3, "gradients": 7.0, "best": False}
        for m in range(methods) for n in range(metrics)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("width", WIDTHS)
def test_scores_of_one_run(width: int) -> None:
    text = printed(width, lambda console: print_scores(scored(1, 9), console, "scores.csv"))
    assert text.count("0.250 [0.200, 0.300]") == 9
    assert "(method_0: means over 9 images, with 95 % bootstrap intervals)" in " ".join(text.split())


@pytest.mark.parametrize(("width", "metrics"), [(60, 3), (80, 4), (120, 7)])
def test_a_comparison_loses_its_intervals_before_its_metrics(width: int, metrics: int) -> None:
    text = printed(width, lambda console: print_scores(scored(13, 9), console, "comparison.csv"))
    assert len(re.findall(r"^method_\d+ ", text, flags=re.MULTILINE)) == 13
    assert text.split("(not shown, but in comparison.csv: ")[0].count("faithfulness") == metrics
    assert "[0.200, 0.300]" not in text
    assert "95 % bootstrap intervals are in comparison.csv)" in " ".join(text.split())
    few = printed(width, lambda console: print_scores(scored(3, 2), console, "comparison.csv"))
    assert few.count("[0.200, 0.300]") == 6


@pytest.mark.parametrize("columns", [None, "80"])
def test_into_a_file(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: str | None) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    ended = cli(*TINY, "order=second", "dataset.names=[moon,hubble_deep_field]")
    table = ended.out.split("results: ")[0]
    assert "\x1b[" not in table
    assert "…" not in table
    assert max(len(line.rstrip()) for line in table.splitlines()) <= int(columns or 150)
    assert ("seconds" in table.split("(")[0]) is (columns is None)
