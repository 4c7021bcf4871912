"""The report: everything in one directory, a page that stands alone, and text that stays text."""

import csv
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from experiments.experiment import Table, find_experiments
from experiments.formats import latex, markdown, number, readable, write_table
from experiments.gallery import SOURCE
from experiments.report import write_report
from experiments.reproduce import reproduce
from tests.experiments.conftest import NAMES

LARGEST = 8_000_000


class Page(HTMLParser):
    """Collects tags, attributes and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for _, attributes in self.tags if attribute in attributes]


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return (report / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file(page: str, report: Path) -> None:
    assert len(page) < LARGEST
    parsed = Page(page)
    assert all(source.startswith("data:") for source in parsed.values("src"))
    for tag, attributes in parsed.tags:
        for target in (attributes.get("href"), attributes.get("xlink:href")):
            if target is None or target.startswith(("data:", "#")):
                continue
            assert tag == "a"
            assert (report / target).is_file(), target  # for those who have the directory, too
    assert not re.search(r"@import|url\((?!#)", page)
    assert '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'' in page


def test_ids_are_unique_and_links_within_lead_somewhere(page: str) -> None:
    parsed = Page(page)
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    for target in parsed.values("href") + parsed.values("xlink:href"):
        if target.startswith("#"):
            assert target[1:] in ids
    for target in re.findall(r"url\(#([^)]*)\)", page):
        assert target in ids


def test_every_experiment_has_its_section(page: str) -> None:
    for one in find_experiments():
        section = page.split(f'<section id="{one.name}">')[1].split("</section>")[0]
        assert html.escape(one.question).replace("&#x27;", "&#39;") in section
        assert "<svg" in section
        assert "<table" in section
        assert f"python run.py -m experiment={one.name} size=smoke" in section
        assert "<b>Expected</b>" in section
        assert "<b>Found: " in section
        assert "<b>Chosen</b>" in section
        assert "seed 0" in section


def test_nothing_is_judged_at_smoke_size(
    page: str, report: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((report / "results.json").read_text())["experiments"]
    assert [one["verdict"]["holds"] for one in results.values()] == [None] * len(results)
    assert reproduce("smoke", report, ["confidence_pair"], overrides, lambda arguments: 1) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.endswith("finished before")]
    assert [line.split(". ")[0] for line in lines] == [f"{name}: not judged" for name in results]
    words = (report / "report.md").read_text(encoding="utf-8")
    assert words.count("not judged") == 2 * len(results)
    assert page.count("not judged") == 2 * len(results)
    for text in (page, words):
        assert "nothing is judged" in text
        assert not re.search(r"(>|Found: |\*\*)(not )?as expected", text)


def test_results_of_other_sizes_are_judged(report: Path, tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "group_features").symlink_to(report / "sweeps" / "group_features")
    chosen = [one for one in find_experiments() if one.name == "group_features"]
    assert write_report(chosen, tmp_path, "default")
    content = json.loads((tmp_path / "results.json").read_text())["experiments"]["group_features"]
    assert content["verdict"]["holds"] is not None


def test_names_with_markup_are_text(page: str, report: Path) -> None:
    assert "onerror=document" in page
    tags = Page(page).tags
    assert not [attributes for _, attributes in tags if "onerror" in attributes]
    assert ("b", {}) in tags
    assert "<i>" not in page.split("<main>")[1]
    words = (report / "report.md").read_text(encoding="utf-8")
    outside = re.sub(r"^    .*$", "", words, flags=re.MULTILINE)
    assert "<img" not in outside
    assert "&lt;img" in outside


def test_the_gallery_has_every_step_of_both_orders(page: str) -> None:
    found = re.search(r'id="gallery-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert "<" not in found[1]
    data = json.loads(found[1])
    assert {image["name"] for image in data["images"]} <= {f"{name}.png" for name in NAMES} | set(NAMES)
    for image in data["images"]:
        assert set(image["orders"]) == {"first", "second"}
        for steps in image["orders"].values():
            assert [step["lambda1"] for step in steps] == data["lambda1s"]
            sparsities = [step["scores"]["sparsity"] for step in steps]
            assert sparsities == sorted(sparsities)
            assert all(step["map"].startswith("data:image/webp;base64,") for step in steps)


def test_every_table_and_figure_is_in_files(report: Path) -> None:
    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    results = json.loads((report / "results.json").read_text(), parse_constant=never)
    assert results["size"] == "smoke"
    assert results["environment"]["versions"]["torch"]
    for name, content in results["experiments"].items():
        assert content["command"].startswith(f"python run.py -m experiment={name}")
        assert content["seed"] == 0
        for table in content["tables"]:
            path = report / "tables" / f"{name}_{table}"
            with path.with_suffix(".csv").open(newline="") as file:
                assert len(list(csv.reader(file))) == len(content["tables"][table]["rows"]) + 1
            assert path.with_suffix(".tex").read_text().startswith("\\begin{tabular}")
            assert path.with_suffix(".md").read_text().startswith("| ")
    figures = {path.stem for path in (report / "figures").glob("*.pdf")}
    assert figures == {path.stem for path in (report / "figures").glob("*.png")}
    assert f"{SOURCE}_path" in figures


def test_cells_are_short_and_intervals_stand_beside_their_value(tmp_path: Path) -> None:
    frame = pd.DataFrame([{"name": "a_b|<i>", "x": 0.12345, "x_low": 0.1, "x_high": float("nan"), "n": 3}])
    assert readable(frame) == (["name", "x", "n"], [["a_b|<i>", "0.123 [0.100, ]", "3"]])
    assert [number(value) for value in (0.0, 1234.5, -0.00001, float("nan"), None, True)] == [
        "0", "1.23e+03", "-1e-05", "", "", "yes",
    ]  # fmt: skip
    write_table(Table("t", "A table.", frame), tmp_path / "t")
    assert "a\\_b\\|&lt;i&gt;" in (tmp_path / "t.md").read_text()
    assert "a\\_b\\textbar{}\\textless{}i" in (tmp_path / "t.tex").read_text()
    assert pd.read_csv(tmp_path / "t.csv")["x"].tolist() == [0.12345]


def test_latex_and_markdown_of_nothing() -> None:
    assert latex(["a"], []).count("\\hline") == 3
    assert markdown(["a"], []) == "| a |\n| --- |\n"
