"""Which images a data set holds: stable ids, labels, reading by place in any process."""

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch.utils.data import DataLoader

from caso.extras import MissingPackageError
from caso.runner.cli.messages import ConfigError
from caso.runner.data import PHOTOS, Samples, crop_box, find_samples
from caso.runner.data.decoding import UnreadableImageError
from caso.runner.execution.loading import Item, PixelBatches, collate
from caso.runner.models.geometry import ResizeAndCrop, to_pixels
from caso.runner.models.names import imagenet_names
from caso.runner.models.targets import align_labels, wants_label
from tests.runner.networks import preprocess

ODD = ["-x'\".png", "a b (1).png", "a#b%20c.png", "été\n☕.png", "\udcff.png"]


def found(seed: int = 0, **options: object) -> Samples:
    return find_samples(OmegaConf.create(options), seed)


def refusal(**options: object) -> str:
    with pytest.raises(ConfigError) as info:
        found(**options)
    assert "\n" not in str(info.value)
    return str(info.value)


def picture(path: Path, size: tuple[int, int] = (8, 6), colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_the_photographs_are_all_there() -> None:
    samples = found(name="photos", names=None)
    assert [sample.id for sample in samples] == list(PHOTOS) == list(samples.ids)
    assert all(min(sample.read().size) >= 224 for sample in samples)
    assert samples[0].label is None


def test_some_photographs() -> None:
    assert [sample.id for sample in found(name="photos", names=["coffee", "moon"])] == ["coffee", "moon"]


def test_a_folder_a_file_and_a_list(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert found(name="images", path=str(tmp_path)).ids == ["a.JPG", "b.png"]
    assert found(name="images", path=str(tmp_path / "b.png")).ids == ["b.png"]
    both = [str(tmp_path / "sub"), str(tmp_path / "b.png"), str(tmp_path / "b.png")]
    assert found(name="images", path=both).ids == ["c.png", "b.png"]


def test_equal_names_get_their_folders(tmp_path: Path) -> None:
    paths = [str(picture(tmp_path / part / "x.png")) for part in ("one", "two/deep")]
    assert found(name="images", path=paths).ids == ["one/x.png", "two/deep/x.png"]


def test_a_misspelt_file_is_suggested(tmp_path: Path) -> None:
    picture(tmp_path / "goose.png")
    assert "did you mean goose.png" in refusal(name="images", path=str(tmp_path / "gose.png"))


def test_a_folder_that_does_not_exist_suggests_what_makes_sense(tmp_path: Path) -> None:
    root = {"name": "imagefolder"}
    assert refusal(**root, root="/nope") == "dataset.root=/nope: no such folder"
    assert refusal(name="images", path="/nope") == "image=/nope: no such file or folder"
    picture(tmp_path / "photos" / "cat" / "1.png")
    picture(tmp_path / "photo.png")
    (tmp_path / ".photo").mkdir()
    assert refusal(**root, root=str(tmp_path / "photo")).endswith("no such folder; did you mean photos?")
    assert refusal(**root, root=str(tmp_path / "opt")).endswith("opt: no such folder")
    assert refusal(**root, root=str(tmp_path / "photo.png")).endswith("a file, not a folder")


def test_every_file_that_looks_like_an_image_is_listed(tmp_path: Path) -> None:
    listed = ["IMG.HEIC", "a.bmp", "b.nef", "c.jxl", "d.svg", "e.avif", "f.exr"]
    for name in [*listed, ".hidden.png", "._a.bmp", "Thumbs.db", "a.xmp", "a.aae", "notes.txt", ".cache/b.png"]:
        path = tmp_path / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"something")
    (tmp_path / "class" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "class" / "folder.png").mkdir()
    picture(tmp_path / ".ipynb_checkpoints" / "x.png")
    Image.new("RGB", (8, 6)).save(tmp_path / "class" / "a.bmp")
    samples = found(name="images", path=str(tmp_path / "class"))
    assert samples.ids == [*listed, "gone.png"]
    folder = found(name="imagefolder", root=str(tmp_path))
    assert folder.ids == [f"class/{name}" for name in [*listed, "gone.png"]]
    assert folder.label_names == ["class"]
    assert found(name="imagenet", root=str(tmp_path / "class"), labels=None).ids == samples.ids
    for sample in samples:
        if sample.id != "a.bmp":
            with pytest.raises(UnreadableImageError):
                sample.read()


def test_an_imagefolder_has_its_folders_as_labels(tmp_path: Path) -> None:
    for name in ("dog/2.png", "cat/1.png", "cat/old/0.png", "stray.png"):
        picture(tmp_path / name)
    (tmp_path / "cow").symlink_to(tmp_path / "dog")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path)
    samples = found(name="imagefolder", root=str(tmp_path))
    assert samples.ids == ["cat/1.png", "cat/old/0.png", "cow/2.png", "dog/2.png", "stray.png"]
    assert [s.label for s in samples] == [0, 0, 1, 2, None]
    assert samples.label_names == ["cat", "cow", "dog"]


