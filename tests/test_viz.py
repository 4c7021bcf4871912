"""Pictures: the paper's rendering, and everything that must not break it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from caso.viz import Panel, contact_sheet, draw, heat, heat_image, pixels_image
from caso.viz_regions import RegionOverlay, colours, draw_regions, scale_bar


def test_heat_is_the_papers_rendering() -> None:
    generator = torch.Generator().manual_seed(0)
    attribution = torch.randn(3, 40, 50, generator=generator, dtype=torch.float64)
    mass = attribution.abs().sum(dim=0).numpy()
    expected = np.clip(mass / np.percentile(mass, 99, method="inverted_cdf"), 0, 1)
    np.testing.assert_allclose(heat(attribution), expected, atol=1e-6)


def test_heat_of_zero_is_zero_and_of_very_sparse_is_visible() -> None:
    attribution = torch.zeros(3, 20, 20)
    assert torch.equal(heat(attribution), torch.zeros(20, 20))
    attribution[1, 3, 4] = -1e-12
    rendered = heat(attribution)
    assert rendered[3, 4] == 1
    assert rendered.sum() == 1


def test_heat_survives_what_is_not_finite() -> None:
    attribution = torch.tensor([[[float("nan"), float("inf"), 1.0]]])
    assert torch.equal(heat(attribution), torch.tensor([[0.0, 0.0, 1.0]]))


def test_heat_does_not_depend_on_scale_or_sign() -> None:
    attribution = torch.randn(2, 9, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(heat(attribution), heat(-1e-30 * attribution.double()))
    assert heat_image(attribution).mode == "L"


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pixels_of_any_number_of_channels(channels: int) -> None:
    pixels = torch.zeros(channels, 4, 6)
    pixels[:, 1, 2] = 1
    image = pixels_image(pixels)
    assert (image.mode, image.size) == ("RGB", (6, 4))
    assert image.getpixel((2, 1)) == (255, 255, 255)
    assert image.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("title", ["plain", "größe 写真 \U0001f9a2", "new\nline\x1b[31m", "\udce9", "long " * 99, ""])
def test_a_picture_with_any_name(title: str) -> None:
    panel = Panel(torch.rand(3, 30, 20), [torch.randn(3, 30, 20)], [""], title, title)
    assert draw(panel).mode == "RGB"


def test_a_zero_map_is_black_with_a_note() -> None:
    blank = torch.zeros(3, 230, 230)
    panel = Panel(torch.ones(3, 230, 230), [blank], [""], "title", "details")
    tile = np.asarray(draw(panel).crop((8 + 230 + 8, 8, 8 + 230 + 8 + 230, 8 + 230)))
    assert (tile == 0).mean() > 0.98
    assert (tile > 60).any()


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    picture = draw(Panel(torch.rand(1, 28, 28), [torch.randn(1, 28, 28)] * 2, ["a", "b"], "title", "details"))
    assert picture.width == 3 * 224 + 2 * 8 + 2 * 8


def test_a_contact_sheet_of_unequal_pictures(tmp_path) -> None:
    paths = []
    for number, size in enumerate([(300, 200), (500, 400), (300, 200)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size, "red").save(paths[-1])
    assert contact_sheet(paths).size == (1500, 400)
    assert contact_sheet(paths[:1], "and more").height > 200
    Image.new("RGB", (5000, 100)).save(paths[0])
    assert contact_sheet(paths).width <= 1600


def overlay() -> RegionOverlay:
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[:4, 4:], labels[4:, :4], labels[4:, 4:] = 1, 2, -1
    return RegionOverlay(labels, [1, 0], [2.0, 0.5])


def test_regions_are_coloured_by_weight_outlined_and_the_rest_is_dimmed() -> None:
    photograph = Image.new("RGB", (224, 224), (100, 150, 200))
    drawn = draw_regions(photograph, overlay(), ImageFont.load_default(13))
    assert drawn.size == photograph.size
    at = {
        name: drawn.getpixel(place)
        for name, place in {"0": (20, 20), "1": (200, 20), "2": (20, 200), "none": (200, 200)}.items()
    }
    assert at["2"] == at["none"] == (45, 45, 45)  # grey, at three tenths of its brightness
    assert sum(at["1"]) > sum(at["0"]) > sum(at["2"])
    assert at["1"][0] > at["1"][2]  # the heaviest is yellow, a light one bluish
    assert at["0"][2] > at["0"][0]
    assert drawn.getpixel((60, 111)) == (255, 255, 255)  # the border of region 0, from within
    assert drawn.getpixel((60, 112)) != (255, 255, 255)


def test_the_scale_rises_in_brightness() -> None:
    grey = torch.stack([colours(torch.tensor(x / 20)) for x in range(21)]).mean(1)
    assert (grey.diff() > 0).all()
    assert scale_bar(24, 13).size == (24, 13)


def test_a_panel_with_regions_has_one_tile_more() -> None:
    pixels, maps = torch.rand(3, 8, 8), [torch.randn(3, 8, 8)]
    plain = draw(Panel(pixels, maps, [""], "title", "details"))
    more = draw(Panel(pixels, maps, [""], "title", "details", overlay()))
    assert more.width > plain.width + 200
    assert overlay().caption == "weight, 0 to 2.0e+00"
    empty = RegionOverlay(torch.zeros(8, 8, dtype=torch.long), [], [])
    assert draw(Panel(pixels, maps, [""], "title", "details", empty)).size == more.size
