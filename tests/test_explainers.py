"""CAFO and CASO maps, and every figure beside them, against the dense oracles."""

import pytest
import torch
from torch import nn

import caso
from caso.smoothing import noisy_copies
from tests import networks, reference

SHAPES = [(1, 6, 5), (3, 5, 7), (5, 4, 6)]
LAMBDA2 = 0.5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lambda1", [0.0, 5e-3, 0.05])
@pytest.mark.parametrize("ahead", [0, 10_000])
def test_first_order_map_is_its_formula(shape: tuple[int, int, int], lambda1: float, ahead: int) -> None:
    network, inputs = networks.small(channels=shape[0], norm=True), networks.images(3, *shape)
    result = caso.CAFO(network, lambda1=lambda1, lambda2=2.5, images_ahead=ahead).explain(inputs, 2)
    for i, image in enumerate(inputs):
        g = reference.gradient(network, image, 2)
        expected = reference.cafo(g, lambda1, 2.5)
        torch.testing.assert_close(result.maps[i].flatten(), expected, rtol=1e-9, atol=1e-14)
        assert float(result.sparsity[i]) == pytest.approx(float((expected == 0).double().mean()))
        assert float(result.lambda2_effective[i]) == 2.5
        zero = torch.zeros(len(g), len(g), dtype=g.dtype)
        assert reference.residual(result.maps[i].flatten(), g, zero, lambda1, 2.5) <= 1e-12
        assert float(result.kkt_residual[i]) <= 1e-12
        assert result.status[i] == "converged"


