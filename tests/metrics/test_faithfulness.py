"""Insertion, deletion, pixel flipping, the perturbation curve and infidelity: literal versions, answers by hand."""

import itertools

import pytest
import torch

from caso.metrics import Case, make_metric
from caso.metrics.substrates import SUBSTRATES, substrate
from tests.metrics import literal
from tests.metrics.cases import Linear, case

NAMES = ("insertion", "deletion", "pixel_flipping", "aopc")


def test_substrates_are_the_literal_ones() -> None:
    images = case(2, 3, 7, 5).images
    for name in SUBSTRATES:
        for image, found in zip(images, substrate(name, images, seed=3), strict=True):
            torch.testing.assert_close(found, literal.substrate(name, image, seed=3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("of", ["predicted", "target"])
@pytest.mark.parametrize(("steps", "name"), [(4, "black"), (7, "blur"), (100, "mean"), (1, "noise")])
def test_curves_are_the_literal_ones(steps: int, name: str, of: str) -> None:
    given = case(3, 3, 6, 5)
    found = {
        metric: make_metric(metric, steps=steps, substrate=name, of=of).score(given).values for metric in NAMES[:3]
    }
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        label = literal.predicted(given.network, image) if of == "predicted" else int(given.targets[i])
        for metric in NAMES[:3]:
            expected = getattr(literal, metric)(given.network, image, attribution, label, steps, name)
            assert float(found[metric][i]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("region", "steps"), [(1, 5), (3, 2), (4, 100)])
def test_the_perturbation_curve_is_the_literal_one(region: int, steps: int) -> None:
    given = case(2, 3, 7, 5)
    found = make_metric("aopc", region=region, steps=steps, substrate="mean", of="target").score(given)
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        expected = literal.aopc(given.network, image, attribution, int(given.targets[i]), region, steps, "mean")
        assert float(found.values[i]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("of", ["predicted", "target"])
def test_infidelity_is_the_literal_one(of: str) -> None:
    given = case(2, 3, 6, 5)
    found = make_metric("infidelity", samples=9, stddev=0.2, of=of, seed=5).score(given)
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        label = literal.predicted(given.network, image) if of == "predicted" else int(given.targets[i])
        expected = literal.infidelity(given.network, image, attribution, label, 9, 0.2, 5)
        assert float(found.values[i]) == pytest.approx(expected, rel=1e-9)


def linear(attribution: list[float]) -> Case:
    """Four white pixels whose contributions to the probability are 0.4, 0.3, 0.2 and 0.1."""
    network = Linear(torch.tensor([0.4, 0.1, 0.2, 0.3], dtype=torch.float64).view(1, 2, 2))
    maps = torch.tensor(attribution, dtype=torch.float64).view(1, 1, 2, 2)
    return Case(network, torch.ones(1, 1, 2, 2, dtype=torch.float64), maps, torch.tensor([0]))


def test_the_ideal_map_of_a_linear_model_has_scores_known_by_hand() -> None:
    ideal = linear([4, 1, 2, 3])
    options = {"steps": 4, "substrate": "black"}
    found = {name: make_metric(name, **options).score(ideal) for name in ("insertion", "deletion", "pixel_flipping")}
    assert found["insertion"].curve is not None
    torch.testing.assert_close(found["insertion"].curve[0], torch.tensor([0, 0.4, 0.7, 0.9, 1], dtype=torch.float64))
    assert float(found["insertion"].values) == pytest.approx((0.4 + 0.7 + 0.9 + 0.5) / 4, abs=1e-7)
    assert float(found["deletion"].values) == pytest.approx((0.5 + 0.6 + 0.3 + 0.1) / 4, abs=1e-7)
    assert float(found["pixel_flipping"].values) == pytest.approx((0.6 + 0.3 + 0.1) / 4, abs=1e-7)
    curve = make_metric("aopc", region=1, **options).score(ideal)
    assert float(curve.values) == pytest.approx((0.4 + 0.7 + 0.9 + 1) / 5, abs=1e-7)


def test_no_order_beats_that_of_the_ideal_map() -> None:
    options = {"steps": 4, "substrate": "black"}
    for metric in (make_metric("aopc", region=1, **options), *(make_metric(name, **options) for name in NAMES[:3])):
        ideal = float(metric.score(linear([4, 1, 2, 3])).values)
        others = [float(metric.score(linear(list(p))).values) for p in itertools.permutations([1.0, 2, 3, 4])]
        best = max(others) if metric.higher_is_better else min(others)
        worst = min(others) if metric.higher_is_better else max(others)
        assert ideal == best != worst


def test_the_ideal_map_of_a_linear_model_has_no_infidelity_at_any_scale() -> None:
    weights = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)).double() / 48
    images = 0.5 + torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double() / 2
    metric = make_metric("infidelity", samples=20, stddev=0.01)
    for scale in (1.0, -1e-30, 1e20):
        ideal = Case(Linear(weights), images, scale * weights.expand(2, -1, -1, -1), torch.zeros(2, dtype=torch.long))
        assert float(metric.score(ideal).values.max()) < 1e-28
    other = Case(Linear(weights), images, weights.flip(2).expand(2, -1, -1, -1), torch.zeros(2, dtype=torch.long))
    assert float(metric.score(other).values.min()) > 1e-9


def test_ties_are_broken_by_position() -> None:
    for flat in (linear([0, 0, 0, 0]), linear([-3, -3, -3, -3])):
        curve = make_metric("deletion", steps=4, substrate="black").score(flat).curve
        assert curve is not None
        torch.testing.assert_close(curve[0], torch.tensor([1, 0.6, 0.5, 0.3, 0], dtype=torch.float64))
    curve = make_metric("deletion", steps=4, substrate="black").score(linear([1, 2, 1, 2])).curve
    assert curve is not None
    torch.testing.assert_close(curve[0], torch.tensor([1, 0.9, 0.6, 0.2, 0], dtype=torch.float64))


def test_more_steps_than_pixels_are_as_many_as_pixels() -> None:
    found = make_metric("insertion", steps=1000, substrate="black").score(linear([4, 1, 2, 3]))
    assert found.curve is not None
    assert found.x is not None
    assert found.x.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.curve.shape == (1, 5)
