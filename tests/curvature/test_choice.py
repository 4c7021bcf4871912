"""`curvature="auto"` takes Gauss-Newton only where it is the Hessian, and its answer is always the Hessian's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import caso
from tests import networks, reference


class Apply(nn.Module):
    """A function of the pixels before an inner classifier."""

    def __init__(self, function: Callable[[Tensor], Tensor], inner: nn.Module) -> None:
        super().__init__()
        self.function, self.inner = function, inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.function(x))


class Gate(nn.Module):
    """Squeeze and excitation before a ReLU classifier: products of activations."""

    def __init__(self, squash: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.mix = nn.Conv2d(3, 3, 1, dtype=networks.DOUBLE)
        self.squash, self.inner = squash, networks.small(nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x * self.squash(1 + self.mix(x.mean((2, 3), keepdim=True))))


class Bend(torch.autograd.Function):
    """A cube, hidden in a custom autograd function."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return grad * 3 * ctx.saved_tensors[0] ** 2


def relu() -> nn.Module:
    return networks.small(nn.ReLU)


LINEAR = {
    "relu": relu,
    "hard tanh": lambda: networks.small(lambda: nn.Hardtanh(-0.1, 0.4)),
    "leaky": lambda: networks.small(nn.LeakyReLU),
    "batchnorm": lambda: networks.small(nn.ReLU, norm=True),
    "residual in place": networks.residual,
    "max pool": lambda: nn.Sequential(nn.MaxPool2d(2, 1), relu()).eval(),
    "average pool": lambda: nn.Sequential(nn.AvgPool2d(2, 1), relu()).eval(),
    "dropout": lambda: nn.Sequential(relu(), nn.Dropout(0.5)).eval(),
    "normalised": lambda: Apply(lambda x: (x - 0.45) / 0.22, relu()).eval(),
    "concatenation": lambda: Apply(lambda x: torch.cat([x.relu(), x[:, :2]], 1), networks.small(channels=5)).eval(),
}
CURVED = {
    "silu": lambda: networks.small(nn.SiLU),
    "gelu": lambda: networks.small(nn.GELU),
    "hardswish": lambda: networks.small(nn.Hardswish),
    "squeeze-excite sigmoid": lambda: Gate(nn.Sigmoid()).eval(),
    "squeeze-excite relu": lambda: Gate(nn.ReLU()).eval(),
    "square": lambda: Apply(lambda x: x * x, relu()).eval(),
    "power": lambda: Apply(lambda x: x**1.5, relu()).eval(),
    "relu squared": lambda: Apply(lambda x: x.relu().square(), relu()).eval(),
    "division": lambda: Apply(lambda x: x / (1 + x.mean((1, 2, 3), keepdim=True)), relu()).eval(),
    "unit length": lambda: Apply(lambda x: nn.functional.normalize(x, dim=1), relu()).eval(),
    "layer norm": lambda: Apply(lambda x: nn.functional.layer_norm(x, x.shape[1:]), relu()).eval(),
    "group norm": lambda: nn.Sequential(nn.GroupNorm(1, 3, dtype=networks.DOUBLE), relu()).eval(),
    "instance norm": lambda: nn.Sequential(nn.InstanceNorm2d(3), relu()).eval(),
    "local response norm": lambda: nn.Sequential(nn.LocalResponseNorm(3, alpha=1.0), relu()).eval(),
    "product of maps": lambda: Apply(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)[..., None], relu()).eval(),
    "data-dependent control flow": lambda: networks.DataDependent(networks.small(nn.SiLU)).eval(),
    "custom function": lambda: Apply(Bend.apply, relu()).eval(),
    "log-softmax in the model": lambda: nn.Sequential(networks.small(nn.ReLU), nn.LogSoftmax(1)).eval(),
    "softmax in the model": lambda: nn.Sequential(networks.small(nn.ReLU), nn.Softmax(1)).eval(),
}
EXACT_ALTHOUGH_CURVED = {"log-softmax in the model"}  # cross-entropy does not see a shift of the logits


def check_map(network: nn.Module, expected: nn.Module, **options: object) -> caso.Explanation:
    """Asserts that the automatic second-order map of two images is the dense oracle's."""
    inputs, targets = networks.images(2, 3, 6, 5), [1, 4]
    result = caso.CASO(network, lambda1=2e-3, lambda2=0.5, tol=1e-10, **options).explain(inputs, targets)  # type: ignore[arg-type]
    for i, target in enumerate(targets):
        wanted = reference.second_order_map(expected, inputs[i], target, 2e-3, 0.5)
        assert (result.maps[i] - wanted).norm() <= 1e-7 * wanted.norm()
    return result


@pytest.mark.parametrize("ahead", [0, 10_000])
@pytest.mark.parametrize("name", LINEAR)
def test_auto_takes_gauss_newton_for_piecewise_linear_networks(name: str, ahead: int) -> None:
    network = LINEAR[name]()
    assert check_map(network, network, images_ahead=ahead).curvature == "gauss_newton"


@pytest.mark.parametrize("ahead", [0, 10_000])
@pytest.mark.parametrize("name", CURVED)
def test_auto_never_gives_gauss_newtons_answer_for_the_hessian(name: str, ahead: int) -> None:
    network = CURVED[name]()
    result = check_map(network, network, images_ahead=ahead)
    if name not in EXACT_ALTHOUGH_CURVED:
        assert result.curvature == "double_backward"


@pytest.mark.parametrize("ahead", [0, 10_000])
def test_hard_sigmoid_gates_are_explained_although_torch_lacks_their_second_derivative(ahead: int) -> None:
    class Spelled(nn.Module):
        """The same gate in terms that autograd differentiates twice."""

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu6(x + 3) / 6

    network, spelled = Gate(nn.Hardsigmoid()).eval(), Gate(Spelled()).eval()
    assert check_map(network, spelled, images_ahead=ahead).curvature == "double_backward"


def test_auto_with_control_flow_on_values_still_answers_for_each_image() -> None:
    network = networks.DataDependent(relu()).eval()
    check_map(network, network)
