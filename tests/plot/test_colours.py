"""Maps as RGB arrays: what the colours stand for, and everything that must not break them."""

import numpy as np
import pytest
import torch

from caso.plot import colour, limit_of, overlay, photograph
from caso.plot.colours import resolve, values


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(float).mean(2)


def test_grey_is_the_papers_rendering() -> None:
    attribution = noise(3, 40, 50)
    mass = attribution.abs().sum(dim=0).numpy()
    expected = np.clip(mass / np.percentile(mass, 99, method="inverted_cdf"), 0, 1)
    drawn = colour(attribution, "grey")
    assert (drawn == drawn[..., :1]).all()
    np.testing.assert_allclose(drawn[..., 0] / 255, expected, atol=0.51 / 255)


def test_signed_colours_are_centred_at_zero_red_above_and_blue_below() -> None:
    attribution = torch.tensor([[[-2.0, -1.0, 0.0, 1.0, 2.0]], [[-1.0, 0.0, 0.0, 0.0, 1.0]]])
    drawn = colour(attribution, "signed", limit=3.0)[0].astype(int)
    assert drawn[2].min() > 240  # zero is almost white
    assert drawn[2].max() - drawn[2].min() <= 3  # and has no hue
    assert drawn[0, 2] > drawn[0, 0] + 50
    assert drawn[4, 0] > drawn[4, 2] + 50
    strength = np.abs(drawn - drawn[2]).sum(1)
    assert strength[0] > strength[1] > 0
    assert strength[4] > strength[3] > 0


def test_channels_of_opposite_sign_cancel_in_signed_and_add_in_magnitude() -> None:
    attribution = torch.tensor([[[1.0]], [[-1.0]]])
    assert values(attribution, "signed") == [[0.0]]
    assert values(attribution, "magnitude") == values(attribution, "grey") == [[2.0]]


def test_magnitudes_rise_in_brightness() -> None:
    drawn = colour(torch.linspace(0, 1, 30)[None, None], "magnitude", limit=1.0)
    assert (np.diff(drawn.astype(float) @ [0.2126, 0.7152, 0.0722]) > 0).all()
    assert drawn[0, 0].max() < 10


def test_maps_on_one_scale_have_one_colour_for_one_value() -> None:
    small, large = torch.full((1, 2, 2), 0.5), torch.tensor([[[0.5, 1.0], [0.0, 0.25]]])
    shared = limit_of([small, large], "magnitude")
    assert shared == 1.0
    at_half = colour(large, "magnitude", shared)[0, 0]
    np.testing.assert_array_equal(colour(small, "magnitude", shared)[0, 0], at_half)
    assert (colour(small, "magnitude")[0, 0] != at_half).any()


@pytest.mark.parametrize("style", ["auto", "signed", "magnitude", "grey"])
@pytest.mark.parametrize(
    "attribution",
    [
        torch.zeros(3, 5, 4),
        torch.full((3, 5, 4), torch.nan),
        torch.tensor([[[torch.nan, torch.inf, 1.0], [-torch.inf, -1.0, 0.0]]]),
        noise(1, 5, 4),
        noise(7, 5, 4),
        noise(5, 4),
        noise(3, 1, 1),
        noise(3, 5, 4) * 1e-300,
        noise(3, 5, 4) * 1e300,
        noise(3, 5, 4).half(),
        noise(3, 5, 4).bfloat16().requires_grad_(),
        np.ones((2, 3, 3), np.int64),
    ],
)
def test_no_map_stops_a_picture(attribution: torch.Tensor, style: str) -> None:
    height, width = attribution.shape[-2:]
    for drawn in (colour(attribution, style), overlay(attribution, torch.rand(3, height, width), style)):
        assert drawn.shape == (height, width, 3)
        assert drawn.dtype == np.uint8


def test_what_is_not_finite_looks_like_zero() -> None:
    broken = torch.tensor([[[torch.nan, torch.inf, 1.0, 0.0]]])
    np.testing.assert_array_equal(colour(broken), colour(torch.tensor([[[0.0, 0.0, 1.0, 0.0]]])))


def test_a_single_pixel_of_many_stays_visible() -> None:
    attribution = torch.zeros(3, 20, 20)
    attribution[1, 3, 4] = -1e-12
    drawn = brightness(colour(attribution, "grey"))
    assert drawn[3, 4] == 255
    assert drawn.sum() == 255


def test_auto_shows_signs_where_neighbours_agree_and_magnitudes_where_they_alternate() -> None:
    x = torch.linspace(-1, 1, 32, dtype=torch.float64)
    smooth = (x[:, None] * x[None])[None]
    assert resolve("auto", [smooth]) == "signed"
    assert resolve("auto", [smooth.abs()]) == "magnitude"  # there are no signs
    assert resolve("auto", [noise(3, 32, 32)]) == "magnitude"
    assert resolve("auto", [smooth, 100 * noise(3, 32, 32)]) == "magnitude"  # one style for maps shown together
    lonely = torch.zeros(1, 32, 32)
    lonely[0, 3, 3] = -1
    assert resolve("auto", [lonely]) == "magnitude"


@pytest.mark.parametrize("style", ["signed", "magnitude", "grey"])
def test_an_overlay_shows_the_photograph_at_zero_and_the_map_at_its_limit(style: str) -> None:
    image = noise(3, 1, 3, seed=1).abs().clamp(max=1)
    attribution = torch.tensor([[[0.0, 1.0, 0.3]]])
    drawn, plain = overlay(attribution, image, style, limit=1.0)[0].astype(int), colour(attribution, style, 1.0)[0]
    np.testing.assert_array_equal(drawn[1], plain[1])
    assert drawn[0].max() - drawn[0].min() < 6  # grey, but for what the colour map has at zero
    lighter = overlay(attribution, torch.ones(3, 1, 3), style, limit=1.0)[0].astype(int)
    assert lighter[0, 0] > drawn[0, 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_photographs_of_any_number_of_channels(channels: int) -> None:
    pixels = torch.zeros(channels, 4, 6)
    pixels[:, 1, 2] = 7
    drawn = photograph(pixels)
    assert drawn.shape == (4, 6, 3)
    assert drawn[1, 2].tolist() == [255, 255, 255]
    assert drawn[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: colour(noise(3, 4, 4), "gray"), "style=gray: must be auto, signed, magnitude or grey"),
        (lambda: colour(noise(3, 4, 4), limit=-1.0), "limit=-1.0: must be finite and at least 0"),
        (lambda: colour(noise(3, 4, 4), limit=float("nan")), "limit=nan: must be finite"),
        (lambda: colour(noise(2, 3, 4, 4)), r"shape \[2, 3, 4, 4\]: must be \[C, H, W\] or \[H, W\]"),
        (lambda: colour(torch.zeros(3, 0, 4)), r"shape \[3, 0, 4\]: must be"),
        (lambda: overlay(noise(3, 4, 4), noise(3, 4, 5)), r"map of \[4, 4\] pixels, image of \[4, 5\]"),
    ],
)
def test_mistakes_are_one_line(call, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        call()
    assert "\n" not in str(error.value)
