"""The problem with groups of entries, against a plain proximal iteration, a convex solver and its limits."""

import cvxpy
import pytest
import torch
from torch import Tensor

from caso import objective
from caso.penalty import ENTRIES, Groups, largest_lambda1, penalty_of
from caso.solvers import SOLVERS, Options, Solution, Sparsity, solve_at_sparsity
from tests import networks, reference
from tests.solvers.test_krylov_dense import D, draw, quadratic_model

SOLVABLE = ("none", "one", "decaying", "flat", "many", "tiny", "saddle", "mostly negative", "negative")
"""Spectra on which a plain iteration converges."""


def labelled(kind: str, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    if kind == "equal":
        return [i // 6 for i in range(D)]
    if kind == "uneven":  # scattered, of many sizes, with numbers left out
        return [3 * label * label for label in torch.randint(0, 9, (D,), generator=generator).tolist()]
    if kind == "some in none":
        return [i % 7 - 1 for i in range(D)]
    return {"one": [0] * D, "single": torch.randperm(D, generator=generator).tolist()}[kind]


KINDS = ("equal", "uneven", "some in none", "one", "single")


def solve(rows: list[tuple[Tensor, Tensor]], labels: list[list[int]], lambda1: Tensor, tol: float = 1e-10) -> Solution:
    options = Options(4.0, tol, penalty=Groups.of(torch.tensor(labels)))
    return SOLVERS["krylov"].solve(quadratic_model(rows, networks.DOUBLE), lambda1, options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threshold", [0.0, 0.4, 2.0])
def test_threshold_is_the_proximal_operator_group_by_group(kind: str, threshold: float) -> None:
    y, labels = draw("none", 3)[0], labelled(kind)
    found = Groups.of(torch.tensor([labels])).threshold(y[None], torch.tensor([threshold], dtype=y.dtype))[0]
    torch.testing.assert_close(found, reference.group_soft(y, threshold, labels), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["equal", "uneven", "some in none", "one"])
def test_jacobian_is_the_thresholds_derivative_and_symmetric_between_zero_and_one(kind: str) -> None:
    y, penalty, lambda1 = draw("none", 3)[0][None], Groups.of(torch.tensor([labelled(kind)])), torch.tensor([0.5])
    wanted = torch.autograd.functional.jacobian(lambda y: penalty.threshold(y, lambda1), y)[0, :, 0]
    identity = torch.eye(D, dtype=y.dtype)[None]
    found = penalty.jacobian(identity, penalty.threshold(y, lambda1), lambda1)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found, found.T, rtol=1e-10, atol=1e-12)
    values = torch.linalg.eigvalsh(found)
    assert float(values[0]) >= -1e-12
    assert float(values[-1]) <= 1 + 1e-12
    assert float(values[-1]) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_residual_is_the_distance_from_the_subdifferential(kind: str) -> None:
    g, h = draw("saddle", 1)
    labels = labelled(kind)
    delta = reference.group_soft(torch.roll(g, 1), 0.3, labels)
    found = objective.kkt_residual(
        delta[None],
        g[None],
        (h @ delta)[None],
        torch.tensor([0.3], dtype=g.dtype),
        torch.tensor([24.0]),
        Groups.of(torch.tensor([labels])),
    )
    assert float(found) == pytest.approx(reference.group_residual(delta, g, h, 0.3, 24.0, labels), rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_all_spectra_agree_with_a_plain_proximal_iteration(kind: str) -> None:
    rows = [draw(name, seed) for seed, name in enumerate(SOLVABLE)]
    labels = [labelled(kind, seed) for seed in range(len(rows))]
    penalty = Groups.of(torch.tensor(labels))
    top = largest_lambda1(penalty, torch.stack([g for g, _ in rows]))
    fractions = torch.tensor([0.0, 1e-3, 0.05, 0.3, 0.8], dtype=networks.DOUBLE)
    solution = solve(rows, labels, top[:, None] * fractions)
    for i, (g, h) in enumerate(rows):
        for j in range(len(fractions)):
            lambda1, l2 = float(solution.lambda1[i, j]), float(solution.lambda2_effective[i, j])
            wanted, where = (
                reference.group_solution(g, h, lambda1, l2, labels[i]),
                f"{SOLVABLE[i]} {float(fractions[j])}",
            )
            torch.testing.assert_close(solution.maps[i, j], wanted, rtol=0, atol=1e-8 * float(wanted.norm()), msg=where)
            assert solution.status[i][j] == "converged", where
            true = reference.group_residual(solution.maps[i, j], g, h, lambda1, l2, labels[i])
            stated = float(solution.kkt_residual[i, j] + solution.floor[i, j])
            assert true <= stated * (1 + 1e-6) + 1e-13, where
            bound = stated * float(g.norm()) / 4.0
            assert float((solution.maps[i, j] - wanted).norm()) <= bound + 1e-12 * float(wanted.norm()), where
            support = {label for label, entry in zip(labels[i], solution.maps[i, j].tolist(), strict=True) if entry}
            assert support == {x for x, entry in zip(labels[i], wanted.tolist(), strict=True) if entry}, where


@pytest.mark.parametrize("spectrum", ["decaying", "saddle"])
@pytest.mark.parametrize("kind", ["equal", "uneven"])
def test_maps_agree_with_a_convex_solver(spectrum: str, kind: str) -> None:
    g, h = draw(spectrum, 5)
    labels = labelled(kind)
    lambda1 = 0.2 * largest_lambda1(Groups.of(torch.tensor([labels])), g[None])
    solution = solve([(g, h)], [labels], lambda1[:, None])
    l2 = float(solution.lambda2_effective)
    delta = cvxpy.Variable(D)
    norms = [
        len(of) ** 0.5 * cvxpy.norm(delta[of], 2)
        for of in ([i for i, other in enumerate(labels) if other == label] for label in set(labels))
    ]
    curvature = cvxpy.psd_wrap((l2 * torch.eye(D, dtype=h.dtype) - h).numpy())
    loss = cvxpy.quad_form(delta, curvature) / 2 - g.numpy() @ delta + float(lambda1) * sum(norms)
    accuracy = {"tol_gap_abs": 1e-8, "tol_gap_rel": 1e-8, "tol_feas": 1e-8}
    cvxpy.Problem(cvxpy.Minimize(loss)).solve(solver=cvxpy.CLARABEL, **accuracy)
    wanted = torch.as_tensor(delta.value)
    assert float((solution.maps[0, 0] - wanted).norm()) <= 1e-4 * float(wanted.norm())


@pytest.mark.parametrize("name", ["krylov", "proximal"])
@pytest.mark.parametrize("spectrum", ["decaying", "saddle", "flat"])
def test_groups_of_single_entries_are_entries(name: str, spectrum: str) -> None:
    g, h = draw(spectrum, 2)
    labels = torch.tensor([labelled("single")])
    assert penalty_of(labels) is ENTRIES
    model = quadratic_model([(g, h)], networks.DOUBLE)
    lambda1 = torch.tensor([[0.3]], dtype=networks.DOUBLE)
    by_group, by_entry = (
        SOLVERS[name].solve(model, lambda1, Options(4.0, 1e-12, n_iter=40, penalty=penalty))
        for penalty in (Groups.of(labels), ENTRIES)
    )
    torch.testing.assert_close(by_group.maps, by_entry.maps, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(by_group.hvps, by_entry.hvps)


@pytest.mark.parametrize("kind", ["equal", "uneven", "one", "some in none"])
def test_maps_are_zero_at_and_above_the_largest_lambda1_and_not_below(kind: str) -> None:
    g, h = draw("decaying", 4)
    penalty = Groups.of(torch.tensor([labelled(kind)]))
    top = largest_lambda1(penalty, g[None])
    for order in ("krylov", "closed_form"):
        model = quadratic_model([(g, h)], networks.DOUBLE)
        model = model if order == "krylov" else type(model)(model.logits, model.gradient, None)
        lambda1 = top[:, None] * torch.tensor([0.999, 1 + 1e-9, 1.5], dtype=networks.DOUBLE)
        solution = SOLVERS[order].solve(model, lambda1, Options(4.0, 1e-10, penalty=penalty))
        assert (solution.maps[0] != 0).any(1).tolist() == [True, False, False]
        assert solution.kkt_residual.max() < 1e-9


@pytest.mark.parametrize("tol", [1e-3, 1e-10])
def test_images_do_not_depend_on_their_batch(tol: float) -> None:
    rows = [draw(name, seed) for seed, name in enumerate(SOLVABLE)]
    labels = [labelled(KINDS[i % 4], i) for i in range(len(rows))]
    top = torch.stack(
        [largest_lambda1(Groups.of(torch.tensor([x])), g[None])[0] for x, (g, _) in zip(labels, rows, strict=True)]
    )
    lambda1 = top[:, None] * torch.tensor([0.01, 0.1, 0.4], dtype=networks.DOUBLE)
    together = solve(rows, labels, lambda1, tol)
    for i, row in enumerate(rows):
        alone = solve([row], [labels[i]], lambda1[i : i + 1], tol)
        torch.testing.assert_close(alone.maps[0], together.maps[i], rtol=1e-9, atol=1e-12)
        assert alone.hvps[0] == together.hvps[i]


@pytest.mark.parametrize("name", ["proximal", "adam", "lbfgs", "sgd"])
def test_the_released_optimisers_minimise_the_same_objective(name: str) -> None:
    rows, labels = [draw("decaying", 1), draw("flat", 2)], [labelled("equal"), labelled("uneven")]
    lambda1 = torch.full((2, 1), 0.5, dtype=networks.DOUBLE)
    options = Options(
        4.0,
        1e-8,
        n_iter=3000,
        lr={"proximal": 1.0, "lbfgs": 0.5}.get(name, 1e-3),
        penalty=Groups.of(torch.tensor(labels)),
    )
    solution = SOLVERS[name].solve(quadratic_model(rows, networks.DOUBLE), lambda1, options)
    for i, (g, h) in enumerate(rows):
        wanted = reference.group_solution(g, h, 0.5, float(solution.lambda2_effective[i]), labels[i])
        close = 1e-8 if name == "proximal" else 0.05
        assert float((solution.maps[i, 0] - wanted).norm()) <= close * float(wanted.norm()), name


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("keep", [0, 1, 3, 10, 100])
def test_as_many_groups_are_kept_as_asked(second: bool, keep: int) -> None:
    rows = [draw(name, seed) for seed, name in enumerate(("none", "decaying", "flat", "saddle"))]
    penalty = Groups.of(torch.tensor([labelled("equal")] * 4))
    model = quadratic_model(rows, networks.DOUBLE)
    model = model if second else type(model)(model.logits, model.gradient, None)
    solution = solve_at_sparsity(model, Sparsity(keep=keep), Options(4.0, 1e-6, penalty=penalty))
    assert ((penalty.norms(solution.maps[:, 0]) > 0).sum(1) == min(keep, 10)).all()
    assert solution.kkt_residual.max() <= 1e-6


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.83, 1.0])
def test_sparsity_with_groups_is_the_next_sparser_one(second: bool, zeros: float) -> None:
    rows = [draw(name, seed) for seed, name in enumerate(("none", "decaying", "flat", "saddle"))]
    penalty = Groups.of(torch.tensor([labelled("equal")] * 4))
    model = quadratic_model(rows, networks.DOUBLE)
    model = model if second else type(model)(model.logits, model.gradient, None)
    solution = solve_at_sparsity(model, Sparsity(zeros=zeros), Options(4.0, 1e-6, penalty=penalty))
    found = objective.sparsity(solution.maps[:, 0])
    assert (found >= zeros - 1e-9).all()
    assert (found <= zeros + 0.1 + 1e-9).all()  # the next of ten groups
