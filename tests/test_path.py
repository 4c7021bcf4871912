"""The regularisation path and the unsupervised choice of lambda1 on it."""

import pytest
import torch

import caso
from tests import networks, reference

NETWORKS = {
    "relu": lambda: networks.small(gain=80.0),
    "silu": lambda: networks.small(torch.nn.SiLU, gain=100.0),
    "regression": lambda: networks.softmax_regression((3, 6, 5), rank=15, condition=30.0, scale=20.0),
}
LAMBDA2 = 0.5
INPUTS = networks.images(3, 3, 6, 5)
D = INPUTS[0].numel()


def dense(network: torch.nn.Module, target: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(reference.gradient(network, x, target), reference.hessian(network, x, target)) for x in INPUTS]


@pytest.mark.parametrize("tol", [1e-3, 1e-8])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_value_is_certified_and_is_the_oracles_map(name: str, tol: float) -> None:
    network = NETWORKS[name]()
    path = caso.CASO(network, lambda2=LAMBDA2, tol=tol).path(INPUTS, n=12, target=1)
    assert path.maps.shape == (3, 12, 3, 6, 5)
    assert path.lambda1.shape == path.sparsity.shape == path.kkt_residual.shape == (3, 12)
    assert len(path.explanations) == 12
    estimates: list[bool] = []
    for i, (g, h) in enumerate(dense(network, 1)):
        for j in range(12):
            one = path.explanations[j]
            assert torch.equal(one.maps[i], path.maps[i, j])
            lambda1, bound = float(path.lambda1[i, j]), float(one.lambda2_effective[i])
            delta, stated = path.maps[i, j].flatten(), float(path.kkt_residual[i, j])
            true = reference.residual(delta, g, h, lambda1, bound)
            # On an indefinite Hessian the reduced problem may stop short; it then says so.
            assert stated <= tol or (name == "silu" and path.status[i][j] == "stopped")
            if path.certificate[i][j] == "product":
                assert true <= stated * (1 + 1e-6) + 1e-12, "a residual by products must not be below the true one"
                assert stated == pytest.approx(true, rel=1e-3, abs=0.05 * tol + 1e-12)
            else:
                assert path.certificate[i][j] == "estimate"
                assert true <= 10 * tol, "an estimate is of the residual's order"
                estimates.append(true <= stated)
            if stated > tol:
                continue
            shift = bound - (reference.effective_lambda2(h, LAMBDA2) - LAMBDA2)
            distance = (delta - reference.caso(g, h, lambda1, shift)).norm()
            assert distance <= (max(stated, true) + 0.05 * tol) * g.norm() / min(shift, LAMBDA2) * (1 + 1e-6) + 1e-12
    assert sum(estimates) >= 0.7 * len(estimates), "few true residuals may exceed their estimates"


@pytest.mark.parametrize("name", NETWORKS)
def test_default_values_run_geometrically_up_to_the_largest_gradient_entry(name: str) -> None:
    network = NETWORKS[name]()
    path = caso.CASO(network, lambda2=LAMBDA2, tol=1e-8).path(INPUTS, target=1)
    assert path.lambda1.shape == (3, 20)
    for i, (g, _) in enumerate(dense(network, 1)):
        assert float(path.lambda1[i, -1]) == pytest.approx(float(g.abs().max()), rel=1e-9)
        ratios = path.lambda1[i, 1:] / path.lambda1[i, :-1]
        assert (ratios > 1).all()
        torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-6, atol=0)
        assert float(path.sparsity[i, -1]) >= 1 - 1 / D  # the largest entry itself may round either way
        assert float(path.sparsity[i, 0]) < 0.2
        torch.testing.assert_close(path.sparsity[i], (path.maps[i] == 0).double().mean((1, 2, 3)).to(path.sparsity))


