"""The objective, its optimality residual and the soft threshold, against loops and brute force."""

import pytest
import torch

from caso import objective, penalty
from tests import networks, reference


def problem(seed: int, d: int = 40) -> tuple[torch.Tensor, ...]:
    """A gradient, an indefinite symmetric Hessian and a map with zeros, `d` entries each."""
    generator = torch.Generator().manual_seed(seed)
    g = torch.randn(d, generator=generator, dtype=networks.DOUBLE)
    a = torch.randn(d, d, generator=generator, dtype=networks.DOUBLE)
    delta = torch.randn(d, generator=generator, dtype=networks.DOUBLE)
    return g, (a + a.T) / 2, torch.where(delta.abs() > 0.5, delta, torch.zeros(()).double())


@pytest.mark.parametrize("lambda1", [0.0, 0.3, 5.0])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_residual_and_value_are_those_of_the_loops(lambda1: float, dtype: torch.dtype, rtol: float) -> None:
    rows = [problem(seed) for seed in range(4)]
    bounds = [reference.effective_lambda2(h, 0.5) for _, h, _ in rows]
    g, delta = (torch.stack([row[i] for row in rows]).to(dtype) for i in (0, 2))
    curved = torch.stack([h @ d for _, h, d in rows]).to(dtype)
    l1, l2 = torch.full((4,), lambda1, dtype=networks.DOUBLE), torch.tensor(bounds, dtype=networks.DOUBLE)
    residuals = objective.kkt_residual(delta, g, curved, l1, l2)
    values = objective.objective(delta, g, curved, l1, l2)
    for i, (gi, h, d) in enumerate(rows):
        assert float(residuals[i]) == pytest.approx(reference.residual(d, gi, h, lambda1, bounds[i]), rel=rtol)
        assert float(values[i]) == pytest.approx(reference.objective(d, gi, h, lambda1, bounds[i]), rel=10 * rtol)


def test_residual_vanishes_at_the_solution_and_nowhere_near_it() -> None:
    for seed in range(4):
        g, h, _ = problem(seed)
        bound, lambda1 = torch.tensor([[reference.effective_lambda2(h, 0.5)], [0.3]], dtype=networks.DOUBLE)
        best = reference.caso(g, h, 0.3, 0.5)
        at = objective.kkt_residual(best[None], g[None], (h @ best)[None], lambda1, bound)
        moved = best + 1e-3
        near = objective.kkt_residual(moved[None], g[None], (h @ moved)[None], lambda1, bound)
        assert float(at) < 1e-12
        assert float(near) > 1e-5


def test_image_without_gradient_has_residual_zero_at_the_zero_map_alone() -> None:
    zero, one = torch.zeros(1, 5).double(), torch.ones(1, 5).double()
    lambdas = torch.tensor([0.1], dtype=networks.DOUBLE), torch.tensor([4.0], dtype=networks.DOUBLE)
    assert float(objective.kkt_residual(zero, zero, zero, *lambdas)) == 0
    assert float(objective.kkt_residual(one, zero, zero, *lambdas)) > 1


@pytest.mark.parametrize("threshold", [0.0, 0.2, 10.0])
def test_soft_threshold_is_the_proximal_operator_of_the_absolute_value(threshold: float) -> None:
    y = torch.linspace(-2, 2, 41, dtype=networks.DOUBLE)
    grid = torch.linspace(-3, 3, 60_001, dtype=networks.DOUBLE)
    cost = 0.5 * (grid - y[:, None]) ** 2 + threshold * grid.abs()
    result = penalty.ENTRIES.threshold(y[None], torch.tensor([threshold], dtype=networks.DOUBLE))[0]
    torch.testing.assert_close(result, grid[cost.argmin(1)], rtol=0, atol=1.1e-4)
    torch.testing.assert_close(result, reference.soft(y, threshold), rtol=1e-12, atol=1e-15)
    assert torch.equal(result == 0, y.abs() <= threshold)


def test_sparsity_counts_exact_zeros_of_both_signs() -> None:
    maps = torch.tensor([[0.0, -0.0, 1e-30, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, -1.0]]).view(3, 1, 2, 2)
    assert objective.sparsity(maps).tolist() == [0.5, 1.0, 0.0]