def test_names_with_odd_characters(tmp_path: Path) -> None:
    for name in ODD:
        picture(tmp_path / "in" / name)
    for options in ({"name": "images", "path": str(tmp_path / "in")}, {"name": "imagefolder", "root": str(tmp_path)}):
        samples = found(**options)
        assert sorted(s.id.removeprefix("in/") for s in samples) == sorted(ODD)
        assert all(s.read().size == (8, 6) for s in samples)
        assert json.loads(json.dumps(list(samples.ids))) == samples.ids
    listed = tmp_path / "ids.txt"
    listed.write_bytes(b"-x'\".png\n\xff.png\n")
    assert set(found(name="images", path=str(tmp_path / "in"), subset={"ids": str(listed)}).ids) == {ODD[0], ODD[4]}


def test_samples_travel_to_other_processes(tmp_path: Path) -> None:
    samples = found(name="imagefolder", root=str(picture(tmp_path / "dog" / "1.png").parent.parent))
    again = pickle.loads(pickle.dumps(samples))
    assert [s.id for s in again] == ["dog/1.png"]
    assert pickle.loads(pickle.dumps(samples[0])).read().size == (8, 6)
    with pytest.raises(IndexError):
        samples[1]


# -------------------------------------------------------------------------------------------------------- subsets


def folders(root: Path) -> dict[str, str]:
    for kind in ("cat", "cow", "dog"):
        for number in range(4):
            picture(root / kind / f"{number}.png")
    return {"name": "imagefolder", "root": str(root)}


def test_a_subset_by_count_and_by_seed(tmp_path: Path) -> None:
    options = folders(tmp_path)
    assert found(**options, subset={"n": 2}).ids == ["cat/0.png", "cat/1.png"]
    assert len(found(**options, subset={"n": 99})) == 12
    few, more = (found(**options, subset={"n": n, "random": True}).ids for n in (3, 6))
    assert set(few) < set(more)
    assert more == sorted(more)
    assert found(1, **options, subset={"n": 6, "random": True}).ids != more
    chosen = found(**options, subset={"n": 6, "random": True})
    assert [s.label for s in chosen] == [["cat", "cow", "dog"].index(s.id[:3]) for s in chosen]
    assert pickle.loads(pickle.dumps(chosen))[5].read().size == (8, 6)


def test_a_subset_by_class_and_by_ids(tmp_path: Path) -> None:
    options = folders(tmp_path / "all")
    by_name = found(**options, subset={"classes": ["dog", 0], "n": 5}).ids
    assert by_name == [f"cat/{n}.png" for n in range(4)] + ["dog/0.png"]
    listed = tmp_path / "ids.txt"
    listed.write_text("dog/3.png\r\ncat/1.png\n\n")
    assert found(**options, subset={"ids": str(listed)}).ids == ["cat/1.png", "dog/3.png"]
    listed.write_text("dog/3.pn\n")
    assert "did you mean dog/3.png" in refusal(**options, subset={"ids": str(listed)})
    assert "did you mean cat" in refusal(**options, subset={"classes": ["caat"]})
    assert "no labels" in refusal(name="photos", names=None, subset={"classes": [1]})
    assert "at least 1" in refusal(**options, subset={"n": 0})
    assert "subset.n as well" in refusal(**options, subset={"random": True})
    assert "no such file" in refusal(**options, subset={"ids": "nowhere.txt"})


# ---------------------------------------------------------------------------------------------------------- crops

CROPS = {"name": "crops", "n": 5, "min_area": 0.08, "source": {"name": "photos", "names": ["coffee", "moon"]}}


