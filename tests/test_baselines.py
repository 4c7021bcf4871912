"""The methods users know: against literal versions, and what they promise of the model, batches and mistakes."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caso.baselines import BASELINES, Baseline, make_baseline
from caso.smoothing import noisy_copies
from tests import networks, photographs

DOUBLE = networks.DOUBLE
PLAIN = ("random", "edges")


def some(name: str, model: nn.Module, **options: object) -> Baseline:
    """A cheap one of that name."""
    cheap = {
        "integrated_gradients": {"n_steps": 5},
        "smoothgrad": {"n_samples": 3},
        "occlusion": {"window": 4, "stride": 3},
    }
    return make_baseline(name, model, **{**cheap.get(name, {}), **options})


def gradient(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    images = images.detach().clone().requires_grad_(True)
    logits = network(images)
    return torch.autograd.grad(sum(row[t] for row, t in zip(logits, targets, strict=True)), images)[0]


@pytest.fixture
def images() -> Tensor:
    return networks.images(3, 3, 8, 7)


@pytest.fixture
def targets() -> Tensor:
    return torch.tensor([2, 0, 5])


@pytest.fixture(params=BASELINES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_gradients_are_the_literal_ones(images: Tensor, targets: Tensor) -> None:
    model = networks.residual()
    expected = gradient(model, images, targets)
    torch.testing.assert_close(make_baseline("gradient", model).attribute(images, targets), expected)
    torch.testing.assert_close(make_baseline("input_x_gradient", model).attribute(images, targets), expected * images)


def test_smoothgrad_is_the_mean_over_noisy_copies(images: Tensor, targets: Tensor) -> None:
    model = networks.small()
    copies = noisy_copies(images, 5, 0.3, 7)
    expected = torch.stack([gradient(model, one, targets) for one in copies]).mean(0)
    for batch_size in (None, 1, 4):
        method = make_baseline("smoothgrad", model, n_samples=5, stddev=0.3, seed=7, batch_size=batch_size)
        torch.testing.assert_close(method.attribute(images, targets), expected)
    still = make_baseline("smoothgrad", model, stddev=0.0).attribute(images, targets)
    torch.testing.assert_close(still, gradient(model, images, targets))


def test_integrated_gradients_add_up(images: Tensor, targets: Tensor) -> None:
    model = networks.small(nn.Tanh, gain=1)
    maps = make_baseline("integrated_gradients", model, n_steps=200).attribute(images, targets)
    difference = (model(images) - model(torch.zeros_like(images))).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(maps.flatten(1).sum(1), difference.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Tanh])
def test_deeplift_adds_up(activation: type[nn.Module], images: Tensor, targets: Tensor) -> None:
    model = networks.small(activation)
    with torch.no_grad():
        model[0].bias.add_(4)  # both bends of ReLU6 are reached
    maps = make_baseline("deeplift", model).attribute(images, targets)
    difference = (model(images) - model(torch.zeros_like(images))).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(maps.flatten(1).sum(1), difference.detach(), rtol=1e-6, atol=1e-6)
    assert float((maps - images * gradient(model, images, targets)).abs().max()) > 1e-3


class Guided(torch.autograd.Function):
    """A ReLU, up to a bound, whose backward pass drops negative signals: the source's rule, written out."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < bound))
        return x.clamp(0, bound)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.saved_tensors[0] * (grad > 0), None


@pytest.mark.parametrize(("activation", "bound"), [(nn.ReLU, math.inf), (nn.ReLU6, 6.0)])
def test_guided_backprop_is_the_literal_one(
    activation: type[nn.Module], bound: float, images: Tensor, targets: Tensor
) -> None:
    class Rule(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Guided.apply(x, bound)

    model = networks.small(activation)
    with torch.no_grad():
        model[0].bias.add_(4)
    rule = copy.deepcopy(model)
    for place, layer in enumerate(model):
        if isinstance(layer, activation):
            rule[place] = Rule()
    found = make_baseline("guided_backprop", model).attribute(images, targets)
    torch.testing.assert_close(found, gradient(rule, images, targets))
    assert not torch.allclose(found, gradient(model, images, targets))


def test_guided_backprop_follows_a_module_that_is_used_twice(images: Tensor, targets: Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 6)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.second(self.relu(self.first(x)))).mean((2, 3)))

    class Ruled(Twice):
        def forward(self, x: Tensor) -> Tensor:
            inner = Guided.apply(self.first(x), math.inf)
            return self.head(Guided.apply(self.second(inner), math.inf).mean((2, 3)))

    torch.manual_seed(0)
    model, rule = Twice().double(), Ruled().double()
    rule.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        make_baseline("guided_backprop", model).attribute(images, targets), gradient(rule, images, targets)
    )


