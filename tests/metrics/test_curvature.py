"""The loss's Hessian at the image: spectra, restricted softmaxes, differences of operators."""

import math

import pytest
import torch
from torch import Tensor, nn

from caso.analysis.eigenpair import MOST, leading_pair
from caso.analysis.jacobian import softmax_gradient
from caso.metrics import FAMILIES, Case, make_metric
from caso.metrics import curvature as curvature_module
from tests import networks
from tests.metrics import literal
from tests.metrics.test_contract import Counting

ALL = FAMILIES["curvature"]


def of(network: nn.Module, count: int = 3, dtype: torch.dtype = networks.DOUBLE, classes: int = 6) -> Case:
    images = networks.images(count, 3, 6, 5, dtype=dtype)
    return Case(network, images, images, torch.arange(count) % classes)


def each(given: Case, measure: object) -> list[float]:
    return [
        measure(given.network, image, int(label))  # type: ignore[operator]
        for image, label in zip(given.images, given.targets, strict=True)
    ]


@pytest.fixture(params=["relu", "norm", "residual", "uncaptured"])
def linear(request: pytest.FixtureRequest) -> nn.Module:
    """Networks that are piecewise linear; that is found on the image for the last."""
    return {
        "relu": lambda: networks.small(gain=8),
        "norm": lambda: networks.small(nn.ReLU6, norm=True, gain=4),
        "residual": networks.residual,
        "uncaptured": lambda: networks.DataDependent(networks.small(gain=8)),
    }[request.param]()


@pytest.mark.parametrize("name", ["leading_share", "leading_cosine"])
def test_the_leading_pair_is_that_of_the_dense_hessian(linear: nn.Module, name: str) -> None:
    given = of(linear)
    found = make_metric(name, tolerance=1e-10).score(given).values
    assert found.tolist() == pytest.approx(each(given, getattr(literal, name)), rel=1e-7)
    assert make_metric(name).score(given).values.tolist() == pytest.approx(found.tolist(), rel=5e-3)


def test_restricted_softmaxes_are_those_of_the_dense_hessian(linear: nn.Module) -> None:
    given = of(linear)
    counts = (4, 2, 3, 100, 6)
    share = make_metric("restricted_share", counts=counts).score(given)
    distance = make_metric("restricted_distance", counts=counts, lambda2=0.5).score(given)
    assert share.x is not None
    assert share.curve is not None
    assert distance.curve is not None
    assert share.x.tolist() == [2, 3, 4, 6]
    for column, k in enumerate((2, 3, 4, 6)):
        for row, (image, label) in enumerate(zip(given.images, given.targets.tolist(), strict=True)):
            of_k = literal.with_classes(linear, image, label, k)
            expected = literal.leading_share(of_k[0], image, of_k[1])
            assert float(share.curve[row, column]) == pytest.approx(expected, rel=1e-8)
            expected = literal.distance_of_maps(of_k[0], image, of_k[1], 0.5)
            assert float(distance.curve[row, column]) == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert torch.equal(share.values, share.curve[:, -1])
    assert share.values.tolist() == pytest.approx(each(given, literal.leading_share), rel=1e-8)


def test_the_trace_is_exact_or_unbiased() -> None:
    given = of(networks.small(gain=2), 2)
    exact = make_metric("leading_share", classes=5, samples=1, tolerance=1e-8).score(given).values
    for classes, samples in ((1, 2), (3, 1)):
        draws = [
            make_metric("leading_share", classes=classes, samples=samples, seed=seed, tolerance=1e-8).score(given)
            for seed in range(200)
        ]
        inverse = torch.stack([1 / one.values for one in draws])
        error = (inverse.mean(0) - 1 / exact).abs()
        assert bool((error <= 4 * inverse.std(0) / math.sqrt(200) + 1e-9).all())
        assert bool((inverse.std(0) > 0).all())


