"""What a caller may rely on: shapes, targets, modes, dtypes, errors, and that nothing of theirs is changed."""

import copy

import pytest
import torch
from torch import Tensor, nn

import caso
from tests import networks

KINDS = [caso.CAFO, caso.CASO]
INPUTS = networks.images(3, 3, 6, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (2, 3, 6, 6), (4, 5, 8, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_attribution_has_the_inputs_shape_and_is_not_rounded(
    kind: type, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    network = networks.small(channels=shape[1], dtype=dtype)
    maps = kind(network).attribute(networks.images(*shape, dtype=dtype))
    assert maps.shape == shape
    assert maps.dtype == torch.promote_types(dtype, torch.float32)
    assert not maps.requires_grad
    assert maps.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_legal_form_of_target_names_the_same_class(kind: type) -> None:
    explainer = kind(networks.small(), lambda1=1e-3)
    expected = explainer.attribute(INPUTS, 2)
    for target in (torch.tensor(2), torch.tensor([2]), [2, 2, 2], (2, 2, 2), torch.tensor([2, 2, 2])):
        torch.testing.assert_close(explainer.attribute(INPUTS, target), expected, rtol=1e-12, atol=0)
    mixed = explainer.attribute(INPUTS, [0, 2, 5])
    torch.testing.assert_close(mixed[1], expected[1], rtol=1e-6, atol=1e-10)
    assert not torch.allclose(mixed[0], expected[0])
    predicted = networks.small()(INPUTS).argmax(1)
    assert torch.equal(explainer.explain(INPUTS).target, predicted)
    torch.testing.assert_close(explainer.attribute(INPUTS), explainer.attribute(INPUTS, predicted), rtol=1e-12, atol=0)


BAD_TARGETS = [6, -1, [0, 1], [0, 1, 6], torch.tensor([0.5, 1, 2]), "dog", torch.zeros(3, 2).long()]


@pytest.mark.parametrize("target", BAD_TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_targets_are_named(kind: type, target: object) -> None:
    with pytest.raises(ValueError, match="target"):
        kind(networks.small()).attribute(INPUTS, target)


@pytest.mark.parametrize("inputs", [(INPUTS * 255).byte(), INPUTS[:0], "photo.png", None])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_inputs_are_named(kind: type, inputs: object) -> None:
    with pytest.raises(ValueError, match="inputs"):
        kind(networks.small()).attribute(inputs)


BAD_IMAGES = [
    ((INPUTS * 255).byte(), r"^inputs of torch.uint8: must be floats, as inputs / 255$"),
    (INPUTS > 0, r"^inputs of torch.bool: must be floats$"),
    (INPUTS[0], r"^inputs of shape \[B, 6, 5\]: the network cannot take them \(.*given as a batch, inputs\[None\]$"),
    (INPUTS[0, 0, 0], r"^inputs of shape \[5\]: must be a batch \[B, ...\] of B >= 1$"),
    (INPUTS[:, :, :0], r"^inputs of shape \[3, 3, 0, 5\]: must be a batch"),
    ([INPUTS], r"^inputs of type list: must be a tensor of floats"),
]


@pytest.mark.parametrize(("inputs", "line"), BAD_IMAGES, ids=["uint8", "bool", "one image", "row", "no pixels", "list"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_inputs_is_said_in_one_line(kind: type, inputs: object, line: str) -> None:
    explainer = kind(networks.small())
    for call in (explainer.explain, explainer.attribute, explainer.path, explainer.auto, explainer.prepare):
        with pytest.raises(ValueError, match=line) as told:
            call(inputs)
        assert "\n" not in str(told.value)


BAD_SETTINGS = [
    ("auto", {"sparsity": "0.9"}, "sparsity='0.9': must be a number"),
    ("auto", {"sparsity": None}, "sparsity=None: must be a number"),
    ("auto", {"sparsity": True}, "sparsity=True: must be a number"),
    ("auto", {"sparsity": float("nan")}, "sparsity=nan: must be between 0 and 1"),
    ("path", {"n": "5"}, "n='5': must be a whole number"),
    ("path", {"n": 2.0}, "n=2.0: must be a whole number"),
    ("path", {"n": True}, "n=True: must be a whole number"),
    ("path", {"n": 0}, "n=0: must be at least 1"),
    ("path", {"lambda1s": [True, False]}, "lambda1s=.*: must be a list of numbers"),
    ("path", {"lambda1s": "0.1"}, "lambda1s='0.1': must be a list of numbers"),
    ("explain", {"target": 6}, "target=6: must be below the 6 classes"),
    ("explain", {"target": True}, "target=True: must be None, a class index"),
]


@pytest.mark.parametrize(("method", "options", "line"), BAD_SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_a_call_are_named(kind: type, method: str, options: dict, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        getattr(kind(networks.small()), method)(INPUTS, **options)


BAD = [
    ("lambda1", [True, -1e-9, float("nan"), float("inf"), "abc", None]),
    ("lambda2", [0.0, -4.0, float("nan"), float("inf"), "abc"]),
    ("n_samples", [0, -1, 2.5, True]),
    ("smooth", ["yes", 1, None]),
    ("seed", [None, 0.5]),
    ("stddev", [-0.1, float("nan")]),
    ("solver", ["newton", "", None]),
    ("n_iter", [0, -1]),
    ("lr", [0.0, -0.1, float("nan")]),
    ("init", ["ones"]),
    ("tol", [0.0, -1e-3, float("nan"), True]),
    ("batch_size", [0, -2, 1.5]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD for value in values])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_options_are_named_when_the_explainer_is_made(kind: type, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        kind(networks.small(), **{name: value})


@pytest.mark.parametrize(("name", "value"), [("curvature", "diagonal"), ("curvature", None), ("images_ahead", -1)])
def test_bad_second_order_options_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        caso.CASO(networks.small(), **{name: value})


def observe(network: nn.Module) -> tuple[list, dict, list, list]:
    """Everything about a module that a caller could find changed."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    hooks = [(n, [len(getattr(m, kind)) for kind in kinds]) for n, m in network.named_modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    flags = [(n, p.requires_grad, g, id(p)) for (n, p), g in zip(network.named_parameters(), grads, strict=True)]
    attributes = [(n, m.training, getattr(m, "inplace", None), type(m)) for n, m in network.named_modules()]
    return hooks, copy.deepcopy(network.state_dict()), flags, attributes


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [{}, {"images_ahead": 10_000}, {"curvature": "double_backward"}, {"smooth": True}])
def test_model_and_inputs_come_back_unchanged(options: dict, training: bool) -> None:
    network = nn.Sequential(networks.residual(), nn.Dropout(0.5)).train(training)
    network[0].norm.eval()  # a mixed mode must survive too
    network[0].conv.weight.requires_grad_(False)
    network[0].head.bias.grad = torch.ones(6, dtype=networks.DOUBLE)
    seen: list[int] = []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    before, rng = observe(network), torch.get_rng_state()
    inputs = INPUTS.clone().requires_grad_(True)
    caso.CASO(network, **options).attribute(inputs)
    if "curvature" not in options:
        caso.CAFO(network, **options).attribute(inputs)
    after = observe(network)
    assert before[0] == after[0]
    assert all(torch.equal(before[1][k], after[1][k]) for k in before[1])
    for (n1, r1, g1, i1), (n2, r2, g2, i2) in zip(before[2], after[2], strict=True):
        assert (n1, r1, i1) == (n2, r2, i2)
        assert (g1 is None and g2 is None) or torch.equal(g1, g2)
    assert before[3] == after[3]
    assert torch.equal(inputs, INPUTS)
    assert inputs.grad is None
    assert inputs.requires_grad
    assert torch.equal(rng, torch.get_rng_state()), "the caller's random state"


@pytest.mark.parametrize("kind", KINDS)
def test_model_in_train_mode_gives_evals_answer(kind: type) -> None:
    network = nn.Sequential(networks.residual(), nn.Dropout(0.5)).eval()
    expected = kind(network, lambda1=1e-4).attribute(INPUTS, 1)
    network.train()
    torch.testing.assert_close(kind(network, lambda1=1e-4).attribute(INPUTS, 1), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_works_under_no_grad_and_leaves_the_callers_mode(kind: type) -> None:
    explainer = kind(networks.residual(), lambda1=1e-4)
    expected = explainer.attribute(INPUTS, 1)
    with torch.no_grad():
        torch.testing.assert_close(explainer.attribute(INPUTS, 1), expected, rtol=0, atol=0)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("kind", KINDS)
def test_memory_layout_of_the_inputs_does_not_matter(kind: type) -> None:
    explainer = kind(networks.residual(), lambda1=1e-4, lambda2=0.1)
    expected = explainer.attribute(INPUTS, 1)
    wide = torch.cat([INPUTS, INPUTS], 3)[..., :5]
    for inputs in (INPUTS.contiguous(memory_format=torch.channels_last), wide):
        torch.testing.assert_close(explainer.attribute(inputs, 1), expected, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"images_ahead": 10_000}, {"curvature": "double_backward"}], ids=str)
def test_changed_weights_are_noticed(options: dict) -> None:
    network = networks.small(norm=True)
    explainer = caso.CASO(network, lambda1=1e-3, tol=1e-9, **options)
    before = explainer.attribute(INPUTS, 1)
    with torch.no_grad():
        network[0].weight.mul_(1.5)  # type: ignore[index, union-attr, operator]
    fresh = caso.CASO(copy.deepcopy(network), lambda1=1e-3, tol=1e-9, **options).attribute(INPUTS, 1)
    after = explainer.attribute(INPUTS, 1)
    torch.testing.assert_close(after, fresh, rtol=1e-7, atol=1e-12)
    assert not torch.allclose(after, before)
    network.load_state_dict(networks.small(norm=True).state_dict())
    torch.testing.assert_close(explainer.attribute(INPUTS, 1), before, rtol=1e-7, atol=1e-12)
    network[1].running_mean.add_(0.5)  # type: ignore[index, union-attr, operator]
    fresh = caso.CASO(copy.deepcopy(network), lambda1=1e-3, tol=1e-9, **options).attribute(INPUTS, 1)
    torch.testing.assert_close(explainer.attribute(INPUTS, 1), fresh, rtol=1e-7, atol=1e-12)


def mixed() -> Tensor:
    """Images from flat to harsh: their Hessians, confidences and numbers of products differ."""
    inputs = networks.images(7, 3, 6, 5, dtype=torch.float32)
    return inputs * torch.tensor([0.0, 0.01, 0.3, 1.0, 3.0, 10.0, 1.0]).view(7, 1, 1, 1)


@pytest.mark.parametrize("options", [{}, {"lambda1": 0.02}, {"lambda1": 0.0}, {"solver": "proximal"}], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_maps_do_not_depend_on_the_batch(activation: type, options: dict) -> None:
    network, inputs = networks.small(activation, norm=True, dtype=torch.float32), mixed()
    settings = {"lambda1": 2e-3, "lambda2": 0.5, **options}
    together = caso.CASO(network, **settings).explain(inputs)
    chunked = caso.CASO(network, batch_size=2, **settings).explain(inputs)
    for i in range(len(inputs)):
        alone = caso.CASO(network, **settings).explain(inputs[i : i + 1])
        scale = alone.maps[0].norm()
        assert (together.maps[i] - alone.maps[0]).norm() <= 1e-5 * scale
        assert (chunked.maps[i] - alone.maps[0]).norm() <= 1e-5 * scale
        assert together.status[i] == chunked.status[i] == alone.status[0]
        assert together.hvps[i] == alone.hvps[0]


def test_images_of_several_shapes_and_dtypes_may_follow_each_other() -> None:
    network = networks.small()
    explainer = caso.CASO(network, lambda1=1e-3, images_ahead=10_000)
    for shape in ((2, 3, 6, 5), (1, 3, 8, 8), (5, 3, 6, 5), (2, 3, 6, 5)):
        inputs = networks.images(*shape)
        expected = caso.CASO(network, lambda1=1e-3).attribute(inputs, 1)
        torch.testing.assert_close(explainer.attribute(inputs, 1), expected, rtol=1e-6, atol=1e-10)
    network.float()
    maps = explainer.attribute(INPUTS.float(), 1)
    assert maps.dtype == torch.float32
    expected = caso.CASO(networks.small(), lambda1=1e-3).attribute(INPUTS, 1)
    assert (maps - expected).norm() <= 5e-3 * expected.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_model_that_returns_nan_gets_a_status_and_leaves_the_others_alone(kind: type) -> None:
    inner = networks.small()
    inputs = torch.stack([INPUTS[0] * 0.2, INPUTS[1] * 0.2 + 0.8, INPUTS[2] * 0.2])
    result = kind(networks.Broken(inner).eval(), lambda1=1e-3).explain(inputs, 1)
    assert result.status == ["converged", "not_finite", "converged"]
    expected = kind(inner, lambda1=1e-3).attribute(inputs, 1)
    torch.testing.assert_close(result.maps[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=1e-10)
    assert not (result.maps[1].isfinite() & (result.maps[1] != 0)).any(), "no map may be made up"


@pytest.mark.parametrize("kind", KINDS)
def test_constant_model_gives_the_zero_map_without_a_crash(kind: type) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x.flatten(1)[:, :4]

    result = kind(Constant().eval()).explain(INPUTS, 1)
    assert (result.maps == 0).all()
    assert result.status == ["converged"] * 3
    assert (result.kkt_residual == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_model_whose_output_is_not_logits_is_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="model"):
        kind(nn.Conv2d(3, 4, 1, dtype=networks.DOUBLE).eval()).attribute(INPUTS, 1)
    with pytest.raises((TypeError, ValueError), match="model"):
        kind("resnet50")
