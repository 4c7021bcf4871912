"""Which images a data set holds, and that its ids and crops are stable."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch.utils.data import DataLoader

from caso.runner.datasets import PHOTOS, crop_box, find_samples
from caso.runner.errors import ConfigError
from caso.runner.loading import Item, PixelDataset, collate
from caso.runner.models.geometry import ResizeAndCrop, to_pixels
from tests.runner.networks import preprocess


def found(seed: int = 0, **options: object) -> list:
    return find_samples(OmegaConf.create(options), seed)


def picture(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def test_the_photographs_are_all_there() -> None:
    samples = found(name="photos", names=None)
    assert [sample.id for sample in samples] == list(PHOTOS)
    assert all(min(sample.read().size) >= 224 for sample in samples)


def test_some_photographs() -> None:
    assert [sample.id for sample in found(name="photos", names=["coffee", "moon"])] == ["coffee", "moon"]


def test_a_folder_a_file_and_a_list(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [s.id for s in found(name="images", path=str(tmp_path))] == ["a.JPG", "b.png"]
    assert [s.id for s in found(name="images", path=str(tmp_path / "b.png"))] == ["b.png"]
    both = [str(tmp_path / "sub"), str(tmp_path / "b.png"), str(tmp_path / "b.png")]
    assert [s.id for s in found(name="images", path=both)] == ["c.png", "b.png"]


def test_equal_names_get_their_folders(tmp_path: Path) -> None:
    paths = [str(picture(tmp_path / part / "x.png")) for part in ("one", "two/deep")]
    assert [s.id for s in found(name="images", path=paths)] == ["one/x.png", "two/deep/x.png"]


def test_a_misspelt_file_is_suggested(tmp_path: Path) -> None:
    picture(tmp_path / "goose.png")
    with pytest.raises(ConfigError, match=r"did you mean goose\.png"):
        found(name="images", path=str(tmp_path / "gose.png"))


def test_an_imagefolder(tmp_path: Path) -> None:
    for name in ("dog/2.png", "cat/1.png", "cat/old/0.png"):
        picture(tmp_path / name)
    assert [s.id for s in found(name="imagefolder", root=str(tmp_path))] == ["cat/1.png", "cat/old/0.png", "dog/2.png"]


CROPS = {"name": "crops", "n": 5, "min_area": 0.08, "source": {"name": "photos", "names": ["coffee", "moon"]}}


def test_crops_are_repeatable_and_differ() -> None:
    crops, again = found(**CROPS), found(**CROPS)
    assert [s.id for s in crops] == ["coffee#0", "moon#0", "coffee#1", "moon#1", "coffee#2"]
    pixels = [np.asarray(s.read()) for s in crops]
    assert all(np.array_equal(p, s.read()) for p, s in zip(pixels, again, strict=True))
    assert len({p.shape for p in pixels}) == 5
    assert any(p.shape != np.asarray(s.read()).shape for p, s in zip(pixels, found(1, **CROPS), strict=True))
    assert [s.crop for s in found(**CROPS | {"n": 3})] == [s.crop for s in crops[:3]]


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (3, 2)])
def test_crops_do_not_depend_on_batches_or_workers(batch_size: int, num_workers: int) -> None:
    data = PixelDataset(found(**CROPS), preprocess)
    direct = torch.stack([data[number].pixels for number in range(5)])
    loader = DataLoader(data, batch_size, num_workers=num_workers, collate_fn=collate)
    loaded = torch.cat([group.pixels for batch in loader for group in batch.groups])
    assert torch.equal(direct, loaded)


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (3000, 2), (5, 4000)])
def test_a_crop_lies_inside_its_image(size: tuple[int, int]) -> None:
    for seed in range(20):
        left, top, right, bottom = crop_box(size, str(seed), 0.08)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


def test_a_batch_is_grouped_by_shape_and_keeps_what_failed() -> None:
    shapes = [(3, 4, 5), (3, 2, 2), (3, 4, 5)]
    items = [Item(number, f"id{number}", torch.full(shape, number)) for number, shape in enumerate(shapes)]
    batch = collate([*items, Item(3, "id3", None, "reason")])
    assert [(group.numbers, tuple(group.pixels.shape)) for group in batch.groups] == [
        ([0, 2], (2, 3, 4, 5)),
        ([1], (1, 3, 2, 2)),
    ]
    assert [item.message for item in batch.unreadable] == ["reason"]


def test_a_preprocessing_that_fails_costs_one_image() -> None:
    item = PixelDataset(found(name="photos", names=["coffee"]), lambda image: 1 / 0)[0]
    assert item.pixels is None
    assert item.message == "preprocessing failed: division by zero"


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (256, 256), (1, 1), (20000, 3), (10, 9)])
def test_the_geometry_always_gives_its_size(size: tuple[int, int]) -> None:
    pixels = ResizeAndCrop(32, 28, Image.Resampling.BICUBIC)(Image.new("RGB", size, (255, 0, 51)))
    assert pixels.shape == (3, 28, 28)
    torch.testing.assert_close(pixels[:, 14, 14], torch.tensor([1.0, 0.0, 0.2]))


def test_the_geometry_is_torchvisions() -> None:
    from torchvision.transforms import v2

    image = found(name="photos", names=["coffee"])[0].read()
    steps = [v2.Resize(64, v2.InterpolationMode.BICUBIC), v2.CenterCrop(56)]
    expected = v2.Compose([*steps, v2.PILToTensor()])(image).float() / 255
    assert torch.equal(ResizeAndCrop(64, 56, Image.Resampling.BICUBIC)(image), expected)


def test_to_pixels_keeps_rows_and_columns() -> None:
    image = Image.new("RGB", (2, 3))
    image.putpixel((1, 2), (255, 0, 0))
    pixels = to_pixels(image)
    assert pixels.shape == (3, 3, 2)
    assert pixels[0, 2, 1] == 1
    assert pixels.sum() == 1
