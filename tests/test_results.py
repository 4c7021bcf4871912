"""Results as batches, words, tables, pages and files."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import caso
from caso.extras import install_command
from tests.conftest import ROOT

LABELS = torch.arange(36).view(6, 6) // 12


class Small(nn.Module):
    """Four classes of images of 2 x 6 x 6 entries."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(8, 72, generator=generator, dtype=torch.float64) / 4)
        self.second = nn.Parameter(torch.randn(4, 8, generator=generator, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.flatten(1) @ self.first.T) @ self.second.T


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def explanation() -> caso.Explanation:
    return caso.CASO(Small().double(), lambda1=1e-3).explain(images())


@pytest.fixture(scope="module")
def path() -> caso.PathExplanation:
    return caso.CASO(Small().double()).path(images(3), n=6)


def same(a: caso.Explanation, b: caso.Explanation) -> None:
    """Every figure of two results."""
    assert type(a) is type(b)
    tensors = (
        "maps", "target", "confidence", "probabilities", "lambda1", "lambda2_effective", "lambda_max", "sparsity",
        "kkt_residual", "error_bound", "floor", "hvps", "gradient_norm",
    )  # fmt: skip
    for name in tensors:
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True)
    for name in ("status", "certificate", "solver", "curvature", "curvature_exact", "evidence", "images"):
        assert getattr(a, name) == getattr(b, name)
    assert (a.labels is None) == (b.labels is None)


def test_one_image_of_a_batch_is_its_own_explanation(explanation: caso.Explanation) -> None:
    alone = caso.CASO(Small().double(), lambda1=1e-3).explain(images()[3:4])
    third = explanation[3]
    torch.testing.assert_close(third.maps, alone.maps)
    torch.testing.assert_close(third.kkt_residual, explanation.kkt_residual[3:4], rtol=0, atol=0)
    assert third.images == (1, 2, 6, 6)
    same(explanation[-2], third)


def test_slices_and_iteration_keep_the_images_order(explanation: caso.Explanation) -> None:
    assert len(explanation) == 5
    assert len(explanation[1:4]) == 3
    torch.testing.assert_close(explanation[1:4].maps, explanation.maps[1:4])
    torch.testing.assert_close(explanation[::-1].maps, explanation.maps.flip(0))
    assert explanation[1:4].status == explanation.status[1:4]
    assert len(explanation[5:]) == 0
    each = list(explanation)
    assert len(each) == 5
    torch.testing.assert_close(torch.cat([one.maps for one in each]), explanation.maps)
    for wrong in (5, -6):
        with pytest.raises(IndexError, match=f"image {wrong}: there are 5"):
            explanation[wrong]


def test_paths_are_indexed_by_image_too(path: caso.PathExplanation) -> None:
    assert len(path) == 3
    assert path[1].maps.shape == (1, 6, 2, 6, 6)
    torch.testing.assert_close(path[1:].lambda1, path.lambda1[1:])
    same(path[1].explanations[2], path.explanations[2][1])


def test_regions_follow_their_images() -> None:
    explained = caso.CASO(Small().double(), lambda1=1e-3).explain(images(), regions=LABELS)
    for ours, theirs in zip(explained[2:4].regions, explained.regions[2:4], strict=True):
        torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("kind", ["explanation", "path", "regions", "first order", "one"])
def test_what_is_saved_comes_back(
    kind: str, explanation: caso.Explanation, path: caso.PathExplanation, tmp_path: Path
) -> None:
    result = {
        "explanation": lambda: explanation,
        "path": lambda: path,
        "regions": lambda: caso.CASO(Small().double()).explain(images(), regions=LABELS),
        "first order": lambda: caso.CAFO(Small().double()).explain(images()),
        "one": lambda: explanation[2],
    }[kind]()
    file = tmp_path / "result.pt"
    result.save(file)
    same(caso.load(file), result)
    same(type(result).load(str(file)), result)
    assert torch.load(file, weights_only=True)["kind"] == type(result).__name__


def test_one_image_is_saved_without_the_others(explanation: caso.Explanation, tmp_path: Path) -> None:
    many = caso.CAFO(Small().double()).explain(images(200))
    many.save(tmp_path / "all.pt")
    many[0].save(tmp_path / "one.pt")
    assert (tmp_path / "one.pt").stat().st_size < (tmp_path / "all.pt").stat().st_size / 10