def test_curved_networks_have_an_eigenvector_but_no_share() -> None:
    given = of(networks.small(nn.SiLU, gain=8))
    assert make_metric("leading_cosine", tolerance=1e-10).score(given).values.tolist() == pytest.approx(
        each(given, literal.leading_cosine), rel=1e-7
    )
    for name in ("leading_share", "restricted_share", "restricted_distance"):
        score = make_metric(name).score(given)
        assert bool(score.values.isnan().all())
        assert score.curve is None or bool(score.curve.isnan().all())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU, nn.GELU])
def test_differences_are_those_of_the_dense_matrices(activation: type[nn.Module]) -> None:
    given = of(networks.small(activation, gain=8))

    def expected(network: nn.Module, image: Tensor, label: int) -> float:
        gradient, exact = literal.hessian(network, image, label)
        truth = exact @ gradient
        return float((literal.gauss_newton(network, image) @ gradient - truth).norm() / truth.norm())

    wanted = each(given, expected)
    for name in ("gauss_newton_difference", "closed_form_difference"):
        found = make_metric(name).score(given).values.tolist()
        assert found == pytest.approx(wanted, rel=1e-7, abs=1e-12)
        assert (max(found) < 1e-12) == (activation is nn.ReLU)


def test_rounding_is_all_that_single_precision_adds() -> None:
    single, double = of(networks.small(gain=8, dtype=torch.float32), dtype=torch.float32), of(networks.small(gain=8))
    for name in ("leading_share", "leading_cosine", "restricted_share", "restricted_distance"):
        torch.testing.assert_close(
            make_metric(name).score(single).values, make_metric(name).score(double).values, rtol=1e-4, atol=1e-4
        )
    for name in ("gauss_newton_difference", "closed_form_difference"):
        found = make_metric(name).score(single).values
        assert bool(((found >= 0) & (found < 1e-4)).all())


def test_certain_predictions_keep_their_digits() -> None:
    network = networks.small(gain=8, dtype=torch.float32)
    with torch.no_grad():
        network[-1].bias[2] += 18  # type: ignore[index, operator, union-attr]
    images = networks.images(2, 3, 6, 5, dtype=torch.float32)
    given = Case(network, images, images, torch.tensor([2, 2]))
    assert float(given.logits.double().softmax(1)[:, 2].min()) > 1 - 1e-6
    double = Case(network.double(), images.double(), images.double(), given.targets)
    expected = each(double, literal.leading_share), each(double, literal.leading_cosine)
    network.float()
    for name, wanted in zip(("leading_share", "leading_cosine"), expected, strict=True):
        assert make_metric(name).score(given).values.tolist() == pytest.approx(wanted, rel=2e-3)
    assert make_metric("restricted_share").score(given).values.tolist() == pytest.approx(expected[0], rel=2e-3)


def test_two_classes_are_of_rank_one() -> None:
    given = of(networks.small(classes=2, gain=8, dtype=torch.float32), dtype=torch.float32, classes=2)
    for name, value in (("leading_share", 1), ("leading_cosine", 1), ("restricted_share", 1)):
        found = make_metric(name).score(given).values
        assert found.tolist() == pytest.approx([value] * 3, abs=1e-5)
        assert float(found.max()) <= 1
    assert float(make_metric("restricted_distance").score(given).values.max()) < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_no_curvature_gives_no_score(name: str) -> None:
    network = networks.small()
    network[-1].weight.data.zero_()  # type: ignore[index, operator, union-attr]
    score = make_metric(name).score(of(network, 2, classes=1))
    assert bool(score.values.isnan().all())


@pytest.mark.parametrize("name", ALL)
def test_an_image_that_breaks_the_network_has_no_score(name: str) -> None:
    given = of(networks.Broken(networks.small(gain=8)), 2)
    given.images[1] += 0.6 - given.images[1].mean()
    given.images[0] *= 0.1
    assert make_metric(name).score(given).values.isnan().tolist() == [False, True]


