"""Figures and axes by matplotlib: what they show, that they share scales, and that they leave the user's settings."""

import re

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import caso
from caso import plot
from caso.plot.paths import spread
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def agg():
    """No display, and no figure left."""
    before = matplotlib.get_backend()
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shown(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def bar_limits(figure: Figure) -> list[tuple[float, float]]:
    return [ax.get_ylim() for ax in figure.axes if not ax.images and ax.get_label() == "<colorbar>"]


def test_a_map_is_drawn_on_given_axes_or_the_current_ones() -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    attribution = noise(3, 9, 7)
    assert plot.show_map(attribution, ax=left, style="signed", title="a $ b") is left
    np.testing.assert_array_equal(shown(left), plot.colour(attribution, "signed"))
    assert left.get_title() == "a $ b"
    limit = plot.limit_of([attribution], "signed")
    assert bar_limits(figure) == [pytest.approx((-limit, limit))]
    pyplot.sca(right)
    image = torch.rand(3, 9, 7)
    assert plot.show_map(attribution, image, colour_bar=False) is right
    np.testing.assert_array_equal(shown(right), plot.overlay(attribution, image))
    assert len(figure.axes) == 3


def test_magnitudes_begin_at_zero() -> None:
    plot.show_map(noise(3, 9, 7), style="magnitude", limit=2.0)
    assert bar_limits(pyplot.gcf()) == [(0.0, 2.0)]
    plot.show_map(torch.zeros(3, 4, 4), ax=pyplot.figure().subplots())  # which has no scale of its own
    pyplot.gcf().canvas.draw()


def test_regions_are_outlined_and_numbered_by_weight() -> None:
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[:, 4:], labels[6:] = 5, -1
    attribution = torch.zeros(3, 8, 8)
    attribution[:, :6, 4:], attribution[:, 2, 2] = -2, 0.1
    ax = plot.show_regions(attribution, labels, torch.rand(3, 8, 8), first=2)
    assert {text.get_text(): text.get_position()[0] >= 4 for text in ax.texts} == {"1": True, "2": False}
    (lines,) = [one for one in ax.collections if isinstance(one, LineCollection)]
    assert len(lines.get_segments()) == 6 + 8  # between the two, and above those of no region
    assert bar_limits(pyplot.gcf()) == [pytest.approx((0, 2.0))]
    only = plot.show_map(attribution, regions=labels[None].expand(3, 8, 8), first=1, ax=pyplot.figure().subplots())
    assert [text.get_text() for text in only.texts] == ["1"]
    nothing = plot.show_regions(0 * attribution, labels, torch.rand(3, 8, 8), ax=pyplot.figure().subplots())
    assert not nothing.texts


def test_compared_maps_share_a_scale_and_a_style() -> None:
    small, large = noise(2, 3, 9, 7), 10 * noise(2, 3, 9, 7, seed=1)
    images = torch.rand(2, 3, 9, 7)
    figure = plot.compare_maps({"first": small, "second": large}, images, titles=["one", "two"])
    pictures = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in pictures] == ["one", "first", "second", "two", "", ""]
    limit = plot.limit_of([small[0], large[0]], "magnitude")
    np.testing.assert_array_equal(shown(pictures[0]), plot.photograph(images[0]))
    np.testing.assert_array_equal(shown(pictures[1]), plot.colour(small[0], "magnitude", limit))
    np.testing.assert_array_equal(shown(pictures[2]), plot.colour(large[0], "magnitude", limit))
    assert bar_limits(figure)[0] == pytest.approx((0, limit))
    alone = plot.compare_maps({"first": small, "second": large}, shared=False)
    np.testing.assert_array_equal(shown(alone.axes[0]), plot.colour(small[0]))
    assert not bar_limits(alone)


