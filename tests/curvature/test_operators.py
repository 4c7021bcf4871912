"""Every Hessian operator against the dense Hessian of small networks in float64."""

import pytest
import torch
from torch import Tensor, nn

from caso.curvature import quadratic_model
from caso.network import prepare
from tests import networks, reference

TARGETS = torch.tensor([2, 0, 5])
PIECEWISE = {
    "relu": lambda: networks.small(nn.ReLU),
    "relu6": lambda: networks.small(nn.ReLU6),
    "leaky": lambda: networks.small(nn.LeakyReLU),
    "prelu": lambda: networks.small(nn.PReLU),
    "hardtanh": lambda: networks.small(lambda: nn.Hardtanh(-0.1, 0.4)),
    "batchnorm": lambda: networks.small(nn.ReLU, norm=True),
    "inplace": lambda: networks.small(lambda: nn.ReLU(inplace=True), norm=True),
    "residual": networks.residual,
    "maxpool": lambda: nn.Sequential(nn.MaxPool2d(2, 1), networks.small(nn.ReLU)).eval(),
}
SMOOTH = {
    "silu": lambda: networks.small(nn.SiLU),
    "gelu": lambda: networks.small(nn.GELU),
    "softplus": lambda: networks.small(nn.Softplus),
    "tanh": lambda: networks.small(nn.Tanh, norm=True),
    "hardswish": lambda: networks.small(nn.Hardswish),
    "groupnorm": lambda: nn.Sequential(nn.GroupNorm(1, 3, dtype=networks.DOUBLE), networks.small(nn.ReLU)).eval(),
}


def dense(operator: object, inputs: Tensor, image: int) -> Tensor:
    """The operator's `[d, d]` matrix for one image of the batch, a product per pixel."""
    d = inputs[0].numel()
    columns = []
    for i in range(d):
        v = torch.zeros_like(inputs).flatten(1)
        v[:, i] = 1
        columns.append(operator.hvp(v.view_as(inputs))[image].detach().flatten())  # type: ignore[attr-defined]
    return torch.stack(columns, 1)


def check(network: nn.Module, name: str, inputs: Tensor) -> None:
    """Asserts that the operator's logits, gradient and whole Hessian are the oracle's."""
    operator = quadratic_model(prepare(network, inputs), inputs, TARGETS, name)
    torch.testing.assert_close(operator.logits.detach(), network(inputs).detach(), rtol=1e-10, atol=1e-10)
    for i, target in enumerate(TARGETS.tolist()):
        g, h = reference.gradient(network, inputs[i], target), reference.hessian(network, inputs[i], target)
        assert (operator.gradient[i].flatten() - g).norm() <= 1e-10 * g.norm()
        assert (dense(operator, inputs, i) - h).norm() <= 1e-8 * h.norm()


@pytest.mark.parametrize("name", ["gauss_newton", "closed_form", "double_backward"])
@pytest.mark.parametrize("network", PIECEWISE)
def test_operator_is_the_dense_hessian_of_a_piecewise_linear_network(network: str, name: str) -> None:
    check(PIECEWISE[network](), name, networks.images(3, 3, 6, 5))


@pytest.mark.parametrize("network", SMOOTH)
def test_double_backward_is_the_dense_hessian_of_a_smooth_network(network: str) -> None:
    check(SMOOTH[network](), "double_backward", networks.images(3, 3, 6, 5))


@pytest.mark.parametrize("name", ["gauss_newton", "closed_form"])
def test_gauss_newton_forms_keep_their_definition_on_a_smooth_network(name: str) -> None:
    network, inputs = networks.small(nn.SiLU), networks.images(3, 3, 6, 5)
    operator = quadratic_model(prepare(network, inputs), inputs, TARGETS, name)
    h = reference.gauss_newton(network, inputs[1], 0)
    assert (dense(operator, inputs, 1) - h).norm() <= 1e-8 * h.norm()


@pytest.mark.parametrize("name", ["gauss_newton", "closed_form", "double_backward"])
def test_selected_rows_give_the_products_of_those_images(name: str) -> None:
    network, inputs = networks.residual(), networks.images(3, 3, 6, 5)
    operator = quadratic_model(prepare(network, inputs), inputs, TARGETS, name)
    v = networks.images(3, 3, 6, 5, seed=1)
    whole = operator.hvp(v).detach()
    part = operator.restrict(torch.tensor([2, 0]))
    torch.testing.assert_close(part.hvp(v[[2, 0]]).detach(), whole[[2, 0]], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(part.gradient, operator.gradient[[2, 0]], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["gauss_newton", "closed_form", "double_backward"])
def test_product_is_linear_and_symmetric_and_keeps_images_apart(name: str) -> None:
    network, inputs = networks.small(nn.ReLU, norm=True), networks.images(3, 3, 6, 5)
    operator = quadratic_model(prepare(network, inputs), inputs, TARGETS, name)
    u, v = networks.images(3, 3, 6, 5, seed=1), networks.images(3, 3, 6, 5, seed=2)
    hu, hv = operator.hvp(u).detach(), operator.hvp(v).detach()
    torch.testing.assert_close(operator.hvp(2 * u - 3 * v).detach(), 2 * hu - 3 * hv, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close((v * hu).sum((1, 2, 3)), (u * hv).sum((1, 2, 3)), rtol=1e-8, atol=1e-10)
    alone = torch.zeros_like(u)
    alone[1] = u[1]
    torch.testing.assert_close(operator.hvp(alone).detach()[1], hu[1], rtol=1e-9, atol=1e-12)
    assert (operator.hvp(alone).detach()[[0, 2]] == 0).all()
