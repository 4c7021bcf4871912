"""What a network returns: its logits are found, and no certificate is given for a wrong question."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import caso
from caso.baselines import make_baseline
from tests import networks

KINDS = [caso.CAFO, caso.CASO]
INPUTS = networks.images(3, 3, 6, 5)


class After(nn.Module):
    """A network, and what is done to its logits."""

    def __init__(self, change: Callable[[Tensor], Any], classes: int = 6) -> None:
        super().__init__()
        self.inner = networks.small(classes=classes)
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.inner(x))


class Two(nn.Module):
    """The two classes `[0, z]` of one logit, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = networks.small(classes=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(self.inner(x), (1, 0))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)


ONE = {
    "[B, 1]": networks.small(classes=1),
    "[B]": After(lambda z: z[:, 0], 1),
    "[B], and [] of one image": After(torch.squeeze, 1),
    "[B, 1] in a tuple": After(lambda z: (z, z[:, :, None]), 1),
    "[B, 1, 1, 1]": After(lambda z: z[:, :, None, None], 1),
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("kind", KINDS)
def test_one_logit_is_explained_as_two_classes(name: str, kind: type) -> None:
    options = {"lambda1": 1e-3, "tol": 1e-9}
    for count, target in ((3, None), (3, [0, 1, 0]), (1, 1)):
        found = kind(ONE[name], **options).explain(INPUTS[:count], target)
        expected = kind(Two(), **options).explain(INPUTS[:count], target)
        close(found.maps, expected.maps)
        assert found.maps.abs().max() > 0
        assert found.probabilities.shape == (count, 2)
        close(found.confidence, expected.confidence)
        assert "explained as the logits [0, z] of two classes" in found.evidence
    with pytest.raises(ValueError, match="target=2: must be below the 2 classes"):
        kind(ONE[name]).attribute(INPUTS, 2)


LOGITS: dict[str, Callable[[Tensor], Any]] = {
    "a tuple": lambda z: (None, z, z[:, :, None]),
    "a list": lambda z: [z.argmax(1), z],
    "a dict": lambda z: {"features": z[:, :, None], "out": z},
    "a dict with logits": lambda z: {"features": 2 * z, "logits": z},
    "an object with logits": lambda z: SimpleNamespace(logits=z, hidden=2 * z),
    "[K] of one image": torch.squeeze,
    "[B, K, 1, 1]": lambda z: z[:, :, None, None],
}


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_taken_where_that_is_unambiguous(name: str, kind: type) -> None:
    model = After(LOGITS[name])
    for count in (1, 3):
        found = kind(model, lambda1=1e-3, tol=1e-9, images_ahead=10_000).explain(INPUTS[:count], 1)
        expected = kind(networks.small(), lambda1=1e-3, tol=1e-9).explain(INPUTS[:count], 1)
        close(found.maps, expected.maps)
        assert ("its entry" in found.evidence) == ("[" not in name)
    close(make_baseline("gradient", model).attribute(INPUTS), make_baseline("gradient", model.inner).attribute(INPUTS))


class ModelOutput(OrderedDict[str, Tensor]):
    """As Hugging Face's: a dict whose entries are attributes, and the tuple's, too."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else tuple(self.values())[key]


def test_the_output_of_a_hugging_face_model_is_taken_and_its_graph_captured() -> None:
    model = After(lambda z: ModelOutput(hidden=2 * z, logits=z))
    result = caso.CASO(model, lambda1=1e-3, tol=1e-9).explain(INPUTS)
    close(result.maps, caso.CASO(model.inner, lambda1=1e-3, tol=1e-9).explain(INPUTS).maps)
    assert (
        result.evidence == "every operation is piecewise linear; the network returns a ModelOutput: its entry "
        "logits is explained"
    )


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "a sigmoid's one output": (lambda z: z[:, :1].sigmoid(), "one output is a probability"),
    "a sigmoid by hand": (lambda z: 1 / (1 + torch.exp(-z[:, :1])), "one output is a probability"),
    "saturated": (lambda z: (z[:, :1] + 1000).sigmoid().squeeze(1), "one output is a probability"),
    "two candidates": (lambda z: (z, 2 * z), r"a tuple \(0: \[B, 6\], 1: \[B, 6\]\): must be logits \[B, K\]"),
    "none": (lambda z: (), "returns a tuple: must be logits"),
    "a word": (lambda z: "dog", "returns a str: must be logits"),
    "maps": (lambda z: z[:, :, None, None].expand(-1, -1, 4, 4), r"output is \[B, 6, 4, 4\].*a mean over the pixels"),
    "indices": (lambda z: z.argmax(1), "torch.int64: must be logits"),
    "no rows": (lambda z: z.sum(0), r"must be logits \[B, K\]"),
    "dropout": (lambda z: functional.dropout(z, 0.5, training=True), "different outputs for the same image"),
    "a little noise": (lambda z: z + 1e-6 * torch.randn_like(z), "different outputs for the same image"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", [*KINDS, "gradient"])
def test_what_poses_no_question_is_refused_in_one_line(name: str, kind: Any) -> None:
    change, words = REFUSED[name]
    explainer = make_baseline(kind, After(change)) if kind == "gradient" else kind(After(change))
    with pytest.raises(ValueError, match=f"^model: .*{words}") as told:
        explainer.attribute(INPUTS, 1)
    assert "\n" not in str(told.value)


def test_rounding_is_no_randomness() -> None:
    shaken = After(lambda z: z * (1 + 1e-15 * torch.randn_like(z)))
    assert caso.CAFO(shaken).explain(INPUTS).status == ["converged"] * 3


def test_a_network_whose_outputs_depend_on_the_batch_is_refused() -> None:
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(48, 5)
    with pytest.raises(ValueError, match=r"depend on the others in its batch.*track_running_stats=False"):
        caso.CASO(nn.Sequential(*layers).double().eval()).attribute(INPUTS)


def test_a_network_for_one_image_at_a_time_is_explained() -> None:
    model = After(lambda z: z.reshape(1, 6))
    result = caso.CASO(model, batch_size=1, lambda1=1e-3).explain(INPUTS, 1)
    close(result.maps, caso.CASO(networks.small(), batch_size=1, lambda1=1e-3).explain(INPUTS, 1).maps)


PROBABILITIES: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "softmax": (lambda z: z.softmax(1), "sum to 1, as after a softmax"),
    "softmax by hand": (lambda z: z.exp() / z.exp().sum(1, keepdim=True), "sum to 1, as after a softmax"),
    "sigmoid": (lambda z: {"out": z.sigmoid()}, "in [0, 1], as after a sigmoid"),
    "sigmoid by hand": (lambda z: 1 / (1 + torch.exp(-z)), "in [0, 1], as after a sigmoid"),
}


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_for_logits_are_warned_of_once(name: str, kind: type, caplog: pytest.LogCaptureFixture) -> None:
    change, words = PROBABILITIES[name]
    explainer = kind(After(change))
    with caplog.at_level(logging.INFO, "caso"):
        for inputs in (INPUTS, INPUTS, networks.images(2, 3, 8, 8)):
            result = explainer.explain(inputs)
    assert words in result.evidence
    assert "explain the logits before it" in result.evidence
    warned = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warned) == 1
    assert words in warned[0].getMessage()


def flattened(z: Tensor) -> Tensor:
    """A last layer whose outputs stay close to 0.4, whatever the image."""
    return functional.linear(z, 1e-4 * torch.eye(z.shape[1]).to(z), torch.full_like(z[0], 0.4))


@pytest.mark.parametrize(
    "change",
    [lambda z: z, lambda z: z.log_softmax(1), flattened, lambda z: 0 * z, torch.relu],
    ids=["logits", "log-probabilities", "small values", "constant", "relu"],
)
def test_logits_are_not_taken_for_probabilities(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    result = caso.CAFO(After(change)).explain(INPUTS)
    assert result.evidence == "first order"
    assert not [one for one in caplog.records if one.levelno == logging.WARNING]


def test_one_small_logit_is_not_taken_for_a_probability() -> None:
    result = caso.CAFO(After(flattened, 1)).explain(INPUTS)
    assert result.probabilities.shape == (3, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_around_a_call_does_not_change_it(kind: type) -> None:
    model, inputs = networks.small(dtype=torch.float32), INPUTS.float()
    expected = kind(model).explain(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = kind(model).explain(inputs)
        scored = make_baseline("gradient", model).attribute(inputs)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(found.maps, expected.maps)
    assert torch.equal(scored, make_baseline("gradient", model).attribute(inputs))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_compiled_module_the_original_is_explained(kind: type, whole: bool) -> None:
    model = networks.small()
    compiled: Any = torch.compile(model) if whole else nn.Sequential(nn.Identity(), torch.compile(model))
    assert torch.equal(kind(compiled).attribute(INPUTS), kind(model).attribute(INPUTS))
    assert torch.equal(
        make_baseline("gradcam", compiled).attribute(INPUTS), make_baseline("gradcam", model).attribute(INPUTS)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_torchscript_is_refused_in_one_line(kind: type) -> None:
    model = networks.small()
    with warnings.catch_warnings():  # torch has deprecated it
        warnings.simplefilter("ignore")
        traced, scripted = torch.jit.trace(model, INPUTS), torch.jit.script(model)
    for given in (traced, scripted, nn.Sequential(scripted)):
        with pytest.raises(TypeError, match=r"^model: .* TorchScript, which cannot be explained; give the module"):
            kind(given).attribute(INPUTS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_of_half_precision_images_is_that_of_their_map(kind: type, dtype: torch.dtype) -> None:
    model, inputs = networks.small(dtype=dtype), INPUTS.to(dtype)
    result = kind(model, lambda1=1e-3, tol=1e-6).explain(inputs, 1)
    single = kind(model.float(), lambda1=1e-3, tol=1e-6).explain(inputs.float(), 1)
    assert torch.equal(result.maps, single.maps)
    assert torch.equal(result.error_bound, single.error_bound)
    rounding = (result.maps.to(dtype) - result.maps).flatten(1).norm(dim=1)
    assert (rounding > 10 * result.error_bound).all(), "rounded to the images' precision, they would be outside"