def test_explanations_are_maps_too() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3))
    images = torch.rand(2, 2, 4, 4)
    first, second = caso.CAFO(network).explain(images), caso.CASO(network).explain(images)
    figure = plot.compare_maps({"first order": first, "second order": second}, images, overlay=True)
    limit = plot.limit_of([first.maps[1], second.maps[1]], "magnitude")
    drawn = [ax for ax in figure.axes if ax.images][5]
    np.testing.assert_array_equal(shown(drawn), plot.overlay(second.maps[1], images[1], "magnitude", limit))
    path = caso.CASO(network).path(images, n=5)
    for shared in (False, True):
        strip = plot.path_strip(path, images, n=3, shared=shared)
        of_first = [ax for ax in strip.axes if ax.images][: len(spread(path.sparsity[0].tolist(), 3)) + 1]
        assert "zeros" in of_first[-1].get_title()
        assert len(bar_limits(strip)) == 2 * shared


def test_a_contact_sheet_has_a_cell_an_image() -> None:
    maps, images = noise(5, 3, 9, 7), torch.rand(5, 3, 9, 7)
    figure = plot.contact_sheet(maps, images, titles=list("abcde"), columns=2, overlay=True)
    pictures = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in pictures[::2]] == list("abcde")
    np.testing.assert_array_equal(shown(pictures[9]), plot.overlay(maps[4], images[4]))
    assert len([ax for ax in plot.contact_sheet(maps[0]).axes if ax.images]) == 1


@pytest.mark.parametrize(("page", "having"), [("plot.md", "plot."), ("results.md", "explanation.plot(x)")])
def test_the_pages_examples_run(page: str, having: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    maps, x = noise(2, 3, 4, 4), torch.rand(8, 3, 4, 4)
    names = {"model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4)), "x": x, "caso": caso}
    names |= {"attribution": maps[0], "image": x[0], "one": maps[0], "another": maps[1]}
    chosen = [block for block in blocks if having in block]
    assert chosen
    for block in chosen:
        exec(block, names)
    assert all(ax.images for figure in map(pyplot.figure, pyplot.get_fignums()) for ax in figure.axes[:1])


def test_figures_are_saved_as_vectors_and_settings_stay(tmp_path) -> None:
    before = dict(matplotlib.rcParams)
    figure = plot.compare_maps({"größe 写真 \U0001f9a2 \udce9 $x$": noise(3, 9, 7)}, titles=["a\nb"])
    figure.savefig(tmp_path / "maps.pdf")
    figure.savefig(tmp_path / "maps.svg")
    assert (tmp_path / "maps.pdf").read_bytes().startswith(b"%PDF")
    assert dict(matplotlib.rcParams) == before


def test_maps_of_a_path_are_spread_by_sparsity_without_the_empty_end() -> None:
    assert spread([0.0, 0.01, 0.02, 0.03, 0.2, 0.4, 0.6, 0.8, 0.99, 1.0], 6) == [0, 4, 5, 6, 7, 8]
    assert spread([0.0, 1.0, 1.0], 6) == [0]
    assert spread([1.0, 1.0], 6) == [0, 1]
    assert spread([0.1, 0.5, 0.9], 1) == [0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plot.compare_maps({}), "must be of the same ones, and at least one method's"),
        (lambda: plot.compare_maps({"a": noise(2, 3, 4, 4), "b": noise(3, 3, 4, 4)}), r"maps of \[2, 3\] images"),
        (lambda: plot.contact_sheet(noise(2, 3, 4, 4), noise(3, 3, 4, 4)), "3 images, maps of 2"),
        (lambda: plot.contact_sheet(noise(2, 3, 4, 4), overlay=True), "overlay=True: needs images"),
        (lambda: plot.contact_sheet(noise(4, 4)), r"maps of shape \[4, 4\]: must be \[B, C, H, W\]"),
        (lambda: plot.contact_sheet(noise(2, 3, 4, 4), columns=0), "columns=0: must be at least 1"),
        (lambda: plot.show_map(noise(3, 4, 4), regions=torch.zeros(4, 5, dtype=torch.long)), "regions of shape"),
        (lambda: plot.show_map(noise(3, 4, 4), regions=torch.zeros(4, 4)), "must be whole numbers"),
    ],
)
def test_mistakes_are_one_line(call, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        call()
    assert "\n" not in str(error.value)
