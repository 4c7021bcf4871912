"""The traced, split operator against forward-mode derivatives and dense Hessians, on architectures in use."""

import warnings
from collections.abc import Callable, Iterator

import pytest
import timm
import torch
import torchvision
from timm.layers import set_fused_attn
from torch import Tensor, nn

from caso.curvature import quadratic_model, trace
from caso.network import prepare
from tests import networks, reference

# PyTorch's own forward mode, which only the oracle here uses, loads code that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
Build = Callable[[], nn.Module]


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=10)


def googlenet() -> nn.Module:
    return torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False)


def vgg() -> nn.Module:
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"], batch_norm=True)
    model = torchvision.models.VGG(features, num_classes=10, init_weights=False)
    model.classifier = nn.Sequential(nn.Linear(25088, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))
    return model


PIECEWISE: dict[str, Build] = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "vgg11_bn": vgg,
    "densenet": densenet,
    "googlenet": googlenet,
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.35),
    "shufflenet": lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=10),
    "mnasnet": lambda: torchvision.models.mnasnet0_5(num_classes=10),
    "efficientnet_lite": lambda: timm.create_model("tf_efficientnet_lite0", num_classes=10),
    "regnet_x": lambda: torchvision.models.regnet_x_400mf(num_classes=10),
    "timm resnet10t": lambda: timm.create_model("resnet10t", num_classes=10),
}
CURVED: dict[str, Build] = {
    "seresnet18": lambda: timm.create_model("legacy_seresnet18", num_classes=10),
    "efficientnet_b0": lambda: timm.create_model("efficientnet_b0", num_classes=10),
    "convnext": lambda: timm.create_model("convnext_atto", num_classes=10),
    "vit": lambda: timm.create_model(
        "vit_tiny_patch16_224", num_classes=10, img_size=32, depth=3, embed_dim=48, num_heads=3
    ),
}


@pytest.fixture(autouse=True)
def plain_attention() -> Iterator[None]:
    """Attention written out: the fused kernel has no second derivative, for the oracle either."""
    set_fused_attn(False)
    yield
    set_fused_attn(True)


def make(build: Build) -> nn.Module:
    """The network with seeded weights, running statistics of seeded images, and logits of a common spread."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(0)
        model = networks.calibrate(build(), networks.images(8, 3, 32, 32, dtype=torch.float32)).double().eval()
    head = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        spread = float(model(networks.images(8, 3, 32, 32)).std(1).mean())
        head.weight.mul_(2 / max(spread, 1e-6))
    return model


def gauss_newton(network: nn.Module, inputs: Tensor, v: Tensor) -> Tensor:
    """`J^T (diag p - p p^T) J v` by forward mode and reverse mode."""
    logits, tangent = torch.func.jvp(network, (inputs,), (v,))
    p = logits.softmax(1)
    weighted = p * tangent - p * (p * tangent).sum(1, keepdim=True)
    return torch.func.vjp(network, inputs)[1](weighted)[0]


def double_backward(network: nn.Module, inputs: Tensor, targets: Tensor, v: Tensor) -> Tensor:
    """The Hessian times `v` by differentiating the gradient of the summed losses."""
    x = inputs.clone().requires_grad_(True)
    loss = nn.functional.cross_entropy(network(x), targets, reduction="sum")
    g = torch.autograd.grad(loss, x, create_graph=True)[0]
    return torch.autograd.grad((g * v).sum(), x)[0]


@pytest.mark.parametrize("name", PIECEWISE)
def test_split_trace_is_the_forward_mode_product(name: str) -> None:
    network = make(PIECEWISE[name])
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    traced_on, inputs = networks.images(2, 3, 32, 32, seed=1), networks.images(3, 3, 32, 32, seed=2)
    targets, v = torch.tensor([1, 7, 3]), networks.images(3, 3, 32, 32, seed=3) - 0.5
    prepared = prepare(network, traced_on)
    assert prepared.captured
    assert prepared.piecewise_linear
    torch.testing.assert_close(prepared(inputs), network(inputs), rtol=1e-9, atol=1e-9)
    expected = gauss_newton(network, inputs, v)
    assert expected.norm() > 0
    operator = trace(prepared, traced_on, "gauss_newton")(inputs, targets)
    assert (operator.hvp(v).detach() - expected).norm() <= 1e-10 * expected.norm()
    exact = double_backward(network, inputs, targets, v)
    assert (operator.hvp(v).detach() - exact).norm() <= 1e-8 * exact.norm()


@pytest.mark.parametrize("name", CURVED)
def test_exact_product_of_a_curved_network_is_double_backwards(name: str) -> None:
    network = make(CURVED[name])
    inputs, targets = networks.images(2, 3, 32, 32, seed=2), torch.tensor([1, 7])
    v = networks.images(2, 3, 32, 32, seed=3) - 0.5
    expected = double_backward(network, inputs, targets, v)
    prepared = prepare(network, inputs)
    assert not prepared.piecewise_linear
    operator = quadratic_model(prepared, inputs, targets, "double_backward")
    assert (operator.hvp(v).detach() - expected).norm() <= 1e-8 * expected.norm()
    difference = gauss_newton(network, inputs, v) - expected
    assert difference.norm() > 1e-3 * expected.norm(), "this network must tell the two apart"


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("build", [networks.small, networks.residual, lambda: networks.small(norm=True)])
def test_one_trace_serves_every_batch_size_and_gives_the_dense_hessian(build: Build, batch: int) -> None:
    network = build()
    traced = trace(prepare(network, networks.images(2, 3, 6, 5)), networks.images(2, 3, 6, 5), "gauss_newton")
    inputs, v = networks.images(batch, 3, 6, 5, seed=7), networks.images(batch, 3, 6, 5, seed=8)
    operator = traced(inputs, torch.full((batch,), 2))
    for i in range(batch):
        expected = reference.hessian(network, inputs[i], 2) @ v[i].flatten()
        assert (operator.hvp(v)[i].detach().flatten() - expected).norm() <= 1e-9 * expected.norm()
    rows = torch.tensor([batch - 1])
    product = operator.restrict(rows).hvp(v[rows]).detach()
    torch.testing.assert_close(product, operator.hvp(v).detach()[rows], rtol=1e-9, atol=1e-12)


def test_traced_products_of_two_batches_do_not_share_state() -> None:
    network = networks.residual()
    traced = trace(prepare(network, networks.images(2, 3, 6, 5)), networks.images(2, 3, 6, 5), "gauss_newton")
    a, b, v = (networks.images(2, 3, 6, 5, seed=s) for s in (1, 2, 3))
    first = traced(a, torch.tensor([1, 2]))
    before = first.hvp(v).detach().clone()
    traced(b, torch.tensor([0, 0])).hvp(v)
    torch.testing.assert_close(first.hvp(v).detach(), before, rtol=0, atol=0)