def test_crops_are_repeatable_and_differ() -> None:
    crops, again = found(**CROPS), found(**CROPS)
    assert [s.id for s in crops] == ["coffee#0", "moon#0", "coffee#1", "moon#1", "coffee#2"]
    pixels = [np.asarray(s.read()) for s in crops]
    assert all(np.array_equal(p, s.read()) for p, s in zip(pixels, again, strict=True))
    assert len({p.shape for p in pixels}) == 5
    assert any(p.shape != np.asarray(s.read()).shape for p, s in zip(pixels, found(1, **CROPS), strict=True))
    fewer = found(**CROPS | {"n": 3})
    assert all(np.array_equal(p, s.read()) for p, s in zip(pixels[:3], fewer, strict=True))
    later = found(**CROPS, subset={"n": 2, "random": True})
    assert all(np.array_equal(pixels[crops.ids.index(s.id)], s.read()) for s in later)


def test_crops_of_arrays_carry_their_labels(tmp_path: Path) -> None:
    (tmp_path / "plants").mkdir()
    np.save(tmp_path / "plants" / "field.npy", np.random.default_rng(0).random((30, 40, 5), dtype=np.float32))
    crops = found(name="crops", n=3, min_area=0.1, source={"name": "imagefolder", "root": str(tmp_path)})
    assert [s.label for s in crops] == [0, 0, 0]
    assert crops.label_names == ["plants"]
    shapes = [s.read().shape for s in crops]
    assert all(shape[0] == 5 and shape[1] <= 30 and shape[2] <= 40 for shape in shapes)
    assert len(set(shapes)) == 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_crops_do_not_depend_on_batches_or_workers(num_workers: int) -> None:
    samples = found(**CROPS)
    direct = torch.stack([preprocess(sample.read()) for sample in samples])
    batches = PixelBatches(samples, preprocess, [[0, 1, 2], [3, 4]])
    loader = DataLoader(batches, batch_size=None, num_workers=num_workers)
    loaded = torch.cat([group.pixels for batch in loader for group in batch.groups])
    assert torch.equal(direct, loaded)


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
    item = PixelBatches(found(name="photos", names=["coffee"]), lambda image: 1 / 0, [[0]]).read(0)
    assert item.pixels is None
    assert item.message == "preprocessing failed: division by zero"


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (3000, 2), (5, 4000)])
def test_a_crop_lies_inside_its_image(size: tuple[int, int]) -> None:
    for seed in range(20):
        left, top, right, bottom = crop_box(size, str(seed), 0.08)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


# --------------------------------------------------------------------------------------- published data sets' layouts


def test_imagenets_class_folders(tmp_path: Path) -> None:
    for name in ("n07920052/cup.JPEG", "n01440764/fish.JPEG"):
        picture(tmp_path / name)
    samples = found(name="imagenet", root=str(tmp_path), labels=None)
    assert samples.ids == ["n01440764/fish.JPEG", "n07920052/cup.JPEG"]
    assert [imagenet_names()[s.label] for s in samples] == ["tench", "espresso"]
    assert found(name="imagenet", root=str(tmp_path), labels=None, subset={"classes": ["tench"]}).ids == samples.ids[:1]
    picture(tmp_path / "other" / "cat" / "1.png")
    assert "dataset=imagefolder" in refusal(name="imagenet", root=str(tmp_path / "other"), labels=None)


@pytest.mark.parametrize(
    "text",
    [
        "ILSVRC2012_val_00000002.JPEG 967\nILSVRC2012_val_00000001.JPEG 0\n",
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4\nILSVRC2012_val_00000002,n07920052 1 1\n",
        "n01440764\nn07920052\n",
    ],
)
def test_imagenets_flat_validation_folder(tmp_path: Path, text: str) -> None:
    for number in (1, 2):
        picture(tmp_path / "val" / f"ILSVRC2012_val_{number:08}.JPEG")
    (tmp_path / "labels.txt").write_text(text)
    samples = found(name="imagenet", root=str(tmp_path / "val"), labels=str(tmp_path / "labels.txt"))
    assert [s.label for s in samples] == [0, 967]


@pytest.mark.parametrize(
    ("text", "line"),
    [("1\n2\n", "ambiguous"), ("n01440764\n", "1 lines for 2"), ("a.JPEG 3\n", "none of the images"), ("", "empty"),
     ("ILSVRC2012_val_00000001.JPEG n5\n", "n5 is no class")],
)  # fmt: skip
def test_labels_of_imagenet_that_do_not_fit(tmp_path: Path, text: str, line: str) -> None:
    for number in (1, 2):
        picture(tmp_path / "val" / f"ILSVRC2012_val_{number:08}.JPEG")
    (tmp_path / "labels.txt").write_text(text)
    assert line in refusal(name="imagenet", root=str(tmp_path / "val"), labels=str(tmp_path / "labels.txt"))


