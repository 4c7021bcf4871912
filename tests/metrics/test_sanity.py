"""Sanity: randomised layers and random classes."""

import pytest
import torch
from torch import Tensor

from caso.metrics import Case, make_metric
from caso.metrics.sanity import other_classes, randomised
from tests import networks
from tests.metrics import literal
from tests.metrics.cases import case, gradients


@pytest.mark.parametrize(("fraction", "layers"), [(1 / 3, 1), (0.5, 2), (1.0, 3)])
def test_randomised_layers_are_the_literal_ones(fraction: float, layers: int) -> None:
    network = networks.small()
    before = [p.detach().clone() for p in network.parameters()]
    found, expected = randomised(network, fraction, 7), literal.randomised(network, layers, 7)
    same = [torch.equal(a, b) for a, b in zip(found.parameters(), before, strict=True)]
    assert same == [True] * (6 - 2 * layers) + [False] * 2 * layers
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


def test_statistics_of_normalisation_stay() -> None:
    network = networks.small(norm=True)
    found = dict(randomised(network, 1.0, 0).named_buffers())
    assert found
    assert all(torch.equal(found[name], buffer) for name, buffer in network.named_buffers())


def test_similarity_to_randomised_layers_is_the_literal_one() -> None:
    given = case(2, 3, 6, 5)
    found = make_metric("randomised_layers", stages=3, seed=7).score(given)
    assert found.curve is not None
    for stage in (1, 2, 3):
        other = gradients(literal.randomised(given.network, stage, 7))(given.images, given.targets)  # type: ignore[arg-type]
        for i in range(2):
            assert float(found.curve[i, stage - 1]) == pytest.approx(literal.spearman(given.maps[i], other[i]))
    torch.testing.assert_close(found.values, found.curve.mean(1))


def test_a_map_that_does_not_look_at_the_network_fails_both_checks() -> None:
    given = case(2, 3, 6, 5)

    def fixed(images: Tensor, targets: Tensor) -> Tensor:
        return given.maps

    blind = Case(given.network, given.images, given.maps, given.targets, fixed, lambda network: fixed)
    assert make_metric("randomised_layers").score(blind).values.tolist() == pytest.approx([1, 1])
    assert make_metric("random_class").score(blind).values.tolist() == pytest.approx([1, 1])


def test_other_classes_are_other_and_cover_them_all() -> None:
    targets = torch.arange(5).repeat(20)
    drawn = torch.stack([other_classes(targets, 5, seed) for seed in range(50)])
    assert not bool((drawn == targets).any())
    assert all(len(drawn[:, i].unique()) == 4 for i in range(5))
    assert bool((drawn[:, :5] == drawn[:, 5:10]).all())


def test_similarity_to_a_random_class_is_the_literal_one() -> None:
    given = case(2, 3, 6, 5)
    found = make_metric("random_class", seed=3).score(given).values
    others = gradients(given.network)(given.images, other_classes(given.targets, 6, 3))  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([literal.spearman(a, b) for a, b in zip(given.maps, others, strict=True)])


def test_a_network_of_one_class_has_no_other() -> None:
    network = networks.small(classes=1)
    images = networks.images(2, 3, 6, 5)
    given = Case(network, images, images, torch.zeros(2, dtype=torch.long), gradients(network))
    assert bool(make_metric("random_class").score(given).values.isnan().all())


def test_layers_need_a_module_with_parameters() -> None:
    given = case(1, 3, 6, 5)
    plain = Case(lambda x: given.network(x), given.images, given.maps, given.targets, None, gradients)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"torch\.nn\.Module"):
        make_metric("randomised_layers").score(plain)
    with pytest.raises(ValueError, match="no parameters"):
        randomised(torch.nn.ReLU(), 1.0, 0)
