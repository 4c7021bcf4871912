"""Captum's and Quantus's own code runs on an explainer."""

import warnings
from typing import Any

import captum.metrics
import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.attr import visualization as viz
from torch import Tensor

import caso
from tests import networks

KINDS = [caso.CAFO, caso.CASO]
INPUTS = networks.images(3, 3, 6, 5, dtype=torch.float32)
TARGETS = torch.tensor([1, 0, 4])


@pytest.fixture(params=KINDS)
def explainer(request: pytest.FixtureRequest) -> Any:
    return request.param(networks.small(dtype=torch.float32), lambda1=1e-3)


def test_a_tuple_of_one_comes_back_as_one(explainer: Any) -> None:
    found = explainer.attribute((INPUTS,), target=TARGETS)
    assert isinstance(found, tuple)
    assert len(found) == 1
    assert torch.equal(found[0], explainer.attribute(INPUTS, target=TARGETS, additional_forward_args=None))


@pytest.mark.parametrize("target", [1, TARGETS])
def test_sensitivity_max(explainer: Any, target: int | Tensor) -> None:
    expected = explainer.attribute(INPUTS, target=target)
    torch.manual_seed(0)
    still = captum.metrics.sensitivity_max(explainer.attribute, INPUTS, perturb_radius=0.0, target=target)
    assert (still <= 1e-4).all()
    found = captum.metrics.sensitivity_max(explainer.attribute, INPUTS, target=target, n_perturb_samples=4)
    assert found.shape == (3,)
    assert (found > 1e-4).all()
    torch.manual_seed(3)
    one = captum.metrics.sensitivity_max(explainer.attribute, INPUTS, target=target, n_perturb_samples=1)
    torch.manual_seed(3)
    moved = INPUTS + torch.FloatTensor(INPUTS.shape).uniform_(-0.02, 0.02)
    distance = (explainer.attribute(moved, target=target) - expected).flatten(1).norm(dim=1)
    torch.testing.assert_close(one, distance / expected.flatten(1).norm(dim=1), rtol=1e-3, atol=1e-5)


def test_infidelity(explainer: Any) -> None:
    def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.01 * torch.randn_like(images)
        return noise, images - noise

    torch.manual_seed(0)
    scores = captum.metrics.infidelity(
        explainer.forward_func, perturb, INPUTS, explainer.attribute(INPUTS, target=TARGETS), target=TARGETS
    )
    assert scores.shape == (3,)
    assert scores.isfinite().all()


@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_tunnel(explainer: Any, kind: str) -> None:
    tunnel = NoiseTunnel(explainer)
    options = {"nt_type": kind, "nt_samples": 3, "stdevs": 0.05, "target": TARGETS}
    torch.manual_seed(0)
    found = tunnel.attribute(INPUTS, **options)
    torch.manual_seed(0)
    copies = INPUTS.repeat_interleave(3, 0) + torch.normal(0, torch.full((9, 3, 6, 5), 0.05))
    maps = explainer.attribute(copies, TARGETS.repeat_interleave(3)).view(3, 3, 3, 6, 5)
    expected = {
        "smoothgrad": maps.mean(1), "smoothgrad_sq": (maps**2).mean(1), "vargrad": (maps**2).mean(1) - maps.mean(1) ** 2
    }  # fmt: skip
    torch.testing.assert_close(found, expected[kind], rtol=1e-3, atol=1e-5)
    torch.manual_seed(0)
    (in_tuple,) = tunnel.attribute((INPUTS,), **options)
    assert torch.equal(in_tuple, found)
    assert not tunnel.has_convergence_delta()
    assert not tunnel.multiplies_by_inputs


def test_visualize_image_attr(explainer: Any) -> None:
    import matplotlib.pyplot as plt

    shown, picture = (t[0].permute(1, 2, 0).numpy() for t in (explainer.attribute(INPUTS, target=TARGETS), INPUTS))
    figure, _ = viz.visualize_image_attr(shown, picture, method="blended_heat_map", sign="all", use_pyplot=False)
    assert figure.axes
    plt.close("all")


def test_what_an_explainer_cannot_take_is_refused_in_one_line(explainer: Any) -> None:
    with pytest.raises(ValueError, match="additional_forward_args of type int: must be None"):
        explainer.attribute(INPUTS, TARGETS, 3)
    with pytest.raises(ValueError, match="inputs of 2 tensors: must be one tensor, or a tuple of one"):
        explainer.attribute((INPUTS, INPUTS), TARGETS)
    with pytest.raises(ValueError, match="additional_forward_args"):
        captum.metrics.sensitivity_max(explainer.attribute, INPUTS, target=1, additional_forward_args=INPUTS)


@pytest.mark.parametrize("kind", KINDS)
def test_quantus_takes_an_explainer_in_one_line(kind: type) -> None:
    with warnings.catch_warnings():  # of what it imports, and its notes about parameters
        warnings.simplefilter("ignore")
        quantus = pytest.importorskip("quantus")
    network = networks.small(dtype=torch.float32)
    explain = lambda model, inputs, targets, **_: kind(model).attribute(torch.as_tensor(inputs), targets).numpy()  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        common = {
            "model": network, "x_batch": INPUTS.numpy(), "y_batch": TARGETS.numpy(), "explain_func": explain,
            "device": "cpu",
        }  # fmt: skip
        sensitivity = quantus.MaxSensitivity(nr_samples=3, disable_warnings=True)(**common)
        measure = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
        found = measure(**common)
        maps = kind(network).attribute(INPUTS, TARGETS).numpy()
        expected = measure(**(common | {"explain_func": None, "a_batch": maps}))
    assert np.isfinite(sensitivity).all()
    assert list(map(float, found)) == pytest.approx(list(map(float, expected)), abs=1e-4)
