"""ROAD: its imputation against a dense solve, its score against a literal version and answers by hand."""

import pytest
import torch

from caso.metrics import Case, make_metric
from caso.metrics.imputation import impute
from tests import networks
from tests.metrics import literal
from tests.metrics.cases import Linear, case


@pytest.mark.parametrize("shape", [(5, 3, 9, 7), (3, 1, 8, 8), (2, 3, 1, 9), (2, 2, 6, 1)])
def test_imputation_is_the_dense_solution(shape: tuple[int, ...]) -> None:
    images = networks.images(*shape)
    pixels = shape[2] * shape[3]
    for seed, share in enumerate((0.1, 0.5, 0.9, 0.99)):
        order = torch.rand(shape[0], pixels, generator=torch.Generator().manual_seed(seed)).argsort(1)
        removed = order < min(int(share * pixels), pixels - 1)
        found = impute(images, removed.view(-1, 1, *shape[2:]), tol=1e-12)
        for image, gone, filled in zip(images, removed, found, strict=True):
            torch.testing.assert_close(filled, literal.impute(image, gone.nonzero()[:, 0].tolist()), rtol=0, atol=1e-9)


def test_imputation_in_single_precision_is_far_below_the_noise() -> None:
    images = networks.images(2, 3, 40, 40)
    inside = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    inside[:, :, 3:37, 2:36] = True
    for removed in (inside, ~inside):
        exact = impute(images, removed, tol=1e-12)
        assert float((impute(images.float(), removed) - exact).abs().max()) < 1e-3


def test_imputation_continues_a_slope() -> None:
    ramp = (torch.arange(7, dtype=torch.float64) / 7).expand(1, 1, 7, 7)
    removed = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    removed[..., 2:5, 2:5] = True
    torch.testing.assert_close(impute(ramp, removed, tol=1e-13), ramp, rtol=0, atol=1e-12)


@pytest.mark.parametrize("measure", ["probability", "accuracy"])
@pytest.mark.parametrize("name", ["road_morf", "road_lerf"])
def test_road_is_the_literal_one(name: str, measure: str) -> None:
    given = case(5, 3, 8, 7)
    given.chunks.size = 4  # more than one batch
    fractions = (0.2, 0.5, 0.85)
    found = make_metric(name, fractions=fractions, noise=0.05, seed=2, measure=measure).score(given)
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        label = literal.predicted(given.network, image)
        expected = literal.road(
            given.network, image, attribution, label, fractions, name == "road_lerf", 0.05, 2, measure == "accuracy"
        )
        assert float(found.values[i]) == pytest.approx(expected, abs=1e-4)


def test_an_even_image_stays_as_it_is() -> None:
    weights = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0)).double() / 108
    images = torch.full((2, 3, 6, 6), 0.8).double()
    given = Case(Linear(weights), images, networks.images(2, 3, 6, 6), torch.tensor([0, 1]))
    p = 0.8 * float(weights.sum())
    for name in ("road_morf", "road_lerf"):
        found = make_metric(name, noise=0, of="target").score(given)
        assert found.values.tolist() == pytest.approx([p, 1 - p], abs=1e-6)
        assert make_metric(name, noise=0.1, of="target").score(given).values.tolist() != found.values.tolist()


def test_what_is_unlike_its_neighbours_and_counts_is_found() -> None:
    weights = torch.zeros(1, 5, 5)
    weights[0, 2, 2] = 1
    spot = 0.1 + 0.8 * weights
    ideal = Case(Linear(weights), spot[None].double(), weights[None].double(), torch.tensor([0]))
    morf = make_metric("road_morf", fractions=(0.04, 0.3), noise=0).score(ideal)
    lerf = make_metric("road_lerf", fractions=(0.04, 0.3), noise=0).score(ideal)
    assert float(morf.values) == pytest.approx(0.1, abs=1e-6)
    assert float(lerf.values) == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("fractions", [(), (0.0,), (0.5, 1.0)])
def test_fractions_out_of_range_are_errors(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="road_morf: fractions="):
        make_metric("road_morf", fractions=fractions)
