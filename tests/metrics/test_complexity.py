"""Complexity of one map and similarity of two: literal versions, answers by hand, what is undefined elsewhere."""

import math

import pytest
import torch
from torch import Tensor

from caso.metrics import FAMILIES, Case, cosine, jaccard, make_metric, rank_correlation, topk_overlap
from tests import networks
from tests.metrics import literal


def score(name: str, maps: Tensor, **parameters: float) -> list[float]:
    batch = Case(networks.small(), maps, maps, torch.zeros(len(maps), dtype=torch.long))
    return make_metric(name, **parameters).score(batch).values.tolist()


def some_maps() -> Tensor:
    """Signed maps: dense ones, one with ties, sparse ones."""
    maps = networks.images(5, 3, 6, 7, seed=1) - 0.5
    maps[1] = (4 * maps[1]).round()
    maps[2] *= networks.images(3, 6, 7, seed=2) > 0.9
    maps[3] *= 1e-30
    maps[4] *= 1e20
    return maps


@pytest.mark.parametrize("name", ["gini", "entropy"])
def test_shape_of_the_distribution_is_the_literal_one(name: str) -> None:
    maps = some_maps()
    assert score(name, maps) == pytest.approx([getattr(literal, name)(one) for one in maps], rel=1e-9)


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.999])
def test_median_difference_is_the_literal_one(fraction: float) -> None:
    maps = some_maps()
    expected = [literal.median_difference(one, fraction) for one in maps]
    assert score("median_difference", maps, fraction=fraction) == pytest.approx(expected, rel=1e-9)


def test_scores_known_by_hand() -> None:
    peak = torch.zeros(1, 1, 2, 5)
    peak[0, 0, 1, 3] = -2
    assert score("zeros", peak) == [0.9]
    assert score("gini", peak) == pytest.approx([0.9])
    assert score("entropy", peak) == [0]
    assert score("median_difference", peak) == [1]
    halves = torch.tensor([3.0, -3.0, 0.0, 0.0]).view(1, 1, 2, 2)
    assert score("gini", halves) == pytest.approx([0.5])
    assert score("entropy", halves) == pytest.approx([math.log(2)])


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-40])
def test_constant_maps_and_maps_of_zeros_are_as_even_as_can_be(value: float) -> None:
    maps = torch.full((2, 3, 4, 4), value)
    assert score("gini", maps) == pytest.approx([0, 0], abs=1e-12)
    assert score("entropy", maps) == pytest.approx([math.log(48)] * 2)
    assert score("median_difference", maps) == [0, 0]
    assert score("zeros", maps) == [float(value == 0)] * 2


def test_one_pixel_has_scores() -> None:
    one = torch.ones(1, 1, 1, 1)
    assert [score(name, one)[0] for name in FAMILIES["complexity"]] == [0, 0, 0, 0]


def pairs() -> list[tuple[Tensor, Tensor]]:
    maps = some_maps()[:3]
    return [(a[None], b[None]) for a in maps for b in maps]


def test_similarities_are_the_literal_ones() -> None:
    for a, b in pairs():
        assert float(rank_correlation(a, b)) == pytest.approx(literal.spearman(a[0], b[0]), abs=1e-9)
        assert float(cosine(a, b)) == pytest.approx(literal.cosine(a[0], b[0]), abs=1e-9)
        for k in (1, 7, 42, 1000):
            assert float(topk_overlap(a, b, k)) == literal.overlap(a[0], b[0], k)
        for fraction in (0.001, 0.1, 1.0):
            assert float(jaccard(a, b, fraction)) == pytest.approx(literal.jaccard(a[0], b[0], fraction))


def test_similarities_known_by_hand() -> None:
    a = torch.tensor([4.0, 3.0, 2.0, 1.0]).view(1, 1, 2, 2)
    assert float(rank_correlation(a, a**3)) == pytest.approx(1)
    assert float(rank_correlation(a, -a)) == pytest.approx(1)  # magnitudes
    assert float(rank_correlation(a, 5 - a)) == pytest.approx(-1)
    assert float(cosine(a, -1e-30 * a)) == pytest.approx(-1)
    assert float(topk_overlap(a, 5 - a, 3)) == pytest.approx(2 / 3)
    assert float(jaccard(a, 5 - a, 0.75)) == pytest.approx(2 / 4)


def test_similarity_to_constant_maps_is_defined() -> None:
    zero, flat, other = torch.zeros(1, 1, 3, 3), torch.full((1, 1, 3, 3), 2.0), networks.images(1, 1, 3, 3).float()
    assert float(rank_correlation(zero, flat)) == 1
    assert float(rank_correlation(zero, other)) == float(rank_correlation(other, flat)) == 0
    assert float(cosine(zero, zero)) == 1
    assert float(cosine(zero, other)) == float(cosine(other, zero)) == 0
    assert float(topk_overlap(zero, flat, 4)) == 1


def test_similarity_to_what_is_not_finite_is_nan() -> None:
    a = networks.images(2, 1, 3, 3)
    b = a.clone()
    b[1, 0, 0, 0] = torch.nan
    for similarity in (cosine, jaccard, rank_correlation, topk_overlap):
        values = similarity(a, b)
        assert float(values[0]) == pytest.approx(1)
        assert bool(values[1].isnan())
    with pytest.raises(ValueError, match="must be the same"):
        cosine(a, b[:1])