def test_guided_backprop_sees_a_relu6_under_both_of_its_names(images: Tensor, targets: Tensor) -> None:
    separate = networks.small(nn.ReLU6)
    shared = copy.deepcopy(separate)
    shared[3] = shared[1]
    torch.testing.assert_close(
        make_baseline("guided_backprop", shared).attribute(images, targets),
        make_baseline("guided_backprop", separate).attribute(images, targets),
    )


def test_gradcam_is_the_literal_one(images: Tensor, targets: Tensor) -> None:
    model = networks.small()
    with torch.no_grad():
        activations = model[:3](images)
    inner = activations.clone().requires_grad_(True)
    logits = model[3:](inner).gather(1, targets[:, None]).sum()
    weights = torch.autograd.grad(logits, inner)[0].mean((2, 3), keepdim=True)
    expected = F.interpolate((weights * activations).sum(1, keepdim=True).relu(), size=(8, 7), mode="bilinear")
    found = make_baseline("gradcam", model).attribute(images, targets)
    torch.testing.assert_close(found, expected.expand_as(images))
    torch.testing.assert_close(make_baseline("gradcam", model, layer="2").attribute(images, targets), found)
    assert not torch.allclose(make_baseline("gradcam", model, layer="0").attribute(images, targets), found)


def test_gradcam_passes_over_convolutions_of_one_position() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1), nn.Flatten())
    x = networks.images(2, 3, 6, 6).float()
    named = make_baseline("gradcam", model, layer="0").attribute(x)
    torch.testing.assert_close(make_baseline("gradcam", model).attribute(x), named)


def test_occlusion_is_the_literal_one(images: Tensor, targets: Tensor) -> None:
    model = networks.small()
    expected, count = torch.zeros_like(images), torch.zeros(8, 7, dtype=DOUBLE)
    clean = model(images).gather(1, targets[:, None]).detach()
    for top in (0, 3, 4):  # the last one is moved back to the border
        for left in (0, 3):
            hidden = images.clone()
            square = (slice(top, top + 4), slice(left, left + 4))
            hidden[:, :, *square] = 0
            drop = clean - model(hidden).gather(1, targets[:, None]).detach()
            expected[:, :, *square] += drop[:, :, None, None]
            count[square] += 1
    found = make_baseline("occlusion", model, window=4, stride=3)
    maps = found.attribute(images, targets)
    assert maps.shape == images.shape
    assert found.gradients == pytest.approx((3 * 2 + 1) / 3)
    inside = torch.zeros(8, 7, dtype=torch.bool)
    inside[:4, :3] = True  # where only whole squares lie, whatever is done at the far border
    torch.testing.assert_close((maps * inside), (expected / count * inside), rtol=1e-6, atol=1e-9)


def test_edges_are_those_of_a_step() -> None:
    step = torch.zeros(1, 2, 5, 6)
    step[:, 0, :, 3:] = 0.5
    step[:, 1, 2:, :] = 1
    maps = make_baseline("edges", nn.Flatten()).attribute(step, 0)
    assert maps[0, 0].tolist() == [[0, 0, 2, 2, 0, 0]] * 5
    assert maps[0, 1].tolist() == [[0] * 6, [4] * 6, [4] * 6, [0] * 6, [0] * 6]
    assert float(make_baseline("edges", nn.Flatten()).attribute(torch.ones(1, 1, 4, 4), 0).abs().max()) == 0


def test_random_maps_are_noise_of_the_image_and_the_seed(images: Tensor) -> None:
    method = make_baseline("random", networks.small())
    maps = method.attribute(images)
    assert torch.equal(method.attribute(images[1:2]), maps[1:2])
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(make_baseline("random", networks.small(), seed=1).attribute(images), maps)
    many = method.attribute(networks.images(40, 3, 8, 7, seed=1))
    assert float(many.mean()) == pytest.approx(0, abs=0.05)
    assert float(many.std()) == pytest.approx(1, abs=0.05)