def test_a_function_will_do_for_a_network() -> None:
    network = networks.small(gain=8)
    given, same = of(network), of(network)
    given.network = lambda x: network(x)
    for name in ALL:
        torch.testing.assert_close(
            make_metric(name).score(given).values, make_metric(name).score(same).values, rtol=1e-6, atol=1e-9
        )


def test_a_network_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real = curvature_module.prepare

    def counted(*arguments: object) -> object:
        made.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(curvature_module, "prepare", counted)
    network = networks.small(gain=8)
    for _ in range(2):
        for name in ALL:
            make_metric(name).score(of(network, 1))
    assert len(made) == 1
    before = make_metric("leading_share").score(of(network, 1)).values
    with torch.no_grad():
        network[-1].weight.mul_(0.5)  # type: ignore[index, operator, union-attr]
    assert not torch.equal(make_metric("leading_share").score(of(network, 1)).values, before)
    assert len(made) == 2


@pytest.mark.parametrize("name", ["leading_share", "leading_cosine", "restricted_share", "restricted_distance"])
def test_other_maps_of_the_same_images_cost_nothing(name: str) -> None:
    counting = Counting(networks.small(gain=8), copies=True)
    given = of(counting)
    first = make_metric(name).score(given).values
    seen = counting.seen
    assert torch.equal(make_metric(name).score(given.with_maps(given.maps.flip(3))).values, first)
    assert counting.seen == seen


def test_lanczos_finds_the_largest_and_not_the_largest_magnitude() -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(2, 9, 9, generator=generator, dtype=torch.float64))[0]
    values = torch.tensor([[-5.0, 1, 2, 3, 0, 0, 0, 0, 0], [-1.0, -2, -3, -4, -5, -6, -7, -8, -9]]).double()
    matrices = q @ values.diag_embed() @ q.mT

    def product(v: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", matrices, v)

    found, vectors = leading_pair(product, torch.ones(2, 9), 1e-10)
    assert found.tolist() == pytest.approx([3, -1])
    torch.testing.assert_close(product(vectors), found[:, None] * vectors, atol=1e-8, rtol=0)
    zero, _ = leading_pair(product, torch.zeros(2, 9), 1e-10)
    assert zero.tolist() == pytest.approx([3, -1])


def test_lanczos_says_when_it_did_not_finish() -> None:
    values = torch.linspace(0.9999, 1, 400, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1, 400, generator=generator, dtype=torch.float64)
    found, vector = leading_pair(lambda v: v * values, start, 1e-12)
    assert MOST < 400
    assert bool(found.isnan().all())
    assert bool(vector.isnan().all())
    found, _ = leading_pair(lambda v: v * torch.nan, start, 1e-3)
    assert bool(found.isnan().all())


def test_what_a_class_lacks_to_certainty_is_exact() -> None:
    p = torch.tensor([[1 - 1e-14, 1e-14, 0.0]], dtype=torch.float64)
    assert softmax_gradient(p, torch.tensor([0]))[0].tolist() == [1e-14, -1e-14, 0]
    assert softmax_gradient(p, torch.tensor([1]))[0].tolist() == [-(1 - 1e-14), 1 - 1e-14, 0]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("leading_share", {"classes": 0}, "leading_share: classes=0: must be at least 1"),
        ("leading_share", {"samples": 0}, "leading_share: samples=0: must be at least 1"),
        ("leading_cosine", {"tolerance": 1.0}, "leading_cosine: tolerance=1.0: must be between 0 and 1"),
        ("restricted_share", {"counts": ()}, "restricted_share: counts=(): must be numbers of classes"),
        ("restricted_distance", {"counts": (1, 5)}, "restricted_distance: counts=(1, 5): must be numbers of classes"),
        ("restricted_distance", {"lambda2": 0.0}, "restricted_distance: lambda2=0.0: must be a number > 0"),
    ],
)
def test_mistakes_are_named(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make_metric(name, **parameters)
    assert str(error.value).startswith(message)
