"""What a run's pictures show, and the keys that say how."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from caso.runner.cli.arguments import write_out
from caso.runner.results.pictures import panel
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]


def rows_and_maps(sparsities):
    rows = [
        {"image": "a", "predicted": 1, "predicted_name": "cat", "target": 1, "confidence": 0.5, "order": "second"}
        | {"lambda1": 10.0**-i, "sparsity": s, "kkt_residual": 1e-4 * i, "explainer": "caso", "status": "converged"}
        for i, s in enumerate(sparsities)
    ]
    return rows, [np.full((3, 4, 4), s) for s in sparsities]


def test_one_map_has_its_figures_in_the_caption() -> None:
    content = panel(*rows_and_maps([0.25]), torch.zeros(3, 4, 4))
    assert content.title == "a: cat 0.500"
    assert "lambda1 1" in content.details
    assert "sparsity 0.250" in content.details
    assert "residual 0.0e+00" in content.details


def test_a_method_without_a_solver_has_its_name_in_the_caption() -> None:
    rows, maps = rows_and_maps([0.25])
    rows[0] |= {"explainer": "integrated_gradients", "status": "computed"}
    assert panel(rows, maps, torch.zeros(3, 4, 4)).details == "integrated gradients  sparsity 0.250"


def test_a_class_that_was_asked_for_is_named() -> None:
    rows, maps = rows_and_maps([0.25])
    rows[0] |= {"target": 2, "target_name": "dog"}
    assert panel(rows, maps, torch.zeros(3, 4, 4)).title == "a: cat 0.500, explained: dog"


def test_a_long_path_is_spread_by_sparsity_without_the_empty_end() -> None:
    sparsities = [0.0, 0.01, 0.02, 0.03, 0.2, 0.4, 0.6, 0.8, 0.99, 1.0]
    content = panel(*rows_and_maps(sparsities), torch.zeros(3, 4, 4))
    assert [float(m[0, 0, 0]) for m in content.maps] == [0.0, 0.2, 0.4, 0.6, 0.8, 0.99]
    assert "10 values" in content.details
    assert "9.0e-04" in content.details


def test_images_without_a_map_have_no_picture() -> None:
    rows, _ = rows_and_maps([0.5])
    assert panel(rows, [None], torch.zeros(3, 4, 4)) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("pictures=100", "pictures.n=100"),
        ("+pictures=1,2", "+pictures.n=1,2"),
        ("pictures=", "pictures.n="),
        ("pictures.style=grey", "pictures.style=grey"),
        ("pictures={n: 3}", "pictures={n: 3}"),
        ("pictures", "pictures"),
        ("image=pictures", "image=pictures"),
    ],
)
def test_a_number_of_pictures_is_short_for_their_key(typed: str, meant: str) -> None:
    assert write_out(typed) == meant


def test_options_of_pictures_reach_them(cli: Cli) -> None:
    options = ("dataset.names=[moon,coffee]", "pictures=1", "pictures.size=300", "pictures.style=signed", "logger=none")
    ended = cli(*TINY, *options)
    assert ended.code == 0
    assert [path.name for path in (ended.directory / "pictures").iterdir()] == ["000000.png"]
    with Image.open(ended.directory / "pictures" / "000000.png") as picture:
        assert picture.size == (2 * 360 + 3 * 8, 300 + 56)  # of images of 10 x 12 pixels
        signed = np.asarray(picture)[8:308, 376:736]
    assert signed.mean() > 128  # pale, where magnitudes are dark
    assert cli(f"resume={ended.directory}", "pictures=2").code == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("pictures=-1", "pictures.n=-1: must be at least 0"),
        ("pictures=many", "pictures.n=many: must be a whole number"),
        ("pictures.style=gray", "pictures.style=gray: must be auto, signed, magnitude or grey"),
        ("pictures.size=0", "pictures.size=0: must be at least 1 and at most 4096"),
        ("pictures.overlay=maybe", "pictures.overlay=maybe: must be true or false"),
        ("pictures.colour=red", "pictures.colour"),
    ],
)
def test_mistakes_in_the_options_of_pictures_are_one_line(cli: Cli, typed: str, said: str) -> None:
    ended = cli(*TINY, typed)
    assert ended.code != 0
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
