"""A sweep's page: its jobs, their pages, and the same images side by side."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.conftest import Ended
from tests.runner.networks import TINY
from tests.runner.test_report import assert_whole, cells, read

Cli = Callable[..., Ended]


def test_a_sweep_has_one_page_over_its_jobs(cli: Cli) -> None:
    subdir = "hydra.sweep.subdir='job #${hydra.job.num} 100% <b>?'"
    ended = cli("-m", *TINY, "dataset.names=[moon,coffee]", "order=first,second", "lambda1=1e-3,1e-2", subdir)
    assert ended.code == 0, ended.err
    assert f"page: {ended.directory}/report.html\n" in ended.out
    assert_whole(ended.directory / "report.html")
    page = read(ended.directory / "report.html")
    jobs = pd.read_csv(ended.directory / "sweep.csv")
    (table,) = page.all("table", **{"class": "cards"})
    rows = [cells(row) for row in table.all("tbody")[0].all("tr")]
    assert [row["settings"].text for row in rows] == jobs["overrides"].tolist()
    assert len({row["settings"].all("a")[0].attributes["href"] for row in rows}) == 4
    for label, column in (("sparsity", "median_sparsity"), ("largest residual", "worst_kkt_residual")):
        assert [float(str(row[label].attributes["data-value"])) for row in rows] == jobs[column].tolist()
    (beside,) = page.all("table", **{"class": "beside"})
    assert [line.all("th")[0].text for line in beside.all("tbody")[0].all("tr")] == ["moon", "coffee"]
    for line in beside.all("tbody")[0].all("tr"):
        maps = [cell.all("img")[0].attributes["src"] for cell in line.all("td")]
        assert len(maps) == len(set(maps)) == 4
    for directory in jobs["directory"]:
        assert_whole(ended.directory / directory / "report.html")


def test_scores_of_a_sweep_are_compared_on_its_page(cli: Cli) -> None:
    ended = cli("-m", *TINY, "dataset.names=[moon,coffee]", "explainer=cafo,edges", "metrics=complexity")
    assert ended.code == 0, ended.err
    assert_whole(ended.directory / "report.html")
    page = read(ended.directory / "report.html")
    (section,) = page.all("section", id="scores")
    assert [row.all("td")[0].text for row in section.all("tbody")[0].all("tr")] == ["cafo", "edges"]
    assert section.all("img")[0].attributes["src"] == "comparison.png"


def test_a_job_that_fails_is_told_and_has_no_page(cli: Cli) -> None:
    ended = cli("-m", *TINY, "dataset.names=[moon]", "target=0,99")
    assert ended.code == 1
    page = read(ended.directory / "report.html")
    assert_whole(ended.directory / "report.html")
    good, failed = (cells(row) for row in page.all("table", **{"class": "cards"})[0].all("tbody")[0].all("tr"))
    assert good["settings"].all("a")
    assert not failed["settings"].all("a")
    assert failed["status"].text == "failed: target=99: a class index goes from 0 to 3"


def test_a_page_that_cannot_be_written_costs_a_sweep_one_line(cli: Cli) -> None:
    Path("here/report.html").mkdir(parents=True)
    ended = cli("-m", *TINY, "dataset.names=[moon]", "target=0,1", "hydra.sweep.dir=here")
    assert ended.code == 0
    assert ended.err.count("report.html cannot be written: ") == 1
    assert "page: " not in ended.out
    assert Path("here/sweep.csv").is_file()
