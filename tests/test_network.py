"""What `prepare` makes of awkward networks: the same logits, gradient and Hessian as the user's own code."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from caso.curvature import quadratic_model, trace
from caso.network import prepare
from caso.network.functional import NotCapturableError
from tests import networks, reference

TARGETS = torch.tensor([2, 0, 5])


class Front(nn.Module):
    """A function of the pixels, with a seeded layer of its own, before an inner ReLU classifier."""

    def __init__(self, function: Callable[[Tensor, nn.Module], Tensor], layer: nn.Module, channels: int = 3) -> None:
        super().__init__()
        self.function, self.layer, self.inner = function, layer, networks.small(channels=channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.function(x, self.layer))


def front(
    function: Callable[[Tensor, nn.Module], Tensor], layer: Callable[[], nn.Module] = nn.Identity, channels: int = 3
) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return Front(function, layer().double(), channels).eval()

    return build


def plain(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x)


def recurrent(x: Tensor, layer: nn.Module) -> Tensor:
    return layer(x.flatten(2))[0].unsqueeze(1)


def slice_in_place(x: Tensor, _: nn.Module) -> Tensor:
    y = 2 * x
    y[:, 0] *= 1.5
    y[:, :, 1:3] += x[:, :, :2]
    return y


def view_in_place(x: Tensor, _: nn.Module) -> Tensor:
    y = 2 * x
    half = y[:, 1]
    y.clamp_(max=1.2)
    return torch.cat([y, half[:, None]], 1)


def no_grad_scale(x: Tensor, _: nn.Module) -> Tensor:
    with torch.no_grad():
        scale = x.square().mean((1, 2, 3), keepdim=True)
    return x * scale


def detached_scale(x: Tensor, _: nn.Module) -> Tensor:
    return x * x.detach().square().mean((1, 2, 3), keepdim=True)


class Counting(nn.Module):
    """Counts its calls in a buffer, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 1.1


def hooked() -> nn.Module:
    network = networks.small()
    network[0].register_forward_hook(lambda module, args, output: output * 1.3)  # type: ignore[index, union-attr, operator]
    return network


def shared() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        layer = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).double()
    nn.init.constant_(layer[1].running_var, 0.3)
    return nn.Sequential(layer, layer, networks.small()).eval()


AWKWARD = {
    "slices written in place": front(slice_in_place),
    "a view read after its base was written": front(view_in_place, channels=4),
    "detached factor": front(detached_scale),
    "factor under no_grad": front(no_grad_scale),
    "straight-through estimator": front(lambda x, _: networks.StraightThrough.apply(x)),
    "buffer written in eval": front(plain, Counting),
    "forward hook that changes the output": hooked,
    "one block used twice": shared,
    "strided convolution that leaves rows over": front(plain, lambda: nn.Conv2d(3, 3, 2, stride=3)),
    "dilated grouped convolution": front(plain, lambda: nn.Conv2d(3, 6, 2, dilation=2, groups=3), 6),
    "circular padding": front(plain, lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")),
    "same padding": front(plain, lambda: nn.Conv2d(3, 3, 4, padding="same")),
    "transposed convolution": front(plain, lambda: nn.ConvTranspose2d(3, 3, 3, stride=2, output_padding=1)),
    "transposed convolution and norm": front(
        plain, lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.BatchNorm2d(4, momentum=None)), 4
    ),
    "norm without affine": front(plain, lambda: nn.BatchNorm2d(3, affine=False)),
    "weight norm": front(plain, lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3))),
    "input-dependent kernel": front(
        lambda x, layer: torch.cat([nn.functional.conv2d(i[None], layer.weight * i.mean()) for i in x]),
        lambda: nn.Conv2d(3, 3, 3),
    ),
    "upsampling": front(lambda x, _: nn.functional.interpolate(x, scale_factor=2, mode="bilinear")),
    "pixels sorted": front(lambda x, _: x.flatten(2).sort(2).values.view_as(x)),
    "complex numbers": front(lambda x, _: torch.fft.rfft2(x).abs()),
    "recurrence": front(recurrent, lambda: nn.GRU(30, 4, batch_first=True), 1),
}


@pytest.mark.parametrize("rows", [[0], [0, 1, 2]], ids=["alone", "batch"])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_network_keeps_its_logits_gradient_and_hessian(name: str, rows: list[int]) -> None:
    network = AWKWARD[name]()
    inputs, targets = networks.images(3, 3, 6, 5)[rows], TARGETS[rows]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    prepared = prepare(network, inputs)
    operators = [quadratic_model(prepared, inputs, targets)]
    if prepared.captured:
        with suppress(NotCapturableError):  # the solvers then use the operator above
            operators.append(trace(prepared, inputs)(inputs, targets))
    after = network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    v = networks.images(3, 3, 6, 5, seed=1)[rows] - 0.5
    for operator in operators:
        torch.testing.assert_close(operator.logits.detach(), network(inputs).detach(), rtol=1e-10, atol=1e-10)
        product = operator.hvp(v).detach()
        for i, target in enumerate(targets.tolist()):
            g, h = reference.gradient(network, inputs[i], target), reference.hessian(network, inputs[i], target)
            gradient_error = float((operator.gradient[i].flatten() - g).norm() / g.norm())
            product_error = float((product[i].flatten() - h @ v[i].flatten()).norm() / (h.norm() * v[i].norm()))
            assert gradient_error <= 1e-9
            assert product_error <= 1e-8


def test_batch_normalisation_is_folded_without_a_trace_in_the_users_model() -> None:
    network, inputs = networks.residual(), networks.images(2, 3, 6, 5)
    names = [type(m).__name__ for m in network.modules()]
    prepared = prepare(network, inputs)
    assert not any("batch_norm" in str(node.target) for node in prepared.module.graph.nodes)
    torch.testing.assert_close(prepared(inputs), network(inputs), rtol=1e-12, atol=1e-12)
    assert names == [type(m).__name__ for m in network.modules()]


def test_network_with_control_flow_on_values_runs_as_it_is() -> None:
    network, inputs = networks.DataDependent(networks.small()).eval(), networks.images(3, 3, 6, 5)
    prepared = prepare(network, inputs)
    assert not prepared.captured
    assert not prepared.piecewise_linear
    torch.testing.assert_close(prepared(inputs), network(inputs), rtol=0, atol=0)