def test_maps_are_finite_shaped_like_the_images_and_in_their_dtype(name: str, images: Tensor) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        maps = some(name, networks.small().float()).attribute(images.to(dtype))
        assert maps.shape == images.shape
        assert maps.dtype == dtype
        assert not maps.requires_grad
        assert bool(torch.isfinite(maps).all())
        assert bool((maps != 0).any())


def test_legal_targets(name: str, images: Tensor) -> None:
    model = networks.small()
    method = some(name, model)
    predicted = model(images).argmax(1)
    torch.testing.assert_close(method.attribute(images), method.attribute(images, predicted))
    torch.testing.assert_close(method.attribute(images, 4), method.attribute(images, torch.tensor([4, 4, 4])))
    if name not in PLAIN:
        assert not torch.allclose(method.attribute(images, 4), method.attribute(images, 1))


@pytest.mark.parametrize("target", [6, -1, [1, 2], torch.tensor([[1, 2, 3]]), 1.5, torch.tensor([9, 0, 0])])
def test_illegal_targets_are_errors(target: object, images: Tensor) -> None:
    with pytest.raises(ValueError, match="target="):
        make_baseline("gradient", networks.small()).attribute(images, target)  # type: ignore[arg-type]


def test_maps_depend_neither_on_neighbours_nor_on_chunks(name: str, images: Tensor) -> None:
    model = networks.small()
    together = some(name, model).attribute(images)
    torch.testing.assert_close(some(name, model, batch_size=2).attribute(images), together)
    alone = torch.cat([some(name, model).attribute(image[None]) for image in images])
    torch.testing.assert_close(alone, together)


class Cramped(nn.Module):
    """Refuses more than two images at once, as a full device would."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most = inner, most

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(x)


def test_chunks_shrink_where_memory_runs_out(name: str, images: Tensor) -> None:
    most = 2  # DeepLIFT runs image and black image together
    torch.testing.assert_close(
        some(name, Cramped(networks.small(), most)).attribute(images), some(name, networks.small()).attribute(images)
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_model_comes_back_unchanged(name: str, training: bool, images: Tensor) -> None:
    model = networks.small(lambda: nn.ReLU6(inplace=True), norm=True).train(training)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before, state, grad = repr(model), copy.deepcopy(model.state_dict()), model[0].weight.grad
    given = images.clone()
    some(name, model).attribute(images)
    assert repr(model) == before
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), state.values(), strict=True))
    assert model[0].weight.grad is grad
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(images, given)
    for module in model.modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            assert not getattr(module, kind)
        assert not hasattr(module, "output")  # what DeepLIFT's hooks keep


def test_changed_weights_and_statistics_are_seen(images: Tensor) -> None:
    model = networks.small(norm=True)
    method = make_baseline("gradient", model)
    before = method.attribute(images, 1)
    with torch.no_grad():
        model[-1].weight.mul_(2)
    torch.testing.assert_close(method.attribute(images, 1), 2 * before)
    model[4].running_var.mul_(3)
    torch.testing.assert_close(method.attribute(images, 1), make_baseline("gradient", model).attribute(images, 1))
    assert not torch.allclose(method.attribute(images, 1), 2 * before)


def test_working_in_place_makes_no_difference(name: str, images: Tensor) -> None:
    inplace = networks.small(lambda: nn.ReLU(inplace=True))
    torch.testing.assert_close(some(name, inplace).attribute(images), some(name, networks.small()).attribute(images))


def test_no_grad_and_inference_mode_are_fine(name: str, images: Tensor) -> None:
    method = some(name, networks.small())
    expected = method.attribute(images)
    with torch.no_grad():
        torch.testing.assert_close(method.attribute(images), expected)
    with torch.inference_mode():
        torch.testing.assert_close(method.attribute(images.clone()), expected)


class Functional(nn.Module):
    """A ReLU that is no module, of one kind or another."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.relu, self.head = kind, nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = getattr(F, self.kind)(self.relu(self.conv(x)) - 0.1)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("kind", ["relu", "relu6"])
