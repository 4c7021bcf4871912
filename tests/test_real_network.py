"""EfficientNet-Lite0 on photographs, in float32: the operators, the paper's two pictures, certified paths."""

import pytest
import torch
from torch import Tensor, nn

import caso
from caso.curvature import quadratic_model, trace
from caso.network import prepare
from tests import photographs

NAMES = (*photographs.CONFIDENT, *photographs.UNCONFIDENT)
Setup = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture(scope="module")
def setup() -> Setup:
    network, images = photographs.network(), photographs.photographs(*NAMES)
    with torch.no_grad():
        logits = network(images)
    return network, images, logits.argmax(1)


def relative(a: Tensor, b: Tensor) -> list[float]:
    return ((a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).tolist()


def test_confidences_are_those_the_pictures_need(setup: Setup) -> None:
    network, images, _ = setup
    with torch.no_grad():
        confidence = network(images).softmax(1).max(1).values
    assert confidence[:2].min() > 0.9
    assert confidence[2:].max() < 0.3


def test_gauss_newton_traced_and_double_backward_agree(setup: Setup) -> None:
    network, images, targets = setup
    prepared = prepare(network, images)
    assert prepared.captured
    assert prepared.piecewise_linear
    operators = [quadratic_model(prepared, images, targets, name) for name in ("gauss_newton", "double_backward")]
    operators.append(trace(prepared, images, "gauss_newton")(images, targets))
    # Along the gradient, as the solver's products are: a random direction is nearly all null space and rounding.
    v = operators[0].gradient
    products = [operator.hvp(v).detach() for operator in operators]
    assert max(relative(products[1], products[0])) <= 1e-4
    assert max(relative(products[2], products[0])) <= 1e-4


def test_orders_nearly_agree_where_confident_and_differ_where_not(setup: Setup) -> None:
    network, images, targets = setup
    first = caso.CAFO(network, lambda1=0.0).attribute(images, targets)
    second = caso.CASO(network, lambda1=0.0).explain(images, targets)
    unit = [m / m.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for m in (first, second.maps)]
    distance = (unit[0] - unit[1]).flatten(1).norm(dim=1).tolist()
    assert second.curvature == "gauss_newton"
    assert set(second.status) <= {"converged", "floor"}
    assert max(distance[:2]) < 0.15
    assert min(distance[2:]) > 0.3


def true_residuals(network: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, results: list) -> Tensor:
    """Residuals `[B, L]` by fresh products, written from the definition; `maps` is `[B, L, C, H, W]`."""
    operator = quadratic_model(prepare(network, images), images, targets, "gauss_newton")
    g, rows = operator.gradient, []
    for j, result in enumerate(results):
        delta = maps[:, j]
        slope = g + operator.hvp(delta).detach()
        lambda1, bound = (v.view(-1, 1, 1, 1) for v in (result.lambda1, result.lambda2_effective))
        sign = torch.where(delta != 0, delta.sign(), (slope / lambda1).clamp(-1, 1))
        v = (bound * delta - slope + lambda1 * sign).flatten(1).double()
        rows.append(v.norm(dim=1) / g.flatten(1).double().norm(dim=1))
    return torch.stack(rows, 1)


def test_every_value_of_the_path_is_within_tolerance_by_a_true_product(setup: Setup) -> None:
    network, images, targets = setup
    path = caso.CASO(network).path(images, target=targets)
    true = true_residuals(network, images, targets, path.maps, path.explanations)
    assert path.maps.shape == (5, 20, 3, 224, 224)
    assert (true <= 1e-3).all()
    assert (true <= path.kkt_residual * 1.1 + 2 * path.floor).all(), "the stated residual or bound must hold"
    assert (path.sparsity[:, -1] >= 0.9999).all()
    assert (path.sparsity[:, 0] < 0.5).all()


@pytest.mark.parametrize("lambda1", [1e-5, 1e-4, 5e-4])
def test_default_map_is_certified_with_few_products(setup: Setup, lambda1: float) -> None:
    network, images, targets = setup
    result = caso.CASO(network, lambda1=lambda1).explain(images, targets)
    true = true_residuals(network, images, targets, result.maps.unsqueeze(1), [result])[:, 0]
    assert result.status == ["converged"] * 5
    assert (true <= 1e-3).all()
    assert torch.allclose(true.to(result.kkt_residual), result.kkt_residual, rtol=0.2, atol=3e-5)
    assert (result.hvps <= 16).all()


def test_sparsity_grows_with_lambda1_and_can_be_asked_for(setup: Setup) -> None:
    network, images, targets = setup
    images, targets = images[:2], targets[:2]
    path = caso.CASO(network).path(images, [1e-5, 1e-4, 5e-4], target=targets)
    assert (path.sparsity[:, :-1] < path.sparsity[:, 1:]).all()
    chosen = caso.CASO(network).auto(images, sparsity=0.9, target=targets)
    assert ((chosen.maps == 0).float().mean((1, 2, 3)) - 0.9).abs().max() <= 2e-3
    assert (chosen.kkt_residual <= 1e-3).all()


def test_one_image_alone_gives_the_map_it_gives_in_a_batch(setup: Setup) -> None:
    network, images, targets = setup
    together = caso.CASO(network).attribute(images, targets)
    for i in (0, 2):
        alone = caso.CASO(network).attribute(images[i : i + 1], targets[i : i + 1])
        # The kernels sum in another order for another batch, which single precision shows; solver and path add nothing.
        assert relative(alone, together[i : i + 1])[0] <= 1e-3
