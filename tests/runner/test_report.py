"""A run's page: what it says, that it is safe, that it stays small, and that it never costs a run."""

import base64
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from caso.results.words import number
from caso.runner import load_run
from caso.runner.cli.messages import printable
from caso.runner.results import report
from caso.runner.results.comparison import scores
from caso.runner.results.panel import Look
from caso.runner.results.report import write_report
from caso.runner.results.report_entries import Budget, entries, middle
from caso.runner.results.report_words import certificate, command, share
from caso.runner.results.segments import SegmentWriter
from caso.runner.results.store import read_rows
from caso.runner.results.thumbnails import MOST, draw_thumbnails, wanted
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
SOME = "dataset.names=[coffee,moon,retina]"
VOID = {"meta", "link", "img", "br", "input", "line", "polygon", "polyline"}
HOSTILE = [
    "a</script><script>document.title='broken'</script>", "<img src=x onerror=alert(1)>", "quote\"'>&amp;{{ 7*7 }}",
    "../../etc/passwd", "two\nlines", os.fsdecode(b"caf\xe9.jpg"), "\u202eevil", "写真 größe", "-->", "]]>",
]  # fmt: skip


class Node:
    """An element of a page."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Node | str] = []

    def all(self, tag: str, **attributes: str) -> list["Node"]:
        """The elements below with a tag, and with these attributes."""
        return [one for one in self.below() if one.tag == tag and attributes.items() <= one.attributes.items()]

    def below(self) -> Iterator["Node"]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.below()

    @property
    def text(self) -> str:
        texts = (child if isinstance(child, str) else child.text for child in self.children)
        return "".join(texts if self.tag not in ("script", "style") else ())


class Reader(HTMLParser):
    """Reads a page into elements, and fails where they are not nested."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(path: Path) -> Node:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert len(reader.open) == 1
    return reader.open[0]


def page_of(cli: Cli, *arguments: str, code: int = 0) -> tuple[Path, Node]:
    ended = cli(*arguments)
    assert ended.code == code, ended.err
    assert f"page: {ended.directory}/report.html\n" in ended.out
    assert_whole(ended.directory / "report.html")
    return ended.directory, read(ended.directory / "report.html")


def assert_whole(path: Path) -> None:
    """Every link leads to a file in the page's folder, every picture is there and named, and nothing is fetched."""
    page = read(path)
    for node in page.below():
        for key in ("href", "src"):
            target = node.attributes.get(key)
            if not target or target.startswith("#") or target == "data:,":
                continue
            if target.startswith("data:image/webp;base64,"):
                image(target)
            else:
                assert "//" not in target
                found = (path.parent / unquote(target, errors="surrogateescape")).resolve()
                assert found.is_file(), target
                assert found.is_relative_to(path.parent.resolve())
    assert all(one.attributes["alt"] or one.attributes["id"] == "picture-image" for one in page.all("img"))


def image(uri: str) -> Image.Image:
    opened = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    opened.load()
    return opened


def images(page: Node) -> list[Node]:
    return page.all("table", id="images")[0].all("tbody")[0].all("tr")


def cells(row: Node) -> dict[str, Node]:
    return {str(one.attributes["data-label"]): one for one in (*row.all("td"), *row.all("th"))}


def test_what_a_page_says_is_what_the_table_says(cli: Cli) -> None:
    directory, page = page_of(cli, *TINY, SOME, "order=second", "lambda1=1e-2")
    table = load_run(directory).table
    rows = [cells(row) for row in images(page)]
    assert [row["image"].text for row in rows] == table["image"].tolist()
    columns = {"confidence": "confidence", "lambda1": "lambda1", "sparsity": "sparsity", "residual": "kkt_residual"}
    columns["largest eigenvalue"] = "lambda_max"
    for label, column in columns.items():
        assert [float(str(row[label].attributes["data-value"])) for row in rows] == table[column].tolist()
        write = share if label in ("confidence", "sparsity") else number
        assert [row[label].text for row in rows] == [write(value) for value in table[column]]
    for row, told in zip(rows, table.to_dict("records"), strict=True):
        assert row["predicted"].text == told["predicted_name"]
        assert row["certificate"].text == certificate(told)
        assert row["picture"].all("a")[0].attributes["href"] == told["picture"]
        photograph, attribution = (image(str(one.attributes["src"])) for one in row["picture"].all("img"))
        assert photograph.size == attribution.size
        assert max(photograph.size) == 160
    text = page.text
    for words in ("tests.runner.networks:tiny", "CASO, second order", "seed 0", "torch", "of the gradient", SOME):
        assert words in text