@pytest.mark.parametrize("method", ["guided_backprop", "deeplift"])
def test_functional_relus_are_refused(method: str, kind: str, images: Tensor) -> None:
    with pytest.raises(ValueError, match=f"^{method}: the network does not allow it: .*outside"):
        make_baseline(method, Functional(kind)).attribute(images.float())


@pytest.mark.parametrize("kind", ["gelu", "silu", "sigmoid", "tanh", "leaky_relu", "softplus", "hardswish"])
def test_deeplift_refuses_functions_that_are_no_modules(kind: str, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^deeplift: the network does not allow it: .*outside"):
        make_baseline("deeplift", Functional(kind)).attribute(images.float())
    make_baseline("guided_backprop", Functional(kind)).attribute(images.float())


def test_reused_and_missing_modules_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^deeplift: "):
        make_baseline("deeplift", networks.residual()).attribute(images)
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3), shared, nn.Flatten(), nn.LazyLinear(6))
    twice(images.float())
    with pytest.raises(ValueError, match=r"deeplift: .* more than once \(1\)"):
        make_baseline("deeplift", twice).attribute(images.float())
    with pytest.raises(ValueError, match=r"guided_backprop: .* no nn\.ReLU"):
        make_baseline("guided_backprop", networks.small(nn.GELU)).attribute(images)
    with pytest.raises(ValueError, match=r"deeplift: .*gelu"):
        make_baseline("deeplift", networks.small(nn.GELU)).attribute(images)
    linear = networks.softmax_regression((3, 8, 7))
    with pytest.raises(ValueError, match=r"gradcam: .* no nn\.Conv2d"):
        make_baseline("gradcam", linear).attribute(images)
    with pytest.raises(ValueError, match=r"gradcam: .*not one tensor"):
        make_baseline("gradcam", linear, layer="linear").attribute(images)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("caso", {}, "explainer 'caso': must be one of gradient, input_x_gradient"),
        (
            "smoothgrad",
            {"samples": 3},
            "smoothgrad: has no option 'samples'; it has batch_size, n_samples, stddev, seed",
        ),
        ("gradient", {"model": 3}, ""),
        ("gradient", {"batch_size": 0}, "gradient: batch_size=0: must be None or at least 1"),
        ("integrated_gradients", {"n_steps": 0}, "integrated_gradients: n_steps=0: must be at least 1"),
        ("smoothgrad", {"stddev": -1.0}, "smoothgrad: stddev=-1.0: must be a number >= 0"),
        ("smoothgrad", {"stddev": "much"}, "smoothgrad: stddev='much': must be a number"),
        ("smoothgrad", {"n_samples": 2.5}, "smoothgrad: n_samples=2.5: must be a whole number"),
        ("occlusion", {"window": 3, "stride": 4}, "occlusion: stride=4: must be at least 1 and at most window"),
    ],
)
def test_mistakes_are_named(method: str, options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        make_baseline(method, networks.small(), **options)
    assert str(error.value).startswith(message)


def test_other_mistakes_are_named(images: Tensor) -> None:
    with pytest.raises(TypeError, match=r"model: must be a torch\.nn\.Module"):
        make_baseline("gradient", lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="inputs of shape"):
        make_baseline("gradient", networks.small()).attribute(images[0])
    with pytest.raises(ValueError, match="layer='nose': must be the dotted name"):
        make_baseline("gradcam", networks.small(), layer="nose").attribute(images)


def test_costs() -> None:
    model = networks.small()
    costs = {name: make_baseline(name, model).gradients for name in BASELINES if name != "occlusion"}
    assert costs == {
        "gradient": 1, "input_x_gradient": 1, "integrated_gradients": 50, "smoothgrad": 16, "guided_backprop": 1,
        "gradcam": 1, "deeplift": 2, "random": 0, "edges": 0,
    }  # fmt: skip
    assert math.isnan(make_baseline("occlusion", model).gradients)


def test_the_real_network_allows_every_method(name: str) -> None:
    x = photographs.photographs("coffee.png")
    options = {"window": 112, "stride": 112} if name == "occlusion" else {}
    maps = some(name, photographs.network(), **options).attribute(x)
    assert bool(torch.isfinite(maps).all())
    assert bool((maps != 0).any())
