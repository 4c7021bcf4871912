"""Regions: labels in every form, explanations by them, and the table of what entered when."""

import math

import pytest
import torch
from torch import Tensor

import caso
from caso.penalty import Groups
from caso.regions import channels, labels_of, patches, region_table
from caso.segmentation import felzenszwalb, slic
from tests import networks, reference

IMAGES = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0), dtype=networks.DOUBLE)
PIXELS = torch.arange(48).view(6, 8) // 7


@pytest.mark.parametrize(
    "labels",
    [PIXELS, PIXELS.expand(1, 6, 8), PIXELS.expand(2, 6, 8), PIXELS.expand(2, 3, 6, 8), PIXELS.int(), lambda _: PIXELS],
    ids=["H W", "1 H W", "B H W", "B C H W", "int32", "function"],
)
def test_labels_fit_in_every_form(labels: Tensor) -> None:
    found = labels_of(labels, IMAGES)
    assert found is not None
    assert torch.equal(found.view(2, 3, 6, 8), PIXELS.expand(2, 3, 6, 8).long())


def test_labels_of_channels_and_patches() -> None:
    by_channel = labels_of(channels(), IMAGES)
    assert by_channel is not None
    assert by_channel.view(2, 3, -1).unique(dim=2).flatten(1).tolist() == [[0, 1, 2], [0, 1, 2]]
    by_patch = labels_of(patches(4), torch.zeros(1, 1, 6, 9))
    assert by_patch is not None
    assert by_patch.view(6, 9)[:, [0, 4, 8]].tolist() == [[0, 1, 2]] * 4 + [[3, 4, 5]] * 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (PIXELS[:5], r"regions of shape \[5, 8\]: must be one of \[6, 8\], \[2, 6, 8\], \[2, 3, 6, 8\]"),
        (PIXELS.expand(3, 6, 8), r"regions of shape \[3, 6, 8\]"),
        (PIXELS.expand(2, 4, 6, 8), r"regions of shape \[2, 4, 6, 8\]"),
        (PIXELS.float(), "regions of torch.float32: must be whole numbers"),
        (PIXELS > 3, "regions of torch.bool"),
        (PIXELS + 2**30, "regions with the label"),
        ("slic", "regions of type str: must be a tensor of labels, or a function"),
        ([[1, 2]], "regions of type list"),
        (lambda _: [1], "regions of type list"),
    ],
)
def test_labels_that_do_not_fit_are_one_clear_line(labels: Tensor, words: str) -> None:
    network = networks.small(dtype=networks.DOUBLE)
    with pytest.raises(ValueError, match=words):
        caso.CAFO(network, regions=labels).explain(IMAGES)
    with pytest.raises(ValueError, match=words):
        caso.CASO(network).explain(IMAGES, regions=labels)


def test_superpixels_are_connected_found_image_by_image_and_about_as_many_as_asked() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.nn.functional.interpolate(
        torch.rand(3, 3, 8, 8, generator=generator), size=64, mode="bicubic"
    ).clamp(0, 1)
    for find in (slic(20), felzenszwalb(min_size=40)):
        labels = find(images)
        assert labels.shape == (3, 64, 64)
        assert torch.equal(labels[1], find(images[1:2])[0])
        assert all(8 <= len(one.unique()) <= 80 for one in labels)
    with pytest.raises(ValueError, match="n_segments=0: must be at least 1"):
        slic(0)
    with pytest.raises(ValueError, match=r"side=2\.5: must be a whole number"):
        patches(2.5)  # type: ignore[arg-type]


def of_network(order: int, labels: Tensor, lambda1: float) -> tuple[caso.results.Explanation, list[Tensor]]:
    """Explanations of two images, and the oracle's maps."""
    network = networks.small(dtype=networks.DOUBLE)
    explainer = (caso.CAFO if order == 1 else caso.CASO)(network, lambda1=lambda1, tol=1e-10, regions=labels)
    found, wanted = explainer.explain(IMAGES, target=[0, 1]), []
    for i, image in enumerate(IMAGES):
        g = reference.gradient(network, image, i)
        h = reference.hessian(network, image, i) if order == 2 else torch.zeros(144, 144, dtype=g.dtype)
        own = labels[i] if labels.dim() > 2 else labels
        own = own.expand(3, 6, 8) if own.dim() == 2 else own
        l2 = reference.effective_lambda2(h, 4.0)
        wanted.append(reference.group_solution(g, h, lambda1, l2, own.flatten().tolist()).view(3, 6, 8))
    return found, wanted


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("form", ["one for all", "per image", "per entry", "some in none", "the whole image"])
def test_maps_of_a_network_are_the_oracles(order: int, form: str) -> None:
    generator = torch.Generator().manual_seed(2)
    labels = {
        "one for all": PIXELS,
        "per image": torch.randint(0, 5, (2, 6, 8), generator=generator),
        "per entry": torch.randint(0, 9, (2, 3, 6, 8), generator=generator),
        "some in none": PIXELS - 2,
        "the whole image": torch.zeros(6, 8, dtype=torch.long),
    }[form]
    unpenalised, _ = of_network(1, labels, 0.0)
    lambda1 = 4.0 * float(unpenalised.maps.abs().mean())
    found, wanted = of_network(order, labels, lambda1)
    for i in range(2):
        torch.testing.assert_close(found.maps[i], wanted[i], rtol=0, atol=1e-8 * max(1e-3, float(wanted[i].norm())))
    assert found.status == ["converged"] * 2
    assert (found.maps != 0).any()