def test_cub200(tmp_path: Path) -> None:
    root = tmp_path / "CUB_200_2011"
    names = ["001.Black_footed_Albatross/a.jpg", "002.Laysan_Albatross/b.jpg", "002.Laysan_Albatross/c.jpg"]
    for name in names:
        picture(root / "images" / name)
    (root / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names, 1)))
    (root / "image_class_labels.txt").write_text("1 1\n2 2\n3 2\n")
    (root / "train_test_split.txt").write_text("1 0\n2 1\n3 0\n")
    (root / "classes.txt").write_text("1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n")
    samples = found(name="cub200", root=str(tmp_path), split="test")
    assert samples.ids == [names[0], names[2]]
    assert [s.label for s in samples] == [0, 1]
    assert samples.label_names == ["Black footed Albatross", "Laysan Albatross"]
    assert samples[1].read().size == (8, 6)
    assert len(found(name="cub200", root=str(root), split="all")) == 3
    assert "train, test or all" in refusal(name="cub200", root=str(root), split="val")
    (root / "classes.txt").unlink()
    assert "no classes.txt" in refusal(name="cub200", root=str(root), split="all")


def cifar_files(root: Path, meta: dict[str, object], batches: dict[str, object]) -> None:
    root.mkdir(parents=True)
    for name, content in {**meta, **batches}.items():
        (root / name).write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    if name == "cifar10":
        meta = {"batches.meta": {"label_names": ["airplane", "cat"]}}
        cifar_files(tmp_path / "cifar-10-batches-py", meta, {"test_batch": {"data": data, "labels": [1, 0, 1, 1]}})
    else:
        meta = {"meta": {"fine_label_names": ["airplane", "cat"]}}
        cifar_files(tmp_path / "cifar-100-python", meta, {"test": {"data": data, "fine_labels": [1, 0, 1, 1]}})
    options = {"name": name, "root": str(tmp_path), "download": False}
    samples = found(**options, split="test")
    assert samples.ids == [f"test/0000{n}" for n in range(4)]
    assert ([s.label for s in samples], samples.label_names) == ([1, 0, 1, 1], ["airplane", "cat"])
    picture = pickle.loads(pickle.dumps(samples))[2].read()
    assert torch.equal((to_pixels(picture) * 255).byte().flatten(), torch.from_numpy(data[2]))
    assert "download=true" in refusal(**options, split="train")
    assert "train or test" in refusal(**options, split="val")


def test_cifar_as_it_is_published(tmp_path: Path) -> None:
    """Its files were written by Python 2."""
    data = bytes(range(256)) * 24
    text = repr(data)[1:].encode("ascii")
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nI3072\ntcnumpy\ndtype\n"
        b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS" + text + b"\ntb"
    )
    cifar_files(tmp_path / "cifar-10-batches-py", {"batches.meta": {"label_names": ["airplane", "cat"]}}, {})
    batch = b"(dS'data'\n" + array + b"sS'labels'\n(lI1\naI0\nas."
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(batch)
    samples = found(name="cifar10", root=str(tmp_path), split="test", download=False)
    assert [s.label for s in samples] == [1, 0]
    assert torch.equal((to_pixels(samples[1].read()) * 255).byte().flatten(), torch.tensor(list(data[3072:])).byte())


def test_no_code_in_cifars_files_runs(tmp_path: Path) -> None:
    cifar_files(tmp_path / "cifar-10-batches-py", {"batches.meta": {}}, {"test_batch": Path("code")})
    assert "asks for pathlib" in refusal(name="cifar10", root=str(tmp_path), split="test", download=False)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist(tmp_path: Path, name: str, folder: str) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 3, 28, 28) + values.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 3) + bytes([7, 0, 9]))
    samples = found(name=name, root=str(tmp_path), split="test", download=False)
    assert samples.ids == ["test/000000", "test/000001", "test/000002"]
    assert [s.label for s in samples] == [7, 0, 9]
    assert len(samples.label_names) == 10
    image = pickle.loads(pickle.dumps(samples))[1].read()
    assert (image.mode, image.size) == ("RGB", (28, 28))
    assert np.array_equal(np.asarray(image.convert("L")), values[1])
    generic = found(name="Fashion-MNIST" if "fashion" in name else "MNIST", family="torchvision", root=str(tmp_path),
                    split="train", download=False)  # fmt: skip
    assert generic.ids[0] == "train/000000"


