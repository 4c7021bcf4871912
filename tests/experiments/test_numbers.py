"""Arithmetic of the experiments, against other people's and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from experiments.numbers import at_most, by_confidence, medians, percent, rank_correlation, unit_distance


def test_rank_correlation_is_spearmans() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 9, 40), generator.normal(size=40)
    assert rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    assert rank_correlation([1, 2, math.nan, 3], [3, 2, 9, 1]) == pytest.approx(-1)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(rank_correlation([1, 2], [1, 2]))


def test_the_distance_does_not_depend_on_scale() -> None:
    a, b = np.array([[3.0, 0.0]]), np.array([[0.0, 0.1]])
    assert unit_distance(a, 7 * a) == pytest.approx(0)
    assert unit_distance(a, b) == pytest.approx(math.sqrt(2))
    assert unit_distance(a, -a) == pytest.approx(2)
    assert math.isnan(unit_distance(a, 0 * a))


def test_bins_hold_every_image_once() -> None:
    table = pd.DataFrame({"confidence": [0.0, 0.3, 0.5, 0.89999, 0.9, 1.0], "x": [1.0, 2, 3, 4, 5, 7]})
    bins = by_confidence(table, ["x"])
    assert bins["images"].tolist() == [1, 1, 1, 1, 2]
    assert bins["x"].tolist() == [1, 2, 3, 4, 6]
    assert bins["x_low"].tolist() == [1, 2, 3, 4, 5]


def test_what_is_not_known_is_said() -> None:
    assert at_most(1, math.nan) is None
    assert at_most(1, 1) is True
    assert percent(1, 0) == percent(math.nan, 1) == "an unknown part"
    assert percent(1, 3) == "33%"
    assert math.isnan(medians([], "x")["x"])
