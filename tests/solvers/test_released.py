"""The released program's optimisers and the closed-form solver, on the same small problems."""

import pytest
import torch

import caso
from tests import networks, reference

NETWORK = networks.small()
IMAGES = networks.images(2, 3, 6, 5)
LAMBDA2 = 1.0
OPTIMISERS = ["proximal", "sgd", "adam", "lbfgs"]


def wanted(lambda1: float, result: caso.Explanation) -> torch.Tensor:
    """The oracle's maps for the penalty that ten power iterations led to, which need not be the exact one."""
    maps = []
    for image, bound in zip(IMAGES, result.lambda2_effective.tolist(), strict=True):
        g, h = reference.gradient(NETWORK, image, 1), reference.hessian(NETWORK, image, 1)
        maps.append(reference.caso(g, h, lambda1, bound - reference.effective_lambda2(h, 0.0)).view_as(image))
    return torch.stack(maps)


@pytest.mark.parametrize("lambda1", [0.0, 0.01, 0.1])
def test_many_proximal_steps_reach_the_oracle(lambda1: float) -> None:
    explainer = caso.CASO(NETWORK, lambda1=lambda1, lambda2=LAMBDA2, solver="proximal", n_iter=2000, tol=1e-9)
    result = explainer.explain(IMAGES, 1)
    expected = wanted(lambda1, result)
    assert (result.maps - expected).norm() <= 1e-6 * expected.norm()
    assert ((result.maps == 0) == (expected == 0)).double().mean() > 0.95


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_torch_optimisers_approach_the_smooth_map(solver: str) -> None:
    lr = {"sgd": 0.05, "adam": 0.003, "lbfgs": 0.5}[solver]
    explainer = caso.CASO(NETWORK, lambda1=0.0, lambda2=LAMBDA2, solver=solver, n_iter=400, lr=lr, tol=1e-9)
    result = explainer.explain(IMAGES, 1)
    expected = wanted(0.0, result)
    assert (result.maps - expected).norm() <= 2e-2 * expected.norm()


@pytest.mark.parametrize("lambda1", [0.0, 0.01])
@pytest.mark.parametrize("solver", OPTIMISERS)
def test_default_iterations_raise_the_objective_and_report_their_true_residual(solver: str, lambda1: float) -> None:
    explainer = caso.CASO(NETWORK, lambda1=lambda1, lambda2=LAMBDA2, solver=solver, lr=0.02)
    result = explainer.explain(IMAGES, 1)
    assert result.solver == solver
    for i, image in enumerate(IMAGES):
        g, h = reference.gradient(NETWORK, image, 1), reference.hessian(NETWORK, image, 1)
        bound, delta = float(result.lambda2_effective[i]), result.maps[i].flatten()
        assert reference.objective(delta, g, h, lambda1, bound) > 0
        assert float(result.kkt_residual[i]) == pytest.approx(
            reference.residual(delta, g, h, lambda1, bound), rel=1e-6, abs=1e-9
        )
        reached = float(result.kkt_residual[i]) <= 1e-3
        assert result.status[i] == ("converged" if reached else "stopped")


@pytest.mark.parametrize("lambda2", [0.3, 4.0])
def test_closed_form_is_the_dense_solve_without_the_penalty(lambda2: float) -> None:
    result = caso.CASO(NETWORK, lambda1=0.0, lambda2=lambda2, solver="closed_form").explain(IMAGES, 1)
    for i, image in enumerate(IMAGES):
        expected = reference.second_order_map(NETWORK, image, 1, 0.0, lambda2)
        assert (result.maps[i] - expected).norm() <= 1e-3 * expected.norm()
        assert float(result.kkt_residual[i]) <= 1e-3


def test_closed_form_with_a_penalty_and_curvature_is_refused() -> None:
    with pytest.raises(ValueError, match="solver"):
        caso.CASO(NETWORK, lambda1=1e-4, solver="closed_form")


@pytest.mark.parametrize("solver", OPTIMISERS)
def test_random_start_is_repeatable_and_small_beside_its_effect(solver: str) -> None:
    options = dict(lambda1=0.0, lambda2=LAMBDA2, solver=solver, n_iter=3, lr=0.02)
    first = caso.CASO(NETWORK, init="random", seed=5, **options).attribute(IMAGES, 1)
    again = caso.CASO(NETWORK, init="random", seed=5, **options).attribute(IMAGES, 1)
    other = caso.CASO(NETWORK, init="random", seed=6, **options).attribute(IMAGES, 1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("solver", OPTIMISERS)
def test_first_order_problem_is_accepted_by_every_optimiser(solver: str) -> None:
    result = caso.CAFO(NETWORK, lambda1=0.0, lambda2=LAMBDA2, solver=solver, n_iter=400, lr=0.02).explain(IMAGES, 1)
    exact = caso.CAFO(NETWORK, lambda1=0.0, lambda2=LAMBDA2).attribute(IMAGES, 1)
    assert (result.maps - exact).norm() <= 5e-2 * exact.norm()