def test_small_pictures_show_the_photograph_and_the_map() -> None:
    maps = np.zeros((3, 40, 20), dtype=np.float32)
    maps[:, :20] = 1
    drawn = draw_thumbnails(torch.full((3, 40, 20), 0.5), [maps, None], Look(overlay=False))
    assert drawn.maps[1] is drawn.regions is None
    photograph, attribution = (
        np.asarray(Image.open(io.BytesIO(one or b""))) for one in (drawn.photograph, drawn.maps[0])
    )
    assert photograph.shape == attribution.shape == (160, 80, 3)
    assert abs(photograph.astype(int) - 128).max() <= 3
    assert attribution[:70].mean() > attribution[90:].mean() + 100


def test_a_path_has_every_map_by_ascending_lambda1(cli: Cli) -> None:
    directory, page = page_of(cli, *TINY, SOME, "order=second", "regularization=path", "regularization.n=5")
    table = load_run(directory).table
    (slider,) = page.all("input", type="range")
    assert (slider.attributes["min"], slider.attributes["max"]) == ("0", "4")
    for row in images(page):
        (data,) = row.all("script")
        steps = json.loads(str(data.children[0]))
        own = table[table["image"] == cells(row)["image"].text].sort_values("lambda1")
        assert [step["lambda1"][1] for step in steps] == own["lambda1"].tolist()
        assert [step["sparsity"][1] for step in steps] == own["sparsity"].tolist()
        assert [step["words"] for step in steps] == [certificate(one) for one in own.to_dict("records")]
        assert all(image(step["map"]).size for step in steps)
        at = int(str(slider.attributes["value"]))
        assert cells(row)["certificate"].text == steps[at]["words"]
        assert row.all("img", **{"class": "map"})[0].attributes["src"] == steps[at]["map"]
    medians = table.assign(at=table.groupby("image")["lambda1"].rank()).groupby("at")["sparsity"].median()
    medians = medians.reset_index(drop=True)
    assert abs(medians[medians < 1] - 0.9).idxmin() == int(str(slider.attributes["value"]))


def test_scores_and_curves(cli: Cli) -> None:
    directory, page = page_of(cli, *TINY, SOME, "metrics=all", "metrics.names=[gini,insertion]")
    run = load_run(directory)
    rows = {
        row.all("th")[0].text: [one.text for one in row.all("td")]
        for row in page.all("section", id="scores")[0].all("tr")[1:]
    }
    assert list(rows) == ["gini ↑", "insertion ↑"]
    for (middle_of, median, count, sentence), known in zip(rows.values(), scores(run).to_dict("records"), strict=True):
        assert middle_of == f"{number(known['mean'])} [{number(known['mean_low'])}, {number(known['mean_high'])}]"
        assert median.startswith(number(known["median"]))
        assert (int(count), sentence) == (3, run.metrics[known["metric"]]["sentence"])
    for row in images(page):
        own = run.table[run.table["image"] == cells(row)["image"].text]
        assert float(str(cells(row)["gini"].attributes["data-value"])) == own["gini"].item()
    (line,) = page.all("polyline")
    heights = [float(point.split(",")[1]) for point in str(line.attributes["points"]).split()]
    mean_curve = run.curves("insertion")[1].mean(0)
    assert (
        np.corrcoef(heights, mean_curve[np.linspace(0, len(mean_curve) - 1, len(heights)).round().astype(int)])[0, 1]
        < -0.999
    )


