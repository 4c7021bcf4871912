"""Where the graph does not decide, images do: Gauss-Newton only as long as it is double backward on each of them."""

import pytest
import torch
from torch import Tensor, nn

import caso
from caso.curvature import exactness, quadratic_model, resolve_operator
from caso.curvature.agreement import tolerance
from caso.network import Prepared, prepare
from tests import networks, reference


def uncaptured(inner: nn.Module) -> nn.Module:
    return networks.DataDependent(inner).eval()


class Sometimes(nn.Module):
    """Piecewise linear for dark images, and curved for bright ones."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.curved = networks.small(nn.ReLU), networks.small(nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([(self.curved if float(i.detach().mean()) > 0.5 else self.linear)(i[None]) for i in x])


class Wedge(nn.Module):
    """An operation that no list knows: the modified Bessel function, or the sum of two halves by `logaddexp`."""

    def __init__(self, curved: bool) -> None:
        super().__init__()
        self.curved, self.inner = curved, networks.small(nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.special.i0(x) if self.curved else torch.fmax(x, 1 - x))


def shade(levels: list[float]) -> Tensor:
    """Images of a mean brightness."""
    inputs = networks.images(len(levels), 3, 6, 5)
    return inputs - inputs.mean((1, 2, 3), keepdim=True) + torch.tensor(levels, dtype=inputs.dtype).view(-1, 1, 1, 1)


def first(network: nn.Module, inputs: Tensor) -> Prepared:
    prepared = prepare(network, inputs)
    assert prepared.piecewise_linear is None
    assert resolve_operator(prepared, "auto") == "double_backward"
    quadratic_model(prepared, inputs, torch.full((len(inputs),), -1))
    return prepared


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [nn.ReLU, nn.LeakyReLU, nn.Hardtanh])
def test_a_piecewise_linear_network_that_no_graph_shows_gets_gauss_newton(make: object, dtype: torch.dtype) -> None:
    network = uncaptured(networks.small(make, norm=True, gain=2.0, dtype=dtype))  # type: ignore[arg-type]
    prepared = first(network, networks.images(3, 3, 6, 5, dtype=dtype))
    assert resolve_operator(prepared, "auto") == "gauss_newton"
    assert prepared.agreement.images == 3
    assert prepared.agreement.difference <= tolerance(dtype)
    exact, evidence = exactness(prepared, "auto")
    assert exact is None  # tests on images are not certain
    assert "not captured" in evidence
    assert "on 3 images tested" in evidence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [nn.SiLU, nn.GELU, nn.Softplus, nn.Tanh, nn.Hardswish])
def test_a_smooth_network_that_no_graph_shows_gets_double_backward(make: object, dtype: torch.dtype) -> None:
    network = uncaptured(networks.small(make, gain=2.0, dtype=dtype))  # type: ignore[arg-type]
    prepared = first(network, networks.images(3, 3, 6, 5, dtype=dtype))
    assert prepared.agreement.refuted
    assert prepared.agreement.difference > 10 * tolerance(dtype)
    exact, evidence = exactness(prepared, "auto")
    assert exact is True
    assert f"differs from double backward's by {prepared.agreement.difference:.0e}" in evidence


@pytest.mark.parametrize("curved", [False, True])
def test_an_operation_that_is_on_no_list_is_tested(curved: bool) -> None:
    prepared = first(Wedge(curved).eval(), networks.images(2, 3, 6, 5))
    assert prepared.captured
    assert "is not known to be piecewise linear" in prepared.evidence
    assert resolve_operator(prepared, "auto") == ("double_backward" if curved else "gauss_newton")


def test_an_unknown_operation_beside_a_curved_one_needs_no_test() -> None:
    network = nn.Sequential(Wedge(False), nn.Tanh()).eval()
    prepared = prepare(network, networks.images(2, 3, 6, 5))
    assert prepared.piecewise_linear is False
    assert "tanh" in prepared.evidence


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_every_image_gets_its_hessian_though_the_first_was_piecewise_linear(batch_size: int | None) -> None:
    network, inputs = Sometimes().eval(), shade([0.3, 0.4, 0.7, 0.45])
    result = caso.CASO(network, lambda1=2e-3, lambda2=0.5, tol=1e-10, batch_size=batch_size).explain(inputs, 1)
    for image, found in zip(inputs, result.maps, strict=True):
        wanted = reference.second_order_map(network, image, 1, 2e-3, 0.5)
        assert (found - wanted).norm() <= 1e-7 * wanted.norm()
    mixed = {1: "gauss_newton and double_backward", 2: "gauss_newton and double_backward", None: "double_backward"}
    assert result.curvature == mixed[batch_size]
    assert result.curvature_exact is (True if batch_size is None else None)
    assert "differs" in result.evidence


def test_what_was_refuted_stays_so_and_is_traced_when_that_pays() -> None:
    explainer = caso.CASO(Wedge(True).eval(), images_ahead=10_000)
    before = explainer.explain(networks.images(1, 3, 6, 5))
    after = explainer.explain(networks.images(2, 3, 6, 5, seed=1))
    assert before.curvature == after.curvature == "double_backward"
    assert explainer._traced is not None
    assert before.evidence == after.evidence  # nothing is tested any more


def test_images_without_curvature_decide_nothing() -> None:
    network = uncaptured(networks.small(nn.SiLU, gain=1e6))
    prepared = first(network, networks.images(2, 3, 6, 5))
    assert prepared.agreement.images == 0
    assert resolve_operator(prepared, "auto") == "double_backward"
    assert exactness(prepared, "auto") == (True, prepared.evidence)


def test_an_operator_that_the_user_chose_is_not_tested() -> None:
    network, inputs = uncaptured(networks.small(nn.SiLU)), networks.images(2, 3, 6, 5)
    result = caso.CASO(network, curvature="gauss_newton").explain(inputs)
    assert (result.curvature, result.curvature_exact) == ("gauss_newton", None)
    assert "tested" not in result.evidence
