"""Regions in runs: found or read, explained, stored, scored and drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caso.metrics import Case, make_metric
from caso.runner import load_run
from caso.runner.results.encoding import decode_labels, encode_labels
from tests.runner import program

TWO = "dataset.names=[coffee,astronaut]"


def run(folder: Path, *arguments: str, code: int = 0) -> tuple[str, Path]:
    """A run's output and directory; `code` 1 where an image fails."""
    directory = folder / "out"
    done = program.run(folder, f"hydra.run.dir={directory}", "trainer=cpu", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr, directory


def error(folder: Path, *arguments: str) -> str:
    """The one line of a mistake."""
    done = program.run(folder, f"hydra.run.dir={folder / 'wrong'}", *arguments)
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_run_with_superpixels_keeps_ten_stores_scores_and_draws_them(tmp_path: Path) -> None:
    _, directory = run(
        tmp_path, "order=second", "regions=slic", "regularization=auto", "regions.keep=10", TWO,
        "metrics.names=[road_morf,irof]",
    )  # fmt: skip
    found = load_run(directory)
    assert (found.table["status"] == "converged").all()
    for image, regions in found.regions.groupby("image"):
        labels, attribution = found.labels(str(image)), found.maps[str(image)]
        present = {label for label in np.unique(labels) if attribution[:, labels == label].any()}
        assert len(present) == 10
        assert set(regions["region"][:10]) == present
        assert regions["rank"].tolist() == list(range(1, len(np.unique(labels)) + 1))
        assert regions["area"].sum() == labels.size
        for row in regions.head(3).itertuples():
            inside = attribution[:, labels == row.region]
            assert row.weight == pytest.approx(np.abs(inside).mean(), rel=1e-5)
            assert row.signed_sum == pytest.approx(inside.sum(), rel=1e-3, abs=1e-6)
            assert row.lambda1 == found.table.set_index("image")["lambda1"][image]
        assert regions["lambda1"].isna().sum() == len(regions) - 10
    assert found.table[["road_morf", "irof"]].notna().all(axis=None)
    assert (directory / "regions.csv").read_text().count("\n") == 1 + len(found.regions)
    with Image.open(directory / "pictures" / "000000.png") as picture:
        assert picture.width > 3 * 224


def test_a_path_ranks_regions_by_the_lambda1_at_which_they_enter(tmp_path: Path) -> None:
    _, directory = run(tmp_path, "order=second", "regions=patches", "regions.side=56", "regularization=path", TWO)
    found = load_run(directory)
    maps, rows = found.maps["coffee"], found.table[found.table["image"] == "coffee"]
    labels, regions = found.labels("coffee"), found.regions[found.regions["image"] == "coffee"]
    assert len(regions) == 16
    for row in regions.itertuples():
        present = [
            value for value, one in zip(rows["lambda1"], maps, strict=True) if one[:, labels == row.region].any()
        ]
        assert row.lambda1 == max(present)
    assert regions["lambda1"].is_monotonic_decreasing


@pytest.mark.parametrize("workers", [0, 1])
def test_masks_follow_the_photograph_through_resizing_and_cropping(tmp_path: Path, workers: int) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    coffee = np.zeros((400, 600), np.uint8)  # the photograph's own size
    coffee[:, 300:] = 1
    coffee[:50] = 7
    Image.fromarray(coffee).save(masks / "coffee.png")
    np.save(masks / "astronaut.npy", np.arange(224 * 224).reshape(224, 224) // 12544)
    _, directory = run(
        tmp_path, "regions=masks", f"regions.path={masks}", "regions.names={0: left, 1: right}", "regions.ignore=7",
        "dataset.names=[coffee,astronaut,camera]", f"num_workers={workers}", code=1,
    )  # fmt: skip
    found = load_run(directory)
    labels = found.labels("coffee")
    # 400 x 600 is resized to 256 x 384 and cropped to 224: 16 rows and 80 columns go on each side.
    expected = np.zeros((224, 224))
    expected[:, 112:] = 1
    expected[:16] = -1
    np.testing.assert_array_equal(labels, expected)
    assert (found.maps["coffee"][:, :16] == 0).all()
    assert (found.maps["coffee"][:, 16:] != 0).all(0).mean() > 0.9
    named = found.regions[found.regions["image"] == "coffee"].set_index("region")["name"]
    assert named.to_dict() == {0: "left", 1: "right"}
    assert found.regions[found.regions["image"] == "astronaut"]["area"].tolist() == [12544] * 4
    missing = found.table.set_index("image").loc["camera"]
    assert missing["status"] == "unreadable"
    assert "holds no mask of this image" in missing["message"]


def test_regions_serve_other_methods_and_channels(tmp_path: Path) -> None:
    _, directory = run(tmp_path, "explainer=gradient", "regions=channels", TWO)
    found = load_run(directory)
    assert set(found.regions["name"]) == {"channel 0", "channel 1", "channel 2"}
    assert found.labels("coffee").shape == (3, 224, 224)
    assert (found.regions["area"] == 224 * 224).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["regions=slik"], "regions"),
        (["regions=slic", "regions.n_segments=0"], "regions.n_segments=0: must be at least 1"),
        (["regions=slic", "regions.keep=0", "regularization=auto"], "regions.keep=0: must be at least 1"),
        (["regions=slic", "regions.keep=5"], "regions.keep=5: has no effect with regularization=fixed"),
        (["regions=slic", "regions.side=5"], "regions.side"),
        (["regions=patches", "regions.side=a"], "regions.side"),
        (["regions=masks"], "regions.path=???: must be given"),
        (["regions=masks", "regions.path=nowhere"], "regions.path=nowhere: no such file or folder"),
        (["regions=masks", "regions.path=.", "regions.names=5"], "regions.names=5: must be names by label"),
        (
            ["metrics=reach", "metrics.valid_radius.direction=regions"],
            "metrics=valid_radius: needs regions of pixels, as regions=slic",
        ),
        (["metrics.names=[irof]"], "metrics=irof: needs regions of pixels, as regions=slic"),
        (
            ["regions=slic", "regularization=auto", "regions.keep=5", "sparsity=0.5"],
            "sparsity=0.5: has no effect",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in error(tmp_path, *arguments)


def test_a_mask_that_does_not_fit_costs_its_image_alone(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(masks / "coffee.png")
    Image.fromarray(np.zeros((224, 224), np.uint8)).save(masks / "astronaut.png")
    Image.fromarray(np.zeros((224, 224, 3), np.uint8)).save(masks / "rocket.png")
    _, directory = run(
        tmp_path, "regions=masks", f"regions.path={masks}", "dataset.names=[coffee,astronaut,rocket]", code=1
    )
    table = load_run(directory).table.set_index("image")
    assert "is [10, 12]: must be the photograph's [400, 600] or the network's [224, 224]" in table["message"]["coffee"]
    assert "must be whole numbers [H, W]" in table["message"]["rocket"]
    assert table["status"]["astronaut"] == "converged"


def test_labels_survive_their_way_to_the_disk() -> None:
    for labels in (np.arange(-1, 59).reshape(6, 10), np.zeros((3, 4, 5), np.int64), np.full((2, 2), 70_000)):
        np.testing.assert_array_equal(decode_labels(encode_labels(labels)), labels)


def case(seed: int) -> tuple[Case, torch.Tensor, torch.Tensor]:
    """Two images of 6 x 7 pixels, with maps and regions of many sizes; in the second some pixels have none."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    maps = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 7, (2, 6, 7), generator=generator)
    labels[1] = labels[1].clamp_max(3) - 1
    weight = torch.randn(5, 3 * 42, generator=generator, dtype=torch.float64)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.flatten(1).double() @ weight.T)

    return Case(network, images, maps, torch.tensor([1, 2]), regions=labels), labels, weight


def order_of(maps: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """Regions by falling mean magnitude, literally."""
    mass = maps.abs().sum(0)
    found = [label for label in labels.unique().tolist() if label >= 0]
    return sorted(found, key=lambda label: (-float(mass[labels == label].mean()), label))


def test_removal_by_region_is_what_a_loop_finds() -> None:
    given, labels, _ = case(0)
    for i in range(2):
        order, area = order_of(given.maps[i], labels[i]), 0
        ranks = given.ranks[i].view(6, 7)
        for label in [*order, -1]:
            inside = labels[i] == label
            if not inside.any():
                continue
            size = int(inside.sum())
            assert set(ranks[inside].tolist()) == {area + size // 2}  # due once half of it is
            area += size
        assert area == 42


@pytest.mark.parametrize("substrate", ["mean", "black"])
def test_irof_is_its_definition(substrate: str) -> None:
    given, labels, weight = case(1)
    score = make_metric("irof", substrate=substrate).score(given)
    for i in range(2):
        removed = given.images[i].clone()
        fill = removed.mean((1, 2)) if substrate == "mean" else torch.zeros(3, dtype=torch.float64)

        def probability(image: torch.Tensor, i: int = i) -> float:
            return float(torch.softmax(torch.relu(weight @ image.flatten()), 0)[given.targets[i]])

        first = probability(removed)
        losses = [0.0]
        for label in order_of(given.maps[i], labels[i]):
            removed[:, labels[i] == label] = fill[:, None]
            losses.append(1 - probability(removed) / first)
        assert float(score.values[i]) == pytest.approx(sum(losses) / len(losses), rel=1e-10)
        assert score.curve is not None
        assert float(score.curve[i, -1]) == pytest.approx(1 - losses[-1], rel=1e-10)
