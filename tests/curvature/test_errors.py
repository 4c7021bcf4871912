"""Networks that PyTorch cannot differentiate, or not twice: one line that names the operation, never a wrong map."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import caso
from caso.curvature.errors import NotDifferentiableError
from tests import networks, reference


class Before(nn.Module):
    """A function of the pixels before a ReLU classifier; in a graph, or with control flow that no graph shows."""

    def __init__(self, function: Callable[[Tensor], Tensor], hidden: bool = False) -> None:
        super().__init__()
        self.function, self.inner, self.hidden = function, networks.small(), hidden

    def forward(self, x: Tensor) -> Tensor:
        if self.hidden and float(x.detach().sum()) > 1e9:
            x = 2 * x
        return self.inner(self.function(x))


class Once(torch.autograd.Function):
    """A square whose derivative has none."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return 2 * grad * ctx.saved_tensors[0]


def regions(x: Tensor) -> Tensor:
    boxes = [x.new_tensor([[0.0, 0.0, 4.0, 4.0]])] * len(x)
    return torchvision.ops.roi_align(x, boxes, (6, 5))


def deformed(x: Tensor) -> Tensor:
    return torchvision.ops.deform_conv2d(x, x.new_zeros(len(x), 18, 6, 5), x.new_full((3, 3, 3, 3), 0.03), padding=1)


NOT_TWICE = {
    "roi_align": (regions, "roi_align"),
    "deform_conv2d": (deformed, "deform_conv2d"),
    "once_differentiable": (lambda x: Once.apply(x), "once_differentiable"),
    "once_differentiable, taken before": (Once.apply, "once_differentiable"),
    "once_differentiable in a branch": (lambda x: x + Once.apply(x), "once_differentiable"),
    "hardsigmoid": (functional.hardsigmoid, "relu6(x + 3) / 6"),
}


@pytest.mark.parametrize("operator", ["auto", "double_backward", "gauss_newton"])
@pytest.mark.parametrize("name", NOT_TWICE)
def test_networks_that_cannot_be_differentiated_twice_are_named(name: str, operator: str) -> None:
    function, named = NOT_TWICE[name]
    explainer = caso.CASO(Before(function, hidden=True).eval(), curvature=operator)
    with pytest.raises(NotDifferentiableError) as told:
        explainer.explain(networks.images(2, 3, 6, 5))
    assert named in str(told.value)
    assert "\n" not in str(told.value)
    assert "order=first" in str(told.value)
    first = caso.CAFO(explainer.model).explain(networks.images(2, 3, 6, 5))  # what the line recommends
    assert first.maps.any()


CUT = {
    "argmax": lambda x: x.argmax(1, keepdim=True).to(x.dtype).expand(-1, 3, -1, -1),
    "detach": lambda x: x.detach(),
    "index": lambda x: torch.arange(256, dtype=x.dtype)[(255 * x).long()],
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("order", [caso.CAFO, caso.CASO])
@pytest.mark.parametrize("name", CUT)
def test_networks_without_a_gradient_are_told_so(name: str, order: type, hidden: bool) -> None:
    with pytest.raises(NotDifferentiableError, match=r"the network has no gradient: .* replace it$"):
        order(Before(CUT[name], hidden).eval()).explain(networks.images(2, 3, 6, 5))


def attention(x: Tensor) -> Tensor:
    q = x.flatten(2)
    return functional.scaled_dot_product_attention(q, q, 2 * q).view_as(x)


def test_fused_attention_is_switched_to_one_with_second_derivatives() -> None:
    inputs = networks.images(2, 3, 6, 5)
    for hidden in (False, True):
        network = Before(attention, hidden).eval()
        result = caso.CASO(network, lambda1=2e-3, lambda2=0.5, tol=1e-10).explain(inputs, 1)
        for image, found in zip(inputs, result.maps, strict=True):
            with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                wanted = reference.second_order_map(network, image, 1, 2e-3, 0.5)
            assert (found - wanted).norm() <= 1e-7 * wanted.norm()
        assert result.curvature == "double_backward"


def test_a_function_that_was_taken_before_keeps_its_own_derivative() -> None:
    network, inputs = Before(networks.StraightThrough.apply).eval(), networks.images(1, 3, 6, 5)
    result = caso.CASO(network, lambda1=2e-3, lambda2=0.5, tol=1e-10).explain(inputs, 1)
    assert "StraightThrough defines a derivative of its own" in result.evidence
    wanted = reference.second_order_map(network, inputs[0], 1, 2e-3, 0.5)
    assert (result.maps[0] - wanted).norm() <= 1e-7 * wanted.norm()


@pytest.mark.parametrize("order", [caso.CAFO, caso.CASO])
@pytest.mark.parametrize("dynamic", [False, True])
def test_quantised_networks_are_refused(order: type, dynamic: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamic:
            plain = nn.Sequential(nn.Flatten(), nn.Linear(90, 8), nn.ReLU(), nn.Linear(8, 3))
            network = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
        else:
            network = nn.Sequential(nn.Flatten(), torch.ao.nn.quantized.Linear(90, 3))
    with pytest.raises(TypeError, match=r"is quantised \(torch\.ao\.nn\.quantized.*Linear\)") as told:
        order(network.eval()).explain(networks.images(1, 3, 6, 5, dtype=torch.float32))
    assert "\n" not in str(told.value)


def test_running_out_of_memory_is_not_mistaken_for_a_missing_derivative() -> None:
    def greedy(x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        caso.CASO(Before(greedy, hidden=True).eval()).explain(networks.images(1, 3, 6, 5))