def test_torchvisions_mistakes(tmp_path: Path) -> None:
    options = {"family": "torchvision", "root": str(tmp_path), "download": False}
    assert "did you mean SVHN" in refusal(name="svnh", split="test", **options)
    assert "download=true" in refusal(name="SVHN", split="test", **options)
    assert "dataset.split" in refusal(name="SVHN", split="validation", **options)
    assert "train or test" in refusal(name="KMNIST", split="validation", **options)
    assert "mnist" in refusal(name="mnits")


def test_huggingface(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "key": datasets.Value("string")}
    )
    content = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(content, "PNG")
    rows = {"image": [{"bytes": content.getvalue(), "path": None}, {"bytes": b"broken", "path": None}, None],
            "label": [1, 0, -1], "key": ["a/1", "b 2", "é"]}  # fmt: skip
    made = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"val": made}).save_to_disk(str(tmp_path / "split"))
    made.save_to_disk(str(tmp_path / "whole"))
    options = {"name": "huggingface", "root": str(tmp_path / "split"), "split": None}
    samples = pickle.loads(pickle.dumps(found(**options, id="key")))
    assert samples.ids == ["a/1", "b 2", "é"]
    assert ([s.label for s in samples], samples.label_names) == ([1, 0, None], ["cat", "dog"])
    assert samples[0].read().size == (8, 6)
    with pytest.raises(UnreadableImageError, match="not an image"):
        samples[1].read()
    with pytest.raises(UnreadableImageError, match="no image in this row"):
        samples[2].read()
    assert found(**options | {"root": str(tmp_path / "whole")}).ids == ["0000000", "0000001", "0000002"]
    assert "no such column" in refusal(**options, label="labl")
    assert "must be val" in refusal(**options | {"split": "test"})
    assert "no data set on disk" in refusal(**options | {"root": str(picture(tmp_path / "x" / "a.png").parent)})


def test_huggingface_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingPackageError, match="dataset=huggingface: needs the extra huggingface"):
        found(name="huggingface", root=str(tmp_path))


def test_a_missing_folder_is_said_without_far_fetched_suggestions(tmp_path: Path) -> None:
    assert refusal(name="imagefolder", root="/nope") == "dataset.root=/nope: no such folder"
    (tmp_path / "photographs").mkdir()
    near = tmp_path / "photograph"
    assert refusal(name="imagefolder", root=str(near)).endswith("no such folder; did you mean photographs?")


# ------------------------------------------------------------------------------------------- bands, sizes and geometry


def bands(tmp_path: Path, kind: str) -> np.ndarray:
    import tifffile

    generator = np.random.default_rng(0)
    values = generator.integers(0, 65536, (5, 20, 30), dtype=np.uint16)
    if kind == "npy":
        np.save(tmp_path / "x.npy", values)
    elif kind == "npy, channels last":
        np.save(tmp_path / "x.npy", np.moveaxis(values, 0, -1))
    elif kind == "tiff, pages":
        tifffile.imwrite(tmp_path / "x.tif", values)
    elif kind == "tiff, channels of ImageJ":
        tifffile.imwrite(tmp_path / "x.tif", values, imagej=True, metadata={"axes": "CYX"})
    elif kind == "tiff":
        tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack", planarconfig="separate")
    else:
        tifffile.imwrite(
            tmp_path / "x.tif", np.moveaxis(values, 0, -1), photometric="minisblack", planarconfig="contig"
        )
    return values.astype(np.float32) / np.float32(65535)


@pytest.mark.parametrize(
    "kind", ["npy", "npy, channels last", "tiff", "tiff, channels last", "tiff, pages", "tiff, channels of ImageJ"]
)
def test_five_bands_stay_five(tmp_path: Path, kind: str) -> None:
    expected = bands(tmp_path, kind)
    (sample,) = found(name="images", path=str(tmp_path))
    assert torch.equal(to_pixels(sample.read()), torch.from_numpy(expected))


