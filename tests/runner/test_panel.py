"""The pictures of a run: tiles, captions in any script, regions, sheets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caso import plot
from caso.runner.results.panel import Look, Panel, RegionOverlay, contact_sheet, draw

EDGE = 8  # of the picture, around its tiles


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def tile(picture: Image.Image, index: int, width: int, height: int) -> np.ndarray:
    left = EDGE + index * (width + EDGE)
    return np.asarray(picture.crop((left, EDGE, left + width, EDGE + height)))


@pytest.mark.parametrize("title", ["plain", "größe 写真 \U0001f9a2", "new\nline\x1b[31m", "\udce9", "long " * 99, ""])
def test_a_picture_with_any_name(title: str) -> None:
    panel = Panel(torch.rand(3, 30, 20), [noise(3, 30, 20)], [""], title, title)
    picture = draw(panel)
    assert picture.mode == "RGB"
    caption = np.asarray(picture)[-2 * 18 - EDGE :]
    assert (caption.min() < 100) == bool(title)  # something is written
    assert (caption[:, -EDGE:] == 255).all()  # not beyond the border


def test_maps_are_drawn_as_the_look_says() -> None:
    pixels, attribution = torch.rand(3, 230, 250), noise(3, 230, 250)
    panel = Panel(pixels, [attribution], [""], "title", "details")
    for look, expected in (
        (Look(), plot.overlay(attribution, pixels)),
        (Look("signed"), plot.overlay(attribution, pixels, "signed")),
        (Look("signed", overlay=False), plot.colour(attribution, "signed")),
        (Look("grey"), plot.colour(attribution, "grey")),
    ):
        picture = draw(panel, look)
        np.testing.assert_array_equal(tile(picture, 0, 250, 230), plot.photograph(pixels))
        np.testing.assert_array_equal(tile(picture, 1, 250, 230), expected)


def test_the_maps_of_a_path_share_a_style() -> None:
    x = torch.linspace(-1, 1, 230)
    smooth = (x[:, None] * x)[None]
    maps = [smooth, 100 * noise(1, 230, 230)]
    picture = draw(Panel(torch.rand(3, 230, 230), maps, ["", ""], "title", "details"), Look(overlay=False))
    np.testing.assert_array_equal(tile(picture, 1, 230, 230), plot.colour(smooth, "magnitude"))


def test_a_zero_map_has_a_note() -> None:
    panel = Panel(torch.ones(3, 230, 230), [torch.zeros(3, 230, 230)], [""], "title", "details")
    drawn = tile(draw(panel, Look(overlay=False)), 1, 230, 230)
    assert (drawn < 10).all(2).mean() > 0.98
    assert (drawn > 200).any()


@pytest.mark.parametrize(("size", "side"), [(None, 224), (100, 100), (28, 28), (10, 10), (300, 300)])
def test_small_images_are_enlarged_unless_the_size_is_given(size: int | None, side: int) -> None:
    maps = [torch.randn(1, 28, 56)] * 4
    picture = draw(Panel(torch.rand(1, 28, 56), maps, ["a", "b", "c", "d"], "title", "details"), Look(size=size))
    assert picture.width == max(5 * 2 * side + 4 * EDGE, 2 * 224 + EDGE) + 2 * EDGE
    assert picture.height == side + EDGE // 2 + 3 * 18 + 2 * EDGE


def test_a_contact_sheet_of_unequal_pictures(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(300, 200), (500, 400), (300, 200)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size, "red").save(paths[-1])
    assert contact_sheet(paths).size == (1500, 400)
    assert contact_sheet(paths[:1], "and more").height > 200
    Image.new("RGB", (5000, 100)).save(paths[0])
    assert contact_sheet(paths).width <= 1600


def overlay() -> RegionOverlay:
    labels = np.zeros((8, 8), np.int64)
    labels[:4, 4:], labels[4:, :4], labels[4:, 4:] = 1, 2, -1
    return RegionOverlay(labels, {1: 2.0, 0: 0.5})


@pytest.mark.parametrize("size", [None, 100, 8, 3])
def test_a_panel_with_regions_has_one_tile_more(size: int | None) -> None:
    pixels, maps, look = torch.rand(3, 8, 8), [noise(3, 8, 8)] * 6, Look(size=size)
    plain = draw(Panel(pixels, maps, [""] * 6, "title", "details"), look)
    side = size or 224
    more = draw(Panel(pixels, maps, [""] * 6, "title", "details", overlay()), look)
    assert more.width == max(plain.width, 8 * side + 7 * EDGE + 2 * EDGE)
    empty = RegionOverlay(np.zeros((8, 8), np.int64), {})
    assert draw(Panel(pixels, maps, [""] * 6, "title", "details", empty), look).size == more.size
    assert overlay().caption == "weight, 0 to 2.0e+00"


def test_regions_are_outlined_from_within_and_numbered() -> None:
    picture = draw(Panel(torch.full((3, 8, 8), 0.5), [noise(3, 8, 8)], [""], "title", "details", overlay()))
    drawn = tile(picture, 1, 224, 224)
    assert (drawn[111, :111] == 255).all()  # the lower border of region 0
    assert (drawn[112:, :111].max(2) < 60).all()  # what is not in the map is dark, and has no outline
    for rows, columns in ((slice(40, 70), slice(40, 70)), (slice(40, 70), slice(150, 190))):
        inside = drawn[rows, columns]
        assert (inside == 255).all(2).any()  # its rank, in white
        assert (inside == 0).all(2).any()  # with a black edge
