"""Robustness: noise, the attack and maximum sensitivity against literal versions, and answers by hand."""

import pytest
import torch
from torch import Tensor, nn

from caso.metrics import Case, make_metric
from caso.metrics.attack import topk_attack
from caso.metrics.noise import scaled_noise
from tests import networks
from tests.metrics import literal
from tests.metrics.cases import case, gradients


def test_similarity_under_noise_is_the_literal_one() -> None:
    given = case(3, 3, 6, 5)
    options = {"epsilon": 0.1, "samples": 2, "seed": 4}
    overlap = make_metric("topk_overlap_noise", k=7, **options).score(given).values
    correlation = make_metric("rank_correlation_noise", **options).score(given).values
    assert float(correlation.max()) < 1
    assert given.explain is not None
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        copies = [literal.scaled_noise(image, 0.1, seed) for seed in (4, 5)]
        others = [given.explain(one[None], given.targets[i : i + 1])[0] for one in copies]
        assert float(overlap[i]) == pytest.approx(sum(literal.overlap(attribution, b, 7) for b in others) / 2)
        assert float(correlation[i]) == pytest.approx(sum(literal.spearman(attribution, b) for b in others) / 2)


def test_noise_is_scaled_by_the_pixel_and_stays_in_range() -> None:
    images = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3).expand(1, 1, 40, 3)
    noisy = scaled_noise(images, 2 / 255, 0)
    assert set(noisy[..., 0].flatten().tolist()) == {0.0}
    assert sorted({round(v, 6) for v in noisy[..., 1].flatten().tolist()}) == [0.496078, 0.503922]
    assert float(noisy.max()) == 1


def crossing() -> Case:
    """A case in which steps of 0.05 would change some predicted classes, and not others."""
    given = case(8, 3, 6, 5, seed=1)
    attacked = [topk_attack(given, 0.4, 8, 9, halve) for halve in (True, False)]
    differ = (attacked[0] != attacked[1]).flatten(1).any(1)
    assert 1 <= int(differ.sum()) < 8
    return given


@pytest.mark.parametrize("halve", [True, False])
def test_the_attack_is_the_literal_one(halve: bool) -> None:
    given = crossing()
    attacked = topk_attack(given, 0.4, 8, 9, halve)
    for image, attribution, target, found in zip(given.images, given.maps, given.targets, attacked, strict=True):
        expected = literal.attack(given.network, image, attribution, int(target), 0.4, 8, 9, halve)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("halve", [True, False])
def test_the_attack_keeps_its_promises(halve: bool) -> None:
    given = crossing()
    attacked = topk_attack(given, 0.4, 8, 9, halve)
    assert float((attacked - given.images).abs().max()) <= 0.4 + 1e-12
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    torch.testing.assert_close(given.network(attacked).argmax(1), given.predicted)
    shares = []
    for attribution, target, *both in zip(given.maps, given.targets, given.images, attacked, strict=True):
        pixels = literal.order(attribution)[:9]
        shares.append([literal.share(given.network, image, int(target), pixels)[0] for image in both])
    assert all(after <= before for before, after in shares)
    assert sum(after < before for before, after in shares) >= 4


def test_similarity_under_attack_is_the_literal_one() -> None:
    given = case(3, 3, 6, 5)
    options = {"epsilon": 0.1, "steps": 5, "attacked": 9}
    overlap = make_metric("topk_overlap_attack", k=7, **options).score(given).values
    correlation = make_metric("rank_correlation_attack", **options).score(given).values
    assert given.explain is not None
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):
        target = given.targets[i : i + 1]
        attacked = literal.attack(given.network, image, attribution, int(target), 0.1, 5, 9, True)
        other = given.explain(attacked[None], target)[0]
        assert float(overlap[i]) == literal.overlap(attribution, other, 7)
        assert float(correlation[i]) == pytest.approx(literal.spearman(attribution, other))


def test_an_attack_on_a_network_whose_gradient_has_no_derivative_is_an_error() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :4].clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
            return torch.nn.functional.pad(grad, (0, 5)).view(-1, 1, 3, 3)

    class Awkward(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Once.apply(x)

    images = networks.images(1, 1, 3, 3)
    given = Case(Awkward(), images, images, torch.tensor([0]), explain=lambda x, t: x)
    with pytest.raises(ValueError, match="no derivative"):
        make_metric("topk_overlap_attack").score(given)


def test_maximum_sensitivity_is_the_literal_one() -> None:
    given = case(2, 3, 6, 5)
    found = make_metric("max_sensitivity", radius=0.1, samples=4, seed=3).score(given).values
    assert given.explain is not None
    for i, (image, attribution) in enumerate(zip(given.images, given.maps, strict=True)):

        def explain(other: Tensor, target: Tensor = given.targets[i : i + 1]) -> Tensor:
            assert given.explain is not None
            return given.explain(other[None], target)[0]

        assert float(found[i]) == pytest.approx(literal.sensitivity(explain, image, attribution, 0.1, 4, 3))


def test_a_map_that_does_not_look_at_the_image_is_perfectly_robust() -> None:
    given = case(2, 3, 6, 5)
    fixed = Case(given.network, given.images, given.maps, given.targets, explain=lambda images, targets: given.maps)
    perfect = {"max_sensitivity": 0.0}
    for name in ("topk_overlap_noise", "rank_correlation_noise", "topk_overlap_attack", "rank_correlation_attack"):
        perfect[name] = 1.0
    for name, value in perfect.items():
        assert make_metric(name).score(fixed).values.tolist() == pytest.approx([value] * 2)


def test_the_sensitivity_of_a_map_of_zeros_is_the_distance_itself() -> None:
    images = networks.images(1, 1, 3, 3)
    given = Case(
        networks.small(channels=1), images, torch.zeros_like(images), torch.tensor([0]), lambda x, t: x * 0 + 2
    )
    assert float(make_metric("max_sensitivity").score(given).values) == pytest.approx(6)


def test_explanations_are_shared() -> None:
    calls = []
    given = case(2, 3, 6, 5)

    def counting(images: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(images))
        return gradients(given.network)(images, targets)  # type: ignore[arg-type]

    counted = Case(given.network, given.images, given.maps, given.targets, counting)
    for name in ("topk_overlap_noise", "rank_correlation_noise", "topk_overlap_attack", "rank_correlation_attack"):
        make_metric(name).score(counted)
    assert calls == [2, 2]