def test_regions_are_shown(cli: Cli) -> None:
    _, page = page_of(cli, *TINY, SOME, "regions=patches", "regions.side=4", "regularization=auto", "regions.keep=3")
    for row in images(page):
        assert len(row.all("img")) == 3
        assert "3 of 9 regions" in cells(row)["sparsity"].text


def test_images_that_fail_are_told_with_their_reasons(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.new("RGB", (30, 30)).save(folder / "dark.png")
    Image.new("RGB", (30, 30), "white").save(folder / "light.png")
    (folder / "broken.png").write_text("no picture")
    entry = "model.entry=tests.runner.networks:nan_for_dark"
    directory, page = page_of(cli, "model=python", entry, f"image={folder}", code=1)
    told = {row.all("th")[0].text: row.text for row in page.all("section", id="failures")[0].all("tr")[1:]}
    table = load_run(directory).table
    failed = table[table["status"] != "converged"]
    assert set(told) == {"dark.png", "broken.png"} == set(failed["image"])
    for row in failed.itertuples():
        assert row.message in told[row.image]
    assert "2 of 3 images have no map" in page.text
    assert {cells(row)["image"].text: cells(row)["certificate"].text[:7] for row in images(page)} == {
        "broken.png": "no map:", "dark.png": "no map:", "light.png": "converg",
    }  # fmt: skip


def test_no_name_is_markup_or_leaves_the_directory(tmp_path: Path) -> None:
    run = tmp_path / "run"
    kept(run, HOSTILE)
    harmless = tmp_path / "harmless"
    kept(harmless, [str(i) for i in range(len(HOSTILE))])
    pages = []
    for directory in (run, harmless):
        assert written(directory)
        assert_whole(directory / "report.html")
        pages.append(read(directory / "report.html"))
    assert [node.tag for node in pages[0].below()] == [node.tag for node in pages[1].below()]
    assert [cells(row)["image"].text for row in images(pages[0])] == [printable(name) for name in HOSTILE]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["harmless", "run"]
    assert pages[0].all("title")[0].text == pages[1].all("title")[0].text


def kept(directory: Path, names: list[str], settings: int = 1, size: int = 0) -> None:
    """Write a run's results, everything in them called by the names; with thumbnails of so many bytes, if any."""
    writer = SegmentWriter(directory)
    for place, name in enumerate(names):
        rows: list[dict[str, Any]] = []
        for setting in range(settings):
            row = {"image": name, "predicted_name": name, "target_name": name, "label_name": name, "model": "tiny"}
            row |= {"explainer": "caso", "status": "converged", "message": "", "sparsity": setting / settings}
            row |= {"lambda1": float(setting), "kkt_residual": 1e-6, "confidence": 0.5, "map": "kept", "picture": ""}
            if size:
                row["thumbnail"] = writer.keep_bytes(bytes(size))
                row["photograph"] = writer.keep_bytes(bytes(size))
            rows.append(row)
        writer.commit(place, rows)
    writer.close()


def written(directory: Path) -> bool:
    run = load_run(directory)
    return write_report(run, scores(run))


def test_thumbnails_stop_where_the_page_would_grow_too_large(tmp_path: Path) -> None:
    kept(tmp_path, ["a", "b", "c"], size=300)
    rows = read_rows(tmp_path)
    budget = Budget(bytes=1500)
    assert [bool(one.photograph) for one in entries(tmp_path, rows, 0, budget)] == [True, True, False]
    assert budget.without == 1
    assert wanted(MOST // 2 - 1, 1)
    assert not wanted(MOST // 2, 1)
    assert wanted(MOST // 21 - 1, 20)
    assert not wanted(MOST // 21, 20)


def test_long_tables_are_cut_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_IMAGES", 3)
    kept(tmp_path, [str(i) for i in range(5)])
    assert written(tmp_path)
    page = read(tmp_path / "report.html")
    assert [cells(row)["image"].text for row in images(page)] == ["0", "1", "2"]
    assert "The table has the first 3 of 5 images" in page.text


def test_the_slider_begins_where_maps_are_nearest_to_nine_zeros_in_ten() -> None:
    own = {"a": [0.2, 0.7, 1.0], "b": [0.1, 0.7, 0.95], "c": [0.0, 0.87, 1.0]}
    rows = [{"image": name, "lambda1": at, "sparsity": own[name][at]} for name in own for at in (2, 0, 1)]
    assert middle(rows) == 1  # medians 0.1, 0.7 and 1.0, which shows nothing
    assert middle([]) == 0


def test_an_interrupted_run_leaves_a_page_and_the_rest_renews_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SegmentWriter.commit

    def interrupted(self: SegmentWriter, batch: int, rows: list[dict[str, Any]]) -> None:
        if batch == 2:
            raise KeyboardInterrupt
        commit(self, batch, rows)

    arguments = (*TINY, SOME, "batch_size=1", "hydra.run.dir=here")
    with monkeypatch.context() as here:
        here.setattr("caso.runner.results.segments.SegmentWriter.commit", interrupted)
        here.setattr("signal.signal", lambda *a: None)  # Lightning ignores further Ctrl-C for good
        assert cli(*arguments).code == 130
    page = read(Path("here/report.html"))
    assert "This run is not finished: 2 of 3 images so far" in page.text
    assert len(images(page)) == 2
    assert_whole(Path("here/report.html"))
    _, page = page_of(cli, *arguments)
    assert "not finished" not in page.text
    assert len(images(page)) == 3


def test_a_page_that_cannot_be_written_costs_one_line(cli: Cli) -> None:
    Path("here/report.html").mkdir(parents=True)
    ended = cli(*TINY, SOME, "hydra.run.dir=here")
    assert ended.code == 0
    assert ended.err.count("report.html cannot be written: ") == 1
    assert "Traceback" not in ended.err
    assert "page: " not in ended.out
    assert load_run("here").summary["status"] == "finished"


def test_without_jinja2_a_run_goes_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "caso.runner.results.report_templates", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ended = cli(*TINY, SOME)
    assert ended.code == 0
    (line,) = (line for line in ended.err.splitlines() if "report.html" in line)
    assert line.startswith("report.html cannot be written: ")
    assert "jinja2" in line
    assert not (ended.directory / "report.html").exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"status": "converged", "kkt_residual": 6.04e-6, "error_bound": 0.0123},
         "converged: residual 6.0e-6 of the gradient; at most 0.0123 from the exact map"),
        ({"status": "converged", "kkt_residual": 1e-4, "error_bound": 2.0, "certificate": "estimate"},
         "converged: residual about 1.0e-4 of the gradient; by estimate at most 2 from the exact map"),
        ({"status": "floor", "kkt_residual": 2e-3, "floor": 0.05, "error_bound": 3e-7},
         "as exact as this precision allows: residual 2.0e-3 of the gradient, of which rounding hides up to 0.05;"
         " at most 3.0e-7 from the exact map"),
        ({"status": "stopped", "kkt_residual": 0.5, "order": "second", "curvature_exact": "no"},
         "stopped early: residual 0.5 of the gradient (of an approximate Hessian)"),
        ({"status": "computed", "sparsity": 0.0},
         "computed as the method says: there was nothing to solve, so there is no certificate"),
        ({"status": "unreadable", "message": "the file\nis empty"}, "no map: the file\\nis empty"),
        ({"status": "not_finite", "message": ""}, "no map: not finite"),
    ],
)  # fmt: skip
def test_certificates_in_words(row: dict[str, Any], words: str) -> None:
    assert certificate(row) == words


def test_numbers_and_commands_are_written_for_reading() -> None:
    values = (0, 6.04e-6, 0.01234, 12.345, 1410.4, 1.4e7, float("nan"), None)
    assert [number(value) for value in values] == ["0", "6.0e-6", "0.0123", "12.3", "1410", "1.4e7", "", ""]
    assert [share(value) for value in (0.00123, 1.0, None)] == ["0.001", "1.000", ""]
    assert command(["/somewhere/run.py", "image=a b.jpg"]) == "python run.py 'image=a b.jpg'"
    assert command(["/bin/caso", "order=second"]) == "caso order=second"
    assert command(["/lib/caso/__main__.py"]) == "python -m caso"
    assert command([]) == ""