@pytest.mark.parametrize("name", NETWORKS)
def test_path_is_continuous_and_its_size_falls_as_lambda1_grows(name: str) -> None:
    network = NETWORKS[name]()
    top = max(float(g.abs().max()) for g, _ in dense(network, 1))
    values = torch.linspace(0, 1.1 * top, 40, dtype=networks.DOUBLE)
    path = caso.CASO(network, lambda2=LAMBDA2, tol=1e-9).path(INPUTS, values, target=1)
    flat = path.maps.flatten(2)
    # Strong concavity of modulus lambda2: two maps differ by at most |difference of lambda1| sqrt(d) / lambda2.
    moved = (flat[:, 1:] - flat[:, :-1]).norm(dim=2)
    assert (moved <= (values[1] - values[0]) * D**0.5 / LAMBDA2 * (1 + 1e-6)).all()
    size = flat.abs().sum(2)
    assert (size[:, 1:] <= size[:, :-1] * (1 + 1e-7) + 1e-12).all()
    assert (path.sparsity[:, 0] == 0).all()
    assert (path.sparsity[:, -1] == 1).all()


def test_values_given_are_sorted_and_agree_with_single_maps() -> None:
    network = networks.small()
    values = [0.01, 0.2, 0.0, 0.05]
    path = caso.CASO(network, lambda2=LAMBDA2, tol=1e-10).path(INPUTS, values, target=1)
    for j, lambda1 in enumerate(sorted(values)):
        assert path.lambda1[:, j].tolist() == pytest.approx([lambda1] * 3)
        single = caso.CASO(network, lambda1=lambda1, lambda2=LAMBDA2, tol=1e-10).attribute(INPUTS, 1)
        torch.testing.assert_close(path.maps[:, j], single, rtol=1e-6, atol=1e-9)


def test_path_takes_few_more_products_than_one_map() -> None:
    network = networks.softmax_regression((3, 6, 5), rank=8, condition=10.0, scale=10.0)
    one = caso.CASO(network, lambda1=1e-3, lambda2=LAMBDA2).explain(INPUTS, 1)
    path = caso.CASO(network, lambda2=LAMBDA2).path(INPUTS, target=1)
    assert path.hvps.shape == (3,)
    assert (path.hvps <= one.hvps + 12).all(), "20 values must not cost 20 solves"


def test_first_order_path_is_the_formula() -> None:
    network = networks.small()
    path = caso.CAFO(network, lambda2=2.0).path(INPUTS, n=6, target=1)
    for i, (g, _) in enumerate(dense(network, 1)):
        for j in range(6):
            expected = reference.cafo(g, float(path.lambda1[i, j]), 2.0)
            torch.testing.assert_close(path.maps[i, j].flatten(), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", [caso.CAFO, caso.CASO])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_auto_finds_the_nearest_attainable_sparsity(name: str, sparsity: float, kind: type) -> None:
    network = NETWORKS[name]()
    result = kind(network, lambda2=LAMBDA2, tol=1e-8).auto(INPUTS, sparsity=sparsity, target=1)
    reached = (result.maps == 0).double().mean((1, 2, 3))
    assert ((reached - sparsity).abs() <= 1.01 / D).all()
    torch.testing.assert_close(result.sparsity.double(), reached)
    for i in range(3):
        explainer = kind(network, lambda1=float(result.lambda1[i]), lambda2=LAMBDA2, tol=1e-8)
        again = explainer.explain(INPUTS[i : i + 1], 1)
        assert (again.maps[0] - result.maps[i]).norm() <= 1e-4 * again.maps[0].norm() + 1e-9


@pytest.mark.parametrize("lambda1s", [[], [-1.0], [[0.1]], [float("nan")], "abc"])
def test_bad_values_are_named(lambda1s: object) -> None:
    with pytest.raises(ValueError, match="lambda1s"):
        caso.CASO(networks.small()).path(INPUTS, lambda1s)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -3])
def test_bad_number_of_values_is_named(n: int) -> None:
    with pytest.raises(ValueError, match=r"\bn\b"):
        caso.CASO(networks.small()).path(INPUTS, n=n)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan")])
def test_bad_sparsity_is_named(sparsity: float) -> None:
    with pytest.raises(ValueError, match="sparsity"):
        caso.CASO(networks.small()).auto(INPUTS, sparsity=sparsity)