def test_arrays_that_are_no_images(tmp_path: Path) -> None:
    cases = {"shape": np.zeros((2, 3, 4, 5)), "type": np.zeros((3, 4), np.int64), "outside": np.full((3, 4), 2.0),
             "object": np.array([{"a": 1}], dtype=object)}  # fmt: skip
    for name, values in cases.items():
        np.save(tmp_path / f"{name}.npy", values)
    reasons = []
    for sample in found(name="images", path=str(tmp_path)):
        with pytest.raises(UnreadableImageError) as info:
            sample.read()
        reasons.append(str(info.value))
    assert "allow_pickle" in reasons[0]
    assert "outside [0, 1]" in reasons[1]
    assert "no image" in reasons[2]
    assert "int64" in reasons[3]


def test_a_grey_array_has_one_channel(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((28, 28), 0.25))
    assert found(name="images", path=str(tmp_path))[0].read().shape == (1, 28, 28)


def test_tiffs_of_colours_are_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "x.tif", colour="red")
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(tmp_path / "y.tif")
    Image.new("CMYK", (8, 6)).save(tmp_path / "z.tif")
    pixels = [s.read().getpixel((1, 1)) for s in found(name="images", path=str(tmp_path))]
    assert pixels == [(255, 0, 0), (255, 255, 255), (255, 255, 255)]


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (256, 256), (1, 1), (20000, 3), (10, 9)])
def test_the_geometry_always_gives_its_size(size: tuple[int, int]) -> None:
    geometry = ResizeAndCrop(32, 28, Image.Resampling.BICUBIC)
    pixels = geometry(Image.new("RGB", size, (255, 0, 51)))
    assert pixels.shape == (3, 28, 28)
    torch.testing.assert_close(pixels[:, 14, 14], torch.tensor([1.0, 0.0, 0.2]))
    assert geometry(torch.rand(3, size[1], size[0])).shape == (3, 28, 28)


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


# --------------------------------------------------------------------------------------------------------- labels


def test_labels_find_their_classes_by_name() -> None:
    names = imagenet_names()
    assert align_labels(None, names) is None
    assert align_labels(["cat", "dog"], None) is None
    assert align_labels(names, names) is None
    assert align_labels(["Tiger_Cat", "espresso"], names) == [282, 967]
    assert align_labels(["n01440764", "n07920052"], names) == [0, 967]
    assert align_labels(["001.a", "002.b"], ["a", "b"]) is None
    with pytest.raises(ConfigError, match="goldfsh is none of the network's; the nearest are goldfish"):
        align_labels(["espresso", "goldfsh"], names)
    assert wants_label("Label")
    assert not wants_label(3)


def test_patterns_and_folders_with_those_below_them(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/a.jpg", "sub/deep/c.png", ".hidden/d.png", "sub/[1].png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    every = ["a.jpg", "b.png", "sub/[1].png", "sub/a.jpg", "sub/deep/c.png"]
    assert found(name="images", path=f"{tmp_path}/*").ids == ["a.jpg", "b.png"]
    assert found(name="images", path=f"{tmp_path}/**/*.jpg").ids == ["a.jpg", "sub/a.jpg"]
    assert found(name="images", path=f"{tmp_path}/s?b/*.jpg").ids == ["sub/a.jpg"]
    for whole in ({"path": f"{tmp_path}/**"}, {"path": f"{tmp_path}/**/*"}, {"path": str(tmp_path), "recursive": True}):
        assert found(name="images", **whole).ids == every
    assert found(name="images", path=str(tmp_path), recursive=False).ids == ["a.jpg", "b.png"]
    assert found(name="images", path=f"{tmp_path}/sub/[1].png").ids == ["[1].png"]
    both = [f"{tmp_path}/sub/*.jpg", f"{tmp_path}/*.jpg", f"{tmp_path}/a.jpg"]
    samples = found(name="images", path=both)
    assert samples.ids == ["sub/a.jpg", "a.jpg"]
    assert [sample.read().size for sample in samples] == [(8, 6)] * 2


def test_a_pattern_that_nothing_matches_is_one_line(tmp_path: Path) -> None:
    picture(tmp_path / "b.png")
    for pattern in ("*.jpg", "none/*.png", "*.txt", ".*"):
        assert refusal(name="images", path=f"{tmp_path}/{pattern}") == f"image={tmp_path}/{pattern}: no image matches"
    (tmp_path / "sub").mkdir()
    assert refusal(name="images", path=str(tmp_path / "sub"), recursive=True).endswith("the folder holds no image")