@pytest.mark.parametrize("curvature", ["auto", "gauss_newton", "double_backward", "closed_form"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lambda1", [0.0, 5e-3, 0.05])
def test_second_order_map_is_the_oracles(shape: tuple[int, int, int], lambda1: float, curvature: str) -> None:
    network, inputs = networks.small(channels=shape[0], norm=True), networks.images(3, *shape)
    targets = [2, 0, 4]
    explainer = caso.CASO(network, lambda1=lambda1, lambda2=LAMBDA2, tol=1e-10, curvature=curvature)
    result = explainer.explain(inputs, targets)
    assert result.status == ["converged"] * 3
    assert result.curvature == ("gauss_newton" if curvature == "auto" else curvature)
    for i, target in enumerate(targets):
        expected = reference.second_order_map(network, inputs[i], target, lambda1, LAMBDA2)
        assert (result.maps[i] - expected).norm() <= 1e-6 * expected.norm()
        assert torch.equal(result.maps[i] == 0, expected == 0)


def test_reported_figures_are_those_of_the_definitions() -> None:
    network, inputs = networks.residual(), networks.images(3, 3, 6, 5)
    probabilities = network(inputs).softmax(1).detach()
    targets = torch.tensor([1, 5, 0])
    for tol in (0.2, 1e-3, 1e-9):
        result = caso.CASO(network, lambda1=2e-4, lambda2=0.05, tol=tol).explain(inputs, targets)
        assert torch.equal(result.target, targets)
        assert torch.equal(result.predicted, probabilities.argmax(1))
        torch.testing.assert_close(result.lambda1.double(), torch.full((3,), 2e-4, dtype=torch.float64))
        for i, image in enumerate(inputs):
            target = int(targets[i])
            g, h = reference.gradient(network, image, target), reference.hessian(network, image, target)
            bound = float(result.lambda2_effective[i])
            true = reference.residual(result.maps[i].flatten(), g, h, 2e-4, bound)
            assert float(result.kkt_residual[i]) == pytest.approx(true, rel=1e-3, abs=1e-11)
            assert true <= tol
            top = float(torch.linalg.eigvalsh(h)[-1])
            assert float(result.lambda_max[i]) == pytest.approx(top, rel=1e-3)
            assert bound == pytest.approx(0.05 + top, rel=1e-3)
            assert float(result.sparsity[i]) == pytest.approx(float((result.maps[i] == 0).double().mean()))
        assert (result.hvps >= 1).all()


@pytest.mark.parametrize("target", [None, 3])
def test_confidence_is_the_softmax_of_the_explained_class(target: int | None) -> None:
    network, inputs = networks.small(), networks.images(3, 3, 6, 5)
    probabilities = network(inputs).softmax(1).detach()
    for explainer in (caso.CAFO(network), caso.CASO(network)):
        result = explainer.explain(inputs, target)
        expected = probabilities.max(1).values if target is None else probabilities[:, target]
        predicted = probabilities.max(1).values
        assert torch.allclose(result.confidence, expected) or torch.allclose(result.confidence, predicted)
        if target is None:
            assert torch.equal(result.target, probabilities.argmax(1))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
@pytest.mark.parametrize("lambda1", [0.0, 5e-3])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_smooth_map_is_the_oracles(activation: type, lambda1: float, batch_size: int | None) -> None:
    network, inputs = networks.small(activation, norm=True), networks.images(2, 3, 5, 4)
    copies = noisy_copies(inputs, 5, 0.2, 7)
    explainer = caso.CASO(
        network, lambda1=lambda1, lambda2=LAMBDA2, smooth=True, n_samples=5, stddev=0.2, seed=7, tol=1e-9,
        batch_size=batch_size,
    )  # fmt: skip
    result = explainer.explain(inputs, 1)
    first = caso.CAFO(network, lambda1=lambda1, lambda2=2.0, smooth=True, n_samples=5, stddev=0.2, seed=7)
    maps = first.attribute(inputs, 1)
    for i in range(2):
        g, h = reference.mean_model(network, copies[:, i], 1)
        expected = reference.caso(g, h, lambda1, LAMBDA2)
        assert (result.maps[i].flatten() - expected).norm() <= 1e-4 * expected.norm()
        bound = float(result.lambda2_effective[i])
        assert bound == pytest.approx(reference.effective_lambda2(h, LAMBDA2), rel=1e-4)
        assert reference.residual(result.maps[i].flatten(), g, h, lambda1, bound) <= 1.01e-9
        torch.testing.assert_close(maps[i].flatten(), reference.cafo(g, lambda1, 2.0), rtol=1e-9, atol=1e-13)


def test_smooth_without_noise_is_the_plain_map() -> None:
    network, inputs = networks.residual(), networks.images(2, 3, 6, 5)
    for kind in (caso.CAFO, caso.CASO):
        plain = kind(network, lambda1=1e-4, lambda2=0.1, tol=1e-10).attribute(inputs, 0)
        smooth = kind(network, lambda1=1e-4, lambda2=0.1, tol=1e-10, smooth=True, n_samples=3, stddev=0.0)
        torch.testing.assert_close(smooth.attribute(inputs, 0), plain, rtol=1e-6, atol=1e-10)


def test_noise_is_seeded_and_scaled_by_each_images_range() -> None:
    inputs = networks.images(2, 3, 32, 32) * torch.tensor([1.0, 0.1], dtype=networks.DOUBLE).view(2, 1, 1, 1)
    copies = noisy_copies(inputs, 8, 0.15, 3)
    assert copies.shape == (8, 2, 3, 32, 32)
    assert torch.equal(copies, noisy_copies(inputs, 8, 0.15, 3))
    assert not torch.equal(copies, noisy_copies(inputs, 8, 0.15, 4))
    noise = copies - inputs
    for i in range(2):
        scale = float(inputs[i].max() - inputs[i].min())
        assert float(noise[:, i].std()) == pytest.approx(0.15 * scale, rel=0.03)
        assert abs(float(noise[:, i].mean())) < 0.01 * scale
    assert not torch.equal(noise[0], noise[1])


def test_smooth_maps_depend_on_their_seed_alone() -> None:
    network, inputs = networks.small(), networks.images(1, 3, 6, 5)
    maps = [caso.CASO(network, smooth=True, n_samples=4, seed=s).attribute(inputs, 0) for s in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
