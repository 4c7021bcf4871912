"""Pictures: the paper's rendering, and everything that must not break it."""

import numpy as np
import pytest
import torch
from PIL import Image

from caso.viz import Panel, contact_sheet, draw, heat, heat_image, pixels_image


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
