"""The oracles themselves, against facts that can be checked without any solver."""

import pytest
import torch

from tests import networks, reference

IMAGE = networks.images(3, 6, 5)


@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.ReLU6, torch.nn.LeakyReLU])
def test_paper_closed_form_is_the_hessian_of_a_relu_network(activation: type[torch.nn.Module]) -> None:
    network = networks.small(activation)
    h = reference.hessian(network, IMAGE, 2)
    assert (h - reference.gauss_newton(network, IMAGE, 2)).norm() <= 1e-12 * h.norm()
    assert torch.linalg.eigvalsh(h)[0] >= -1e-12 * h.norm()


def test_paper_closed_form_is_not_the_hessian_of_a_silu_network() -> None:
    network = networks.small(torch.nn.SiLU)
    h = reference.hessian(network, IMAGE, 2)
    assert (h - reference.gauss_newton(network, IMAGE, 2)).norm() > 0.1 * h.norm()
    assert torch.linalg.eigvalsh(h)[0] < 0


def test_gradient_and_hessian_are_those_of_finite_differences() -> None:
    network = networks.small(torch.nn.SiLU)
    g, h = reference.gradient(network, IMAGE, 1), reference.hessian(network, IMAGE, 1)
    step = 1e-4 * networks.images(3, 6, 5, seed=3)
    up, down = (reference.loss(network, IMAGE + s * step, 1) for s in (1, -1))
    torch.testing.assert_close((up - down) / 2, g @ step.flatten(), rtol=1e-5, atol=0)
    up, down = (reference.gradient(network, IMAGE + s * step, 1) for s in (1, -1))
    torch.testing.assert_close((up - down) / 2, h @ step.flatten(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.SiLU])
def test_oracle_maps_maximise_the_objective(activation: type[torch.nn.Module], fraction: float) -> None:
    network = networks.small(activation)
    g, h = reference.gradient(network, IMAGE, 1), reference.hessian(network, IMAGE, 1)
    lambda1 = fraction * float(g.abs().max())
    bound = reference.effective_lambda2(h, 0.5)
    best = reference.caso(g, h, lambda1, 0.5)
    assert reference.residual(best, g, h, lambda1, bound) < 1e-13
    top = reference.objective(best, g, h, lambda1, bound)
    for seed in range(20):
        nudge = 1e-3 * best.norm() * (networks.images(len(g), seed=seed) - 0.5)
        assert reference.objective(best + nudge, g, h, lambda1, bound) < top