def test_other_files_are_refused_in_one_line(explanation: caso.Explanation, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        caso.load(tmp_path / "nothing.pt")
    explanation.save(tmp_path / "right.pt")
    with pytest.raises(ValueError, match="holds Explanation, must be PathExplanation"):
        caso.PathExplanation.load(tmp_path / "right.pt")
    (tmp_path / "text.pt").write_text("nothing of the kind")
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pt")
    torch.save(torch.ones(2), tmp_path / "tensor.pt")
    torch.save(Small(), tmp_path / "module.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "right.pt").read_bytes()[:-200])
    for name in ("text", "weights", "tensor", "module", "cut"):
        with pytest.raises(ValueError, match=f"{name}.pt: holds no explanation that was saved by caso") as error:
            caso.load(tmp_path / f"{name}.pt")
        assert "\n" not in str(error.value)
    torch.save(torch.load(tmp_path / "right.pt") | {"format": "caso explanation 7"}, tmp_path / "later.pt")
    with pytest.raises(ValueError, match="its format is caso explanation 7; this version reads caso explanation 1"):
        caso.load(tmp_path / "later.pt")


def test_tables_have_the_columns_of_a_runs_results(explanation: caso.Explanation, path: caso.PathExplanation) -> None:
    from caso.runner.results.record import COLUMNS

    table = explanation.to_pandas()
    assert list(table.columns) == [name for name in COLUMNS if name in set(table.columns)]
    assert table["image"].tolist() == [0, 1, 2, 3, 4]
    assert table["sparsity"].tolist() == explanation.sparsity.tolist()
    assert set(table["order"]) == {"second"}
    along = path.to_pandas()
    assert along["image"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert along["kkt_residual"].tolist() == path.kkt_residual.flatten().tolist()
    assert along["status"].tolist() == [status for of_image in path.status for status in of_image]


def test_the_line_says_what_is_known(explanation: caso.Explanation, path: caso.PathExplanation) -> None:
    assert re.fullmatch(
        r"Explanation of 5 images \[2, 6, 6\], second order \(\w+\), lambda1 0.001: 5 converged,"
        r" residual at most [\d.e-]+",
        repr(explanation),
    )
    assert repr(explanation[0]).startswith("Explanation of 1 image [2, 6, 6]")
    assert "6 values of lambda1, " in repr(path)
    assert repr(explanation[:0]) == "Explanation of 0 images [2, 6, 6], second order (gauss_newton)"
    assert len(repr(path)) < 200


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def test_notebooks_show_thumbnails_and_certificates(explanation: caso.Explanation, path: caso.PathExplanation) -> None:
    page = explanation._repr_html_()
    assert [one.size for one in pictures(page)] == [(96, 96)] * 5
    assert page.count("converged: residual") == 5
    assert 'alt="map of image 4"' in page
    along = path._repr_html_()
    assert 3 <= len(pictures(along)) <= 15
    assert along.count("converged: residual") == 3
    many = caso.CAFO(Small().double()).explain(images(40))._repr_html_()
    assert len(pictures(many)) == 12
    assert "and 28 more images" in many
    assert "<table>" in explanation[:0]._repr_html_()


def test_what_is_no_picture_has_a_table_without_thumbnails() -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    page = caso.CAFO(network).explain(torch.rand(2, 5, dtype=torch.float64))._repr_html_()
    assert page.count("converged: residual") == 2
    assert not pictures(page)


def test_results_draw_themselves(explanation: caso.Explanation, path: caso.PathExplanation) -> None:
    from matplotlib import pyplot

    figure = explanation.plot(images())
    assert len(figure.axes) == 2 * 6  # two rows of three images beside their maps
    assert figure.axes[0].get_title().startswith("class ")
    strip = path.plot(n=3)
    assert "zeros" in strip.axes[0].get_title()
    assert np.asarray(strip.axes[0].images[0].get_array()).shape == (6, 6, 3)
    with pytest.raises(ValueError, match="4 images, maps of 5"):
        explanation.plot(images(4))
    pyplot.close("all")


def test_what_is_missing_is_one_line() -> None:
    code = """
import sys, torch, caso
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "pandas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
found = caso.CAFO(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))).explain(torch.rand(1, 3, 2, 2))
print(repr(found))
page = found._repr_html_()
print("<img" in page, 'thumbnails need matplotlib: <code>pip install' in page)
for call in (found.plot, found.to_pandas):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Explanation of 1 image")
    assert lines[1:] == [
        "False True",
        f"caso.plot: needs the extra plot; {install_command('plot')} installs it",
        f"to_pandas: needs the extra run; {install_command('run')} installs it",
    ]
