"""Verdicts on results that are known: each expectation can be met, and can be contradicted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from caso import curvature
from caso.curvature import QuadraticModel
from caso.objective import objective
from caso.penalty import ENTRIES
from experiments import closed_form, convergence, hessian_impact, reach, regions_networks
from experiments.sweep import Sweep


class Known(Sweep):
    """A sweep whose jobs are made up."""

    def __init__(self, jobs: list[Any]) -> None:
        self.directory, self.jobs, self.failures, self.seconds = Path(), jobs, [], 0.0


class Run:
    def __init__(self, table: pd.DataFrame, maps: dict[str, Any], curves: dict[str, Any]) -> None:
        self.table, self.maps, self._curves = table, maps, curves

    def curves(self, metric: str) -> Any:
        return self._curves[metric]


class Job:
    def __init__(self, table: pd.DataFrame, maps: dict[str, Any], curves: Any = None, **settings: Any) -> None:
        self.run, self.table, self.settings = Run(table, maps, curves or {}), table, settings

    def __getitem__(self, key: str) -> Any:
        return self.settings.get(key)

    def choice(self, group: str, default: str) -> str:
        return str(self.settings.get(group, default))


@pytest.mark.parametrize("agree", [True, False])
def test_the_impact_of_the_hessian(agree: bool) -> None:
    confidence = np.linspace(0.05, 0.99, 30)
    angles = (1 - confidence) if agree else confidence
    names = [f"image {i}" for i in range(30)]
    table = pd.DataFrame(
        {"image": names, "predicted_name": "a cat", "confidence": confidence, "lambda_max": 1.0, "leading_share": 0.5}
    ).assign(leading_cosine=np.cos(angles))
    first = Job(table, {name: np.array([1.0, 0.0]) for name in names}, **{"order.name": "first"})
    second = Job(
        table, {n: np.array([np.cos(a), np.sin(a)]) for n, a in zip(names, angles, strict=True)},
        **{"order.name": "second"},
    )  # fmt: skip
    result = hessian_impact.read(Known([first, second]))
    assert result.verdict.holds is agree
    assert result.numbers["rank_correlation"] == pytest.approx(-1 if agree else 1)
    assert result.numbers["distance_under_0.5"] == pytest.approx(
        np.median(2 * np.sin(angles[confidence < 0.5] / 2)), abs=1e-12
    )


@pytest.mark.parametrize(("off", "holds"), [(0.5, True), (1e-6, False)])
def test_where_the_closed_form_holds(off: float, holds: bool) -> None:
    def job(name: str, difference: float) -> Job:
        table = pd.DataFrame({"gauss_newton_difference": [difference], "closed_form_difference": [difference]})
        return Job(table, {}, **{"experiment.network": name})

    result = closed_form.read(Known([job("resnet18", 1e-6), job("vit", off)]))
    assert result.verdict.holds is holds


@pytest.mark.parametrize(("products", "holds"), [(100.0, True), (12.0, False)])
def test_the_solvers(monkeypatch: pytest.MonkeyPatch, products: float, holds: bool) -> None:
    rows = pd.DataFrame(
        [
            {"solver": "krylov", "n_iter": 10, "tol": 1e-3, "hvps": 7.0, "kkt_residual": 1e-4, "gap": 1e-8},
            {"solver": "adam", "n_iter": 10, "tol": 1e-3, "hvps": products, "kkt_residual": 1e-4, "gap": 1e-8},
        ]
    ).assign(seconds=1.0, image="a cat")
    monkeypatch.setattr(convergence, "_measured", lambda sweep: rows)
    assert convergence.read(Known([])).verdict.holds is holds


@pytest.mark.parametrize("lambda1", [0.0, 0.05])
def test_the_gap_is_the_objectives_difference(lambda1: float) -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    hessian, gradient = factor @ factor.T, torch.randn(12, generator=generator, dtype=torch.float64)
    l2 = 4.0 + float(torch.linalg.eigvalsh(hessian)[-1])
    best = torch.zeros(12, dtype=torch.float64)
    for _ in range(4000):
        best = ENTRIES.threshold((gradient + hessian @ best)[None], torch.tensor([lambda1]))[0] / l2
    image = gradient.view(1, 1, 3, 4)
    operator = curvature.hessian(image, lambda v: (hessian @ v.flatten()).view_as(v))
    problem = QuadraticModel(torch.zeros(1, 2), image, operator)
    row = {"lambda1": lambda1, "lambda2": 4.0, "lambda2_effective": l2, "kkt_residual": 0.0}
    of = convergence.gap_from(problem, best.view(1, 1, 3, 4), pd.Series(row))

    def value(delta: torch.Tensor) -> float:
        l1, ridge = torch.tensor([lambda1]), torch.tensor([l2])
        return float(objective(delta[None], gradient[None], (hessian @ delta)[None], l1, ridge)[0])

    for size in (1.0, 1e-2):
        other = best + size * torch.randn(12, generator=generator, dtype=torch.float64)
        assert of(other.view(1, 1, 3, 4)) == pytest.approx((value(best) - value(other)) / value(best), rel=1e-6)
    assert of(best.view(1, 1, 3, 4)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("unsure", "sure", "smooth", "whole", "holds"),
    [(3.0, 1.0, 2.0, 0.5, True), (1.0, 1.0, 2.0, 0.5, False), (3.0, 2.0, 2.0, 0.5, False), (3.0, 1.0, 1.0, 0.5, False),
     (3.0, 1.0, 2.0, 0.9, False)],
)  # fmt: skip
def test_how_far_the_expansion_reaches(unsure: float, sure: float, smooth: float, whole: float, holds: bool) -> None:
    x, confidence = np.logspace(-5, 0, 6), np.array([0.1, 0.15, 0.6, 0.9])

    def job(network: str, around: str, gains: list[float], error: float) -> Job:
        table = pd.DataFrame({"confidence": confidence, "status": "converged", "first_order_radius": 2.0})
        table["valid_radius"] = 2.0 * np.array(gains)
        curves = {"valid_radius": (x, np.full((4, 6), error)), "first_order_radius": (x, np.full((4, 6), 7.0))}
        return Job(table, {}, curves, model=network, **{"experiment.way": "blur", "experiment.around": around})

    plain, rounded = "efficientnet_lite0", "efficientnet_lite0_smooth"
    jobs = [
        job(plain, "image", [unsure] * 2 + [sure] * 2, 0.8),
        job(plain, "copies", [1.0] * 4, whole),
        job(rounded, "image", [smooth] * 4, 0.8),
    ]
    result = reach.read(Known(jobs))
    assert result.verdict.holds is holds
    radii, errors = (next(t.frame for t in result.tables if t.name == name) for name in ("radii", "errors"))
    assert radii["second"].tolist() == [unsure + sure, 2.0, 2 * smooth]
    assert radii["second_farther"].tolist() == [((unsure > 1) + (sure > 1)) / 2, 0.0, float(smooth > 1)]
    assert errors.loc[1, ["first, 1", "second, 1/10"]].tolist() == [7.0, whole]
    assert reach.read(Known(jobs[:1])).verdict.holds is (None if unsure > 1 and sure == 1 else False)


@pytest.mark.parametrize("more", [0.1, -0.1])
def test_regions_on_further_networks(more: float) -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.4, 8)

    def job(network: str, method: str, regions: str, insertion: float, gradients: float) -> Job:
        scores = {"image": [str(i) for i in range(8)], "insertion": base + insertion, "gradients": gradients}
        table = pd.DataFrame(scores | {"seconds": 1.0, "deletion": base})
        return Job(table, {}, model=network, regions=regions, explainer=method)

    jobs = [
        job(network, method, regions, gain * (regions == "slic" and method == "caso"), gradients)
        for network, gain in (("one", 0.1), ("other", more))
        for method, gradients in (("caso", 6.0), ("occlusion", 60.0), ("edges", 0.0))
        for regions in ("none", "slic")
    ]  # fmt: skip
    result = regions_networks.read(Known(jobs))
    assert result.verdict.holds is (more > 0)
    assert result.numbers["caso_minus"]["other, edges, insertion"] == pytest.approx([more] * 3)
    assert result.numbers["caso_minus"]["one, caso, pixels, insertion"] == pytest.approx([0.1] * 3)
    assert result.numbers["caso_minus"]["one, occlusion, deletion"] == pytest.approx([0.0] * 3)
