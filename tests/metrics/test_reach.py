"""How far the expansion of the loss predicts it, against literal loops."""

import pytest
import torch
from torch import Tensor

from caso.metrics import Case, make_metric
from caso.smoothing import noisy_copies
from tests import networks, reference
from tests.metrics import cases

STEPS = 16


def given(regions: bool = False) -> Case:
    made = cases.case(2, 3, 6, 5, seed=4)
    made.maps[1] = 0.0 if regions else made.maps[1]
    if regions:
        made.regions = torch.stack([torch.arange(30).view(6, 5) // 11, torch.arange(30).view(6, 5) % 2])
    return made


def literal(case: Case, i: int, way: Tensor, order: int, tolerance: float) -> float:
    """The radius of one image along one way."""
    network, image, target = case.network, case.images[i], int(case.targets[i])
    g, h = reference.gradient(network, image, target), reference.hessian(network, image, target)  # type: ignore[arg-type]
    g, h, way, image = g.detach(), h.detach(), way.detach(), image.detach()
    v, start, radius = way.flatten(), float(reference.loss(network, image, target).detach()), 0.0  # type: ignore[arg-type]
    for t in torch.logspace(-5, 0, STEPS, dtype=torch.float64).tolist():
        true = float(reference.loss(network, image + t * way, target).detach()) - start  # type: ignore[arg-type]
        predicted = t * float(g @ v) + (t**2 / 2 * float(v @ h @ v) if order == 2 else 0.0)
        if abs(true - predicted) > tolerance * abs(true) + 1e-15:
            break
        radius = t
    return 255 * radius * float((v[v != 0] ** 2).mean().sqrt())


@pytest.mark.parametrize(("name", "order"), [("valid_radius", 2), ("first_order_radius", 1)])
@pytest.mark.parametrize("direction", ["map", "blur"])
@pytest.mark.parametrize("tolerance", [0.01, 0.2])
def test_radius_is_what_a_loop_finds(name: str, order: int, direction: str, tolerance: float) -> None:
    case = given()
    found = make_metric(name, direction=direction, tolerance=tolerance, steps=STEPS).score(case)
    blurred = case.substrate("blur") - case.images
    for i in range(2):
        own = case.maps[i] * (blurred[i].norm() / case.maps[i].norm())
        expected = literal(case, i, own if direction == "map" else blurred[i], order, tolerance)
        assert float(found.values[i]) == pytest.approx(expected, rel=1e-9)
        assert expected > 0


@pytest.mark.parametrize(("name", "order"), [("valid_radius", 2), ("first_order_radius", 1)])
def test_of_regions_it_is_the_median(name: str, order: int) -> None:
    case = given(regions=True)
    case.maps[1] = case.maps[0]
    found = make_metric(name, direction="regions", tolerance=0.05, steps=STEPS).score(case)
    blurred = case.substrate("blur") - case.images
    assert case.regions is not None
    for i in range(2):
        ways = [blurred[i] * (case.regions[i] == label) for label in case.regions[i].unique()]
        radii = sorted(literal(case, i, way, order, 0.05) for way in ways)
        assert float(found.values[i]) == pytest.approx(radii[(len(radii) - 1) // 2], rel=1e-9)


def test_a_map_of_zeros_has_the_radius_zero_and_regions_must_be_there() -> None:
    case = given()
    case.maps[0] = 0
    assert (make_metric("valid_radius").score(case).values > 0).tolist() == [False, True]
    with pytest.raises(ValueError, match="needs the case's regions"):
        make_metric("valid_radius", direction="regions").score(case)


def test_the_second_order_of_a_softmax_regression_reaches_farther_along_its_gradient() -> None:
    network = networks.small(torch.nn.Identity, gain=8)  # linear: all curvature is the softmax's
    made = cases.case(4, 3, 6, 5, seed=1)
    images = made.images
    targets = network(images).argmax(1)
    maps = cases.gradients(network)(images, targets)
    case = Case(network, images, maps, targets)
    first, second = (make_metric(name, tolerance=0.05).score(case) for name in ("first_order_radius", "valid_radius"))
    assert (second.values >= first.values).all()
    assert float(second.values.mean()) > 1.5 * float(first.values.mean())


def test_means_over_noisy_copies_are_means() -> None:
    case = given()
    metric = make_metric("valid_radius", samples=3, stddev=0.0, steps=STEPS)
    plain = make_metric("valid_radius", steps=STEPS)
    torch.testing.assert_close(metric.score(case).values, plain.score(case).values)
    noisy = make_metric("valid_radius", samples=3, stddev=0.5, steps=STEPS).score(case)
    assert not torch.equal(noisy.curve, plain.score(case).curve)


@pytest.mark.parametrize("direction", ["map", "blur", "regions"])
def test_the_derivatives_of_noisy_copies_are_what_loops_find(direction: str) -> None:
    case = given(regions=True)
    case.chunks.size = 12  # three copies at once, of two images
    metric = make_metric("valid_radius", direction=direction, samples=4, stddev=0.3, seed=5)
    copies = noisy_copies(case.images, 4, 0.3, 5)
    ways = metric._ways(case)  # type: ignore[attr-defined]
    found = metric._expansion(case, ways)  # type: ignore[attr-defined]
    assert found.shape == (2, len(ways), 2)
    for i in range(2):
        g, h = reference.mean_model(case.network, copies[:, i], int(case.targets[i]))  # type: ignore[arg-type]
        for n, way in enumerate(ways):
            v = way[i].flatten()
            assert float(found[0, n, i]) == pytest.approx(float(g @ v), rel=1e-9, abs=1e-12)
            assert float(found[1, n, i]) == pytest.approx(float(v @ h @ v), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("direction", ["map", "blur", "regions"])
def test_both_orders_share_the_passes_along_the_ways(direction: str) -> None:
    case, seen = given(regions=True), []
    inner = case.network
    case.network = lambda images: seen.append(len(images)) or inner(images)  # type: ignore[func-returns-value]
    make_metric("valid_radius", direction=direction, steps=STEPS).score(case)
    first = sum(seen)
    metric = make_metric("first_order_radius", direction=direction, steps=STEPS)
    shared = metric.score(case).values
    assert first > 2 * STEPS
    assert sum(seen) - first == 2  # its own gradient
    torch.testing.assert_close(shared, metric.score(given(regions=True)).values)
    metric.score(case.with_maps(case.maps.flip(3)))
    assert sum(seen) - first == 2 + 2 + 2 * STEPS * (direction == "map")
