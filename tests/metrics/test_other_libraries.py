"""Agreement with Quantus and Captum, where they measure the same thing."""

import warnings
from collections.abc import Iterator
from types import ModuleType

import captum.metrics
import pytest
import torch
from torch import Tensor

from caso.metrics import Case, make_metric
from tests.metrics.cases import case, gradients


@pytest.fixture
def quantus() -> Iterator[ModuleType]:
    # Only what it imports and its notes about parameters may warn.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("quantus")


def single(channels: int = 1) -> Case:
    return case(3, channels, 7, 6, dtype=torch.float32)


@pytest.mark.parametrize("pixels", [1, 6])
def test_pixel_flipping_is_that_of_quantus(quantus: ModuleType, pixels: int) -> None:
    given = single()
    theirs = quantus.PixelFlipping(
        features_in_step=pixels, perturb_baseline=0.0, abs=True, normalise=False, disable_warnings=True
    )(
        model=given.network, x_batch=given.images.numpy(), y_batch=given.targets.numpy(), a_batch=given.maps.numpy(),
        softmax=True, device="cpu",
    )  # fmt: skip
    ours = make_metric("pixel_flipping", steps=42 // pixels, substrate="black", of="target").score(given)
    assert ours.curve is not None
    torch.testing.assert_close(ours.curve, torch.tensor(theirs).double(), rtol=0, atol=1e-5)


def test_sparseness_and_complexity_are_those_of_quantus(quantus: ModuleType) -> None:
    given = single(3)
    maps = given.maps.clone()
    for name, kind in (("gini", quantus.Sparseness), ("entropy", quantus.Complexity)):
        theirs = kind(abs=True, normalise=False, disable_warnings=True)(
            model=given.network, x_batch=given.images.numpy(), y_batch=given.targets.numpy(),
            a_batch=maps.numpy().copy(), device="cpu",
        )  # fmt: skip
        assert make_metric(name).score(given).values.tolist() == pytest.approx(list(map(float, theirs)), abs=1e-5)


@pytest.mark.parametrize("normal", [True, False])
def test_infidelity_is_that_of_captum(normal: bool) -> None:
    given = case(3, 3, 6, 5)
    samples, stddev = 12, 0.2
    noise = torch.randn(samples, 3, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * stddev

    def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
        draws = noise.repeat(3, 1, 1, 1)
        return draws, images - draws

    def probabilities(images: Tensor) -> Tensor:
        return given.network(images).softmax(1)

    theirs = captum.metrics.infidelity(
        probabilities, perturb, given.images, given.maps, target=given.targets, n_perturb_samples=samples,
        normalize=normal,
    )  # fmt: skip
    ours = make_metric("infidelity", samples=samples, stddev=stddev).score(given).values
    if normal:
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
    else:  # a map at its best scale is never worse
        assert bool((ours <= theirs).all())


def test_maximum_sensitivity_is_that_of_captum() -> None:
    given = case(3, 3, 6, 5)
    samples, radius = 5, 0.1
    source = torch.Generator().manual_seed(0)
    draws = torch.cat([torch.rand(1, 3, 6, 5, generator=source, dtype=torch.float64) for _ in range(samples)])

    def perturb(images: Tensor) -> Tensor:
        return images + radius * (2 * draws.repeat(3, 1, 1, 1) - 1)

    def explain(images: Tensor | tuple[Tensor], target: Tensor) -> Tensor | tuple[Tensor]:
        if isinstance(images, tuple):
            return (gradients(given.network)(images[0], target),)  # type: ignore[arg-type]
        return gradients(given.network)(images, target)  # type: ignore[arg-type]

    theirs = captum.metrics.sensitivity_max(
        explain, given.images, perturb, n_perturb_samples=samples, target=given.targets
    )
    ours = make_metric("max_sensitivity", samples=samples, radius=radius).score(given).values
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
