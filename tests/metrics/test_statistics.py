"""Means, medians and their bootstrap intervals."""

import math

import pytest
import torch

from caso.metrics import mean_curve, summarise


def test_the_middle_is_exact_and_missing_scores_are_counted() -> None:
    found = summarise(torch.tensor([1.0, math.nan, 4.0, 2.0, 10.0]))
    assert (found.count, found.missing) == (4, 1)
    assert found.mean == pytest.approx(4.25)
    assert found.median == pytest.approx(3)
    for low, value, high in ((*found.mean_interval, found.mean), (*found.median_interval, found.median)):
        assert 1 <= low <= high
        assert low < value or low < high


def test_intervals_of_normal_scores_have_the_known_width() -> None:
    n = 4000
    found = summarise(torch.randn(n, generator=torch.Generator().manual_seed(0)), resamples=2000)
    # The bootstrap knows the spread of a median less well.
    for (low, high), deviation, close in (
        (found.mean_interval, 1.0, 0.1),
        (found.median_interval, math.sqrt(math.pi / 2), 0.25),
    ):
        assert high - low == pytest.approx(2 * 1.96 * deviation / math.sqrt(n), rel=close)


def test_the_level_is_that_of_the_resamples() -> None:
    # Means of two draws from 0 and 1: 0, 1/2, 1/2, 1.
    found = summarise(torch.tensor([0.0, 1.0]), level=0.4)
    assert found.mean_interval == (0.5, 0.5)
    assert summarise(torch.tensor([0.0, 1.0]), level=0.95).mean_interval == (0, 1)


def test_draws_repeat_and_depend_on_the_seed() -> None:
    values = torch.rand(30, generator=torch.Generator().manual_seed(1))
    assert summarise(values) == summarise(values)
    assert summarise(values) != summarise(values, seed=1)


def test_few_scores() -> None:
    one = summarise(torch.tensor([0.3], dtype=torch.float64))
    assert (one.mean, one.mean_interval, one.median_interval) == (0.3, (0.3, 0.3), (0.3, 0.3))
    none = summarise(torch.tensor([math.nan, math.nan]))
    assert (none.count, none.missing) == (0, 2)
    assert all(map(math.isnan, (none.mean, none.median, *none.mean_interval, *none.median_interval)))


@pytest.mark.parametrize("bad", [{"resamples": 0}, {"level": 1.0}])
def test_arguments_out_of_range_are_errors(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        summarise(torch.ones(3), **bad)  # type: ignore[arg-type]


def test_the_mean_of_curves_has_at_each_point_the_interval_of_its_values() -> None:
    generator = torch.Generator().manual_seed(0)
    curves = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    curves[3, 1] = math.nan  # leaves out its image
    known = curves[[i for i in range(12) if i != 3]]
    mean, low, high = mean_curve(curves, resamples=500, level=0.9)
    torch.testing.assert_close(mean, known.mean(0))
    for point in range(4):
        literal = summarise(known[:, point], resamples=500, level=0.9)
        assert (float(low[point]), float(high[point])) == pytest.approx(literal.mean_interval, rel=1e-12)


def test_the_mean_of_no_curves_is_not_known() -> None:
    for one in mean_curve(torch.full((2, 3), math.nan)):
        assert one.shape == (3,)
        assert bool(one.isnan().all())
