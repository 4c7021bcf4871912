"""The second-order solver against the dense oracle on softmax regressions of chosen rank and conditioning."""

import pytest
import torch
from torch import Tensor

import caso
from tests import networks, reference

SHAPE = (3, 4, 4)
FRACTIONS = (0.0, 1e-3, 0.03, 0.3, 0.9)
PROBLEMS = [
    dict(rank=1, condition=1.0, scale=10.0, sharpness=0.0),
    dict(rank=3, condition=10.0, scale=3.0, sharpness=1.0),
    dict(rank=8, condition=1e3, scale=30.0, sharpness=1.0),
    dict(rank=8, condition=1.0, scale=300.0, sharpness=0.3),
    dict(rank=20, condition=100.0, scale=100.0, sharpness=3.0),
    dict(rank=40, condition=3.0, scale=10.0, sharpness=0.0),
    dict(rank=40, condition=1e6, scale=1e3, sharpness=1.0),
    dict(rank=4, condition=10.0, scale=0.01, sharpness=5.0),
]


def name(problem: dict) -> str:
    return f"rank{problem['rank']}-cond{problem['condition']:g}-scale{problem['scale']:g}"


def oracle(network: torch.nn.Module, image: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Dense float64 gradient and Hessian."""
    double = network.to(networks.DOUBLE)
    return reference.gradient(double, image.double(), target), reference.hessian(double, image.double(), target)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
@pytest.mark.parametrize("lambda2", [0.1, 4.0])
def test_map_is_the_oracles_in_float64(problem: dict, lambda2: float) -> None:
    network = networks.softmax_regression(SHAPE, seed=3, **problem)
    image = networks.images(1, *SHAPE, seed=4)
    g, h = oracle(network, image[0], 0)
    for fraction in FRACTIONS:
        lambda1 = fraction * float(g.abs().max())
        result = caso.CASO(network, lambda1=lambda1, lambda2=lambda2, tol=1e-9).explain(image, 0)
        wanted = reference.caso(g, h, lambda1, lambda2)
        bound = reference.effective_lambda2(h, lambda2)
        delta = result.maps[0].flatten()
        assert result.status == ["converged"]
        assert reference.residual(delta, g, h, lambda1, float(result.lambda2_effective[0])) <= 1.01e-9
        assert abs(float(result.lambda2_effective[0]) - bound) <= 1e-4 * bound
        # An error in lambda_max moves the answer in proportion; the rest of the error is what the certificate allows.
        moved = abs(float(result.lambda2_effective[0]) - bound) * wanted.norm() / lambda2
        assert (delta - wanted).norm() <= moved + 1e-9 * g.norm() / lambda2
        exact_zero, wanted_zero = (delta == 0).double().mean(), (wanted == 0).double().mean()
        assert abs(float(exact_zero - wanted_zero)) <= 2 / delta.numel()
        assert float(result.sparsity[0]) == pytest.approx(float(exact_zero))


# At a scale of 1000 the network itself is another function in single precision: its softmax is off by 1e-4.
@pytest.mark.parametrize(
    "problem",
    [p for p in PROBLEMS if p["scale"] < 1000],
    ids=name,
)
def test_map_reaches_the_tolerance_in_float32(problem: dict) -> None:
    network = networks.softmax_regression(SHAPE, seed=5, dtype=torch.float32, **problem)
    image = networks.images(1, *SHAPE, seed=6, dtype=torch.float32)
    top = float(caso.CAFO(network, lambda1=0.0, lambda2=1.0).attribute(image, 0).abs().max())
    lambda1s = [fraction * top for fraction in FRACTIONS]
    results = [caso.CASO(network, lambda1=lambda1, lambda2=1.0).explain(image, 0) for lambda1 in lambda1s]
    g, h = oracle(network, image[0], 0)
    for lambda1, result in zip(lambda1s, results, strict=True):
        bound, delta = float(result.lambda2_effective[0]), result.maps[0].double().flatten()
        assert result.maps.dtype == torch.float32
        assert result.status == ["converged"]
        assert bound >= float(torch.linalg.eigvalsh(h)[-1]) + 0.999
        # The residual is measured in float32, the oracle's in float64: they differ by rounding of order H * eps.
        assert reference.residual(delta, g, h, lambda1, bound) <= 1.05e-3


@pytest.mark.parametrize("over", [1.0, 1.5, 1e6])
def test_lambda1_from_the_largest_gradient_entry_up_gives_the_zero_map(over: float) -> None:
    network = networks.small()
    inputs = networks.images(2, 3, 6, 5)
    top = max(float(reference.gradient(network, image, 1).abs().max()) for image in inputs)
    result = caso.CASO(network, lambda1=over * top * (1 + 1e-12), lambda2=0.5).explain(inputs, 1)
    assert (result.maps == 0).all()
    assert result.sparsity.tolist() == [1, 1]
    assert result.kkt_residual.max() <= 1e-12
    assert result.status == ["converged", "converged"]


@pytest.mark.parametrize("seed", range(6))
def test_certificate_bounds_the_distance_to_the_true_map(seed: int) -> None:
    network = networks.softmax_regression(SHAPE, rank=20, condition=30.0, scale=20.0, seed=seed)
    image = networks.images(1, *SHAPE, seed=seed)
    g, h = oracle(network, image[0], 1)
    lambda1, lambda2 = 0.02 * float(g.abs().max()), 0.3
    distances = []
    for tol in (0.3, 1e-2, 1e-4):
        result = caso.CASO(network, lambda1=lambda1, lambda2=lambda2, tol=tol).explain(image, 1)
        # The certificate speaks of the problem with the result's own lambda2_effective.
        shift = float(result.lambda2_effective[0]) - (reference.effective_lambda2(h, lambda2) - lambda2)
        wanted = reference.caso(g, h, lambda1, shift)
        distances.append(float((result.maps[0].flatten() - wanted).norm()))
        assert float(result.kkt_residual[0]) <= tol
        assert distances[-1] <= float(result.kkt_residual[0] * g.norm()) / min(shift, lambda2) * (1 + 1e-6) + 1e-12
    assert distances[-1] < 1e-3 * float(wanted.norm())


def test_lambda_max_is_the_largest_eigenvalue_within_its_error_estimate() -> None:
    for seed in range(5):
        network = networks.softmax_regression(SHAPE, rank=12, condition=3.0, scale=20.0, seed=seed)
        image = networks.images(1, *SHAPE, seed=seed)
        top = float(torch.linalg.eigvalsh(oracle(network, image[0], 0)[1])[-1])
        result = caso.CASO(network, lambda1=1e-4, lambda2=1.0).explain(image, 0)
        assert abs(float(result.lambda_max[0]) - top) <= float(result.lambda_max_error[0]) + 1e-12 * top
        assert float(result.lambda2_effective[0]) > top
        assert abs(float(result.lambda_max[0]) - top) <= 1e-3 * top


@pytest.mark.parametrize("activation", [torch.nn.SiLU, torch.nn.Tanh, torch.nn.GELU])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.4])
def test_indefinite_hessians_are_solved_to_the_dense_answer(activation: type, fraction: float) -> None:
    for seed in range(3):
        network = networks.small(activation, seed=seed, gain=100.0)
        image = networks.images(1, 3, 6, 5, seed=seed)
        g, h = oracle(network, image[0], 3)
        assert torch.linalg.eigvalsh(h)[0] < -1e-3
        lambda1 = fraction * float(g.abs().max())
        result = caso.CASO(network, lambda1=lambda1, lambda2=0.5, tol=1e-9).explain(image, 3)
        bound = float(result.lambda2_effective[0])
        assert bound > float(torch.linalg.eigvalsh(h)[-1])
        assert bound == pytest.approx(reference.effective_lambda2(h, 0.5), rel=1e-4)
        assert reference.residual(result.maps[0].flatten(), g, h, lambda1, bound) <= 1.01e-9
        wanted = reference.caso(g, h, lambda1, 0.5)
        assert (result.maps[0].flatten() - wanted).norm() <= 1e-4 * wanted.norm() * bound / 0.5


def test_negative_curvature_alone_leaves_lambda2_as_it_is() -> None:
    class Concave(torch.nn.Module):
        """Two classes whose loss for class 1 is concave where it is evaluated."""

        def forward(self, x: Tensor) -> Tensor:
            z = -x.square().sum((1, 2, 3)) * 0.5
            return torch.stack([z, torch.zeros_like(z)], 1)

    network, image = Concave().eval(), 0.1 * networks.images(1, 1, 3, 3)
    h = reference.hessian(network, image[0], 1)
    assert torch.linalg.eigvalsh(h)[-1] < 0
    result = caso.CASO(network, lambda1=1e-3, lambda2=2.0, tol=1e-10).explain(image, 1)
    assert float(result.lambda2_effective[0]) == pytest.approx(2.0, rel=1e-12)
    wanted = reference.caso(reference.gradient(network, image[0], 1), h, 1e-3, 2.0)
    torch.testing.assert_close(result.maps[0].flatten(), wanted, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("scale", [3.0, 10.0, 100.0, 1000.0])
def test_an_eigenvalue_beyond_the_precision_ends_at_the_floor_in_few_products(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 16, generator=generator)
    layer = torch.nn.Linear(image.numel(), 30)
    with torch.no_grad():
        # Logits of a few units at the image, whatever the scale.
        layer.weight.copy_(scale * torch.randn(layer.weight.shape, generator=generator))
        layer.bias.copy_(torch.randn(30, generator=generator) - layer.weight @ image.flatten())
    result = caso.CASO(torch.nn.Sequential(torch.nn.Flatten(), layer).eval(), lambda1=1e-4, lambda2=1e-3).explain(image)
    assert float(result.lambda_max[0]) > 1e6 * 1e-3
    assert result.status == ["floor"]
    assert int(result.hvps[0]) <= 16
    assert float(result.kkt_residual[0]) <= 30 * float(result.floor[0])