def test_regions_of_single_entries_give_the_maps_without_regions() -> None:
    network = networks.small(dtype=networks.DOUBLE)
    for explainer in (caso.CAFO, caso.CASO):
        plain = explainer(network, lambda1=1e-3).path(IMAGES, n=4)
        single = explainer(network, lambda1=1e-3, regions=torch.arange(144).view(1, 3, 6, 8)).path(IMAGES, n=4)
        assert torch.equal(plain.maps, single.maps)
        assert torch.equal(plain.kkt_residual, single.kkt_residual)


@pytest.mark.parametrize("smooth", [False, True])
def test_neither_chunks_nor_neighbours_change_maps(smooth: bool) -> None:
    network = networks.small(dtype=networks.DOUBLE)
    labels = torch.stack([PIXELS, PIXELS.flip(0) - 1])
    options = dict(lambda1=1e-3, smooth=smooth, n_samples=3, tol=1e-9)
    together = caso.CASO(network, **options).explain(IMAGES, regions=labels)
    in_chunks = caso.CASO(network, batch_size=1, **options).explain(IMAGES, regions=labels)
    alone = caso.CASO(network, **options).explain(IMAGES[1:], regions=labels[1:])
    torch.testing.assert_close(in_chunks.maps, together.maps, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(alone.maps, together.maps[1:], rtol=1e-8, atol=1e-12)
    assert [len(one.rank) for one in together.regions] == [7, 6]


@pytest.mark.parametrize("explainer", [caso.CAFO, caso.CASO])
def test_auto_keeps_as_many_regions_as_asked(explainer: type) -> None:
    network = networks.small(dtype=networks.DOUBLE)
    found = explainer(network, regions=PIXELS).auto(IMAGES, keep=3)
    assert [int((one.weight > 0).sum()) for one in found.regions] == [3, 3]
    assert [one.lambda1.isnan().tolist() for one in found.regions] == [[False] * 3 + [True] * 4] * 2
    with pytest.raises(ValueError, match="keep=3: must be None without regions"):
        explainer(network).auto(IMAGES, keep=3)
    with pytest.raises(ValueError, match="keep=0: must be None or at least 1"):
        explainer(network, regions=PIXELS).auto(IMAGES, keep=0)


def test_the_table_of_regions_is_what_a_loop_finds() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 6, (2, 5, 7), generator=generator) * 2  # only even labels: numbers are left out
    labels = labels.clamp_min(-1)
    maps = torch.randn(3, 2, 5, 7, generator=generator, dtype=networks.DOUBLE)
    gone = [(1, 2), (2, 2), (2, 8), (0, 4), (1, 4), (2, 4)]
    for value, label in gone:
        maps[value][labels == label] = 0
    maps[:, labels < 0] = 0
    lambda1 = torch.tensor([0.1, 0.2, 0.4], dtype=networks.DOUBLE)
    table = region_table(labels, maps, lambda1)
    assert table.label.tolist()[-2:] == [2, 4]
    assert table.rank.tolist() == [1, 2, 3, 4, 5, 6]
    last = (math.inf, math.inf)
    for row, label in enumerate(table.label.tolist()):
        where = torch.nonzero(labels == label)
        values = torch.stack([maps[0][tuple(at)] for at in where])
        inside = {tuple(at[1:].tolist()) for at in where}
        present = [float(l1) for l1, one in zip(lambda1, maps, strict=True) if one[labels == label].any()]
        enters = max(present, default=math.nan)
        assert float(table.lambda1[row]) == pytest.approx(enters, nan_ok=True)
        assert float(table.weight[row]) == pytest.approx(float(values.abs().mean()), rel=1e-12)
        assert float(table.signed_sum[row]) == pytest.approx(float(values.sum()), rel=1e-12)
        assert int(table.entries[row]) == len(where)
        assert int(table.area[row]) == len(inside)
        rows, columns = zip(*inside, strict=True)
        assert table.box[row].tolist() == [min(rows), min(columns), max(rows) + 1, max(columns) + 1]
        assert table.centroid[row].tolist() == pytest.approx([sum(rows) / len(rows), sum(columns) / len(columns)])
        key = (-1 if math.isnan(enters) else enters, float(table.weight[row]))
        assert key <= last
        last = key


def test_a_map_of_single_entries_has_no_regions() -> None:
    with pytest.raises(ValueError, match="regions: the maps were found by single entries"):
        _ = caso.CAFO(networks.small(dtype=networks.DOUBLE)).explain(IMAGES).regions


def test_groups_without_entries_change_nothing() -> None:
    y = IMAGES.flatten(1)
    labels = torch.arange(144).expand(2, -1) % 5
    full, gaps = Groups.of(labels), Groups.of(labels * 7)
    lambda1 = torch.tensor([0.1, 0.5], dtype=networks.DOUBLE)
    assert torch.equal(full.threshold(y, lambda1), gaps.threshold(y, lambda1))
    assert torch.equal(full.subgradient(y, y, lambda1), gaps.subgradient(y, y, lambda1))
    assert torch.equal(full.value(y), gaps.value(y))
