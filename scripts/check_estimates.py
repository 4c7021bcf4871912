"""How often the residuals that a path estimates are below the true ones, by true products.

    python scripts/check_estimates.py
    python scripts/check_estimates.py --draws 2 --photos 3

On a path of 20 values, most residuals are estimated from the error of the Hessian's approximation
(`caso.solvers.path`). Here each is held against the residual from its definition: on the embedded photographs, on
dense Hessians of chosen spectra, and on small networks whose Hessians are formed whole.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import caso
from caso.curvature import QuadraticModel, hessian
from caso.results import PathExplanation
from caso.solvers import SOLVERS, Options
from caso.solvers.solution import Solution

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks.methods import true_residuals
from benchmarks.networks import load

TOL, LAMBDA2, VALUES, D = 1e-3, 0.5, 20, 60
SPECTRA = {
    "rank one": [50.0],
    "two eigenvalues alike": [50.0, 49.99],
    "halving": [100 * 0.5**k for k in range(12)],
    "twenty alike": [30.0] * 20,
    "full rank": [40 - 0.6 * k for k in range(60)],
    "from 1 to a million": [1e6, 1e3, 1.0],
    "a saddle": [20.0, 5.0, 1.0, -1.0, -8.0],
    "mostly negative": [3.0, -10.0, -30.0, -100.0],
}
ACTIVATIONS = {"ReLU network": nn.ReLU, "SiLU network": nn.SiLU, "softmax regression": nn.Identity}

Estimate = tuple[float, float]
"""A stated residual, and the true one."""


def residual(delta: Tensor, g: Tensor, h: Tensor, lambda1: float, bound: float) -> float:
    """By definition, as a fraction of the gradient's norm, for vectors `[d]` and `h` `[d, d]` in float64."""
    slope = g + h @ delta
    sign = torch.where(delta != 0, delta.sign(), (slope / max(lambda1, 1e-300)).clamp(-1, 1))
    return float((bound * delta - slope + lambda1 * sign).norm() / g.norm())


def dense_estimates(path: Solution | PathExplanation, image: int, g: Tensor, h: Tensor) -> Iterator[Estimate]:
    """The estimates of one image's path, whose gradient and Hessian are known."""
    for j in range(VALUES):
        if path.certificate[image][j] == "estimate":
            known = float(path.lambda1[image, j]), float(path.lambda2_effective[image, j])
            yield float(path.kkt_residual[image, j]), residual(path.maps[image, j].flatten(), g, h, *known)


def spectra(draws: int) -> Iterator[tuple[str, Estimate]]:
    """Random gradients with entries of many sizes, and Hessians with the eigenvalues above."""
    for name, values in SPECTRA.items():
        for seed in range(draws):
            generator = torch.Generator().manual_seed(seed)
            eigenvalues = torch.zeros(D, dtype=torch.float64)
            eigenvalues[: len(values)] = torch.tensor(values, dtype=torch.float64)
            q = torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=torch.float64))[0]
            g, h = torch.randn(D, generator=generator, dtype=torch.float64) ** 3, q @ torch.diag(eigenvalues) @ q.T
            lambda1 = g.abs().max() * 10 ** torch.linspace(-4, 0, VALUES, dtype=torch.float64)
            problem = QuadraticModel(
                torch.zeros(1, 2, dtype=torch.float64), g[None], hessian(g[None], lambda v, h=h: v @ h)
            )
            found = SOLVERS["krylov"].solve(problem, lambda1[None], Options(LAMBDA2, TOL))
            yield from ((f"dense Hessian, {name}", pair) for pair in dense_estimates(found, 0, g, h))


def networks(draws: int) -> Iterator[tuple[str, Estimate]]:
    """Small networks in float64, three images each."""
    for name, activation in ACTIVATIONS.items():
        for seed in range(draws):
            torch.manual_seed(seed)
            layers = [nn.Conv2d(3, 6, 3), activation(), nn.Conv2d(6, 8, 3), activation(), nn.Flatten()]
            network = nn.Sequential(*layers, nn.Linear(8 * 2 * 1, 6)).double().eval()
            with torch.no_grad():
                network[0].weight.mul_(2)
                network[-1].weight.mul_(100)
            images = torch.rand(3, 3, 6, 5, dtype=torch.float64)
            path = caso.CASO(network, lambda2=LAMBDA2, tol=TOL).path(images, n=VALUES, target=1)
            for i, image in enumerate(images):

                def loss(x: Tensor, network: nn.Module = network) -> Tensor:
                    return -torch.log_softmax(network(x.view(1, 3, 6, 5)), 1)[0, 1]

                x = image.flatten()
                g, h = torch.autograd.functional.jacobian(loss, x), torch.autograd.functional.hessian(loss, x)
                yield from ((name, pair) for pair in dense_estimates(path, i, g, h))


def photographs(count: int | None) -> Iterator[tuple[str, Estimate]]:
    """The embedded photographs through EfficientNet-Lite0, in float32."""
    network, images, _, _ = load("efficientnet_lite0", count, None)
    explainer = caso.CASO(network, images_ahead=len(images) * VALUES)
    for image in images.split(1):
        path = explainer.path(image, n=VALUES)
        true = true_residuals(network, image, path.target, path)
        for j in range(VALUES):
            if path.certificate[0][j] == "estimate":
                yield "photographs, EfficientNet-Lite0", (float(path.kkt_residual[0, j]), float(true[0, j]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=12, help="gradients and Hessians, or networks, of each kind")
    parser.add_argument("--photos", type=int, help="how many of the embedded photographs (all)")
    chosen = parser.parse_args()
    if chosen.draws < 1 or (chosen.photos is not None and chosen.photos < 1):
        parser.error("--draws and --photos take positive numbers")
    rows: dict[str, list[Estimate]] = {}
    console = Console() if Console().is_terminal else Console(width=120)
    with console.status("") as bar:
        for source in (photographs(chosen.photos), spectra(chosen.draws), networks(chosen.draws)):
            for name, pair in source:
                bar.update(name)
                rows.setdefault(name, []).append(pair)
    table = Table(title=f"paths of {VALUES} values, tol {TOL:g}", title_justify="left")
    table.add_column("problems")
    for heading in ("estimates", "true above estimate", "true above tol", "worst true / tol"):
        table.add_column(heading, justify="right")
    for name, pairs in rows.items():
        above, beyond = sum(t > s for s, t in pairs), sum(t > TOL for _, t in pairs)
        table.add_row(name, str(len(pairs)), str(above), str(beyond), f"{max(t for _, t in pairs) / TOL:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
