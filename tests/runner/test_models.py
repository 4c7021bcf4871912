"""Networks: names known before weights, weights from files, geometry, clear errors."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import caso
from caso.runner.cli.messages import ConfigError
from caso.runner.data import find_samples
from caso.runner.models import Classifier, Normalize, ResizeAndCrop, find_model, load_model, to_grey, to_pixels
from caso.runner.models.from_timm import TimmGeometry
from caso.runner.models.names import imagenet_folders, imagenet_names
from caso.runner.models.weights import load_state


def model(name: str, **options: object):
    return find_model(OmegaConf.create({"name": name, "weights": "DEFAULT"} | options))


def random(name: str, **options: object) -> Classifier:
    torch.manual_seed(0)
    return model(name, weights="none", **options).load()


def photo(name: str = "coffee") -> Image.Image:
    read = find_samples(OmegaConf.create({"name": "photos", "names": [name]}), 0)[0].read()
    assert isinstance(read, Image.Image)
    return read


def refusal(name: str, **options: object) -> str:
    with pytest.raises(ConfigError) as info:
        model(name, **options).load()
    assert "\n" not in str(info.value)
    return str(info.value)


def test_a_network_is_loaded_by_its_name_alone() -> None:
    given, by_group = load_model(), model("efficientnet_lite0").load()
    with torch.no_grad():
        pixels = given.preprocessing(photo())[None]
        assert torch.equal(given.network(pixels), by_group.network(pixels))
    assert given.class_names == by_group.class_names
    assert len(load_model("resnet18", weights="none").class_names) == 1000
    with pytest.raises(ConfigError, match="efficientnet_lite9"):
        load_model("efficientnet_lite9")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_embedded_networks_know_coffee(number: int) -> None:
    network, preprocessing, names = model(f"efficientnet_lite{number}").load()
    with torch.no_grad():
        probabilities = network(preprocessing(photo())[None]).softmax(dim=1)[0]
    assert not network.training
    assert names[int(probabilities.argmax())] == "espresso"
    assert probabilities.max() > (0.9, 0.5, 0.85)[number]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_their_size_crop_and_normalisation_are_the_weights_own(number: int) -> None:
    import timm

    made = random(f"efficientnet_lite{number}")
    config = timm.data.resolve_data_config({}, model=made.network[1])
    assert (config["mean"], config["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert config["input_size"] == (3, made.preprocessing.crop, made.preprocessing.crop)
    assert int(made.preprocessing.crop / config["crop_pct"]) == made.preprocessing.resize


def test_names_are_known_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.load", lambda *a, **k: pytest.fail("weights were loaded"))
    for name in ("efficientnet_lite0", "efficientnet_lite2", "resnet18", "resnet152"):
        assert len(model(name).class_names) == 1000
    assert model("convnext_tiny", family="torchvision").class_names == imagenet_names()
    assert model("resnet50.a1_in1k", family="timm").class_names == imagenet_names()
    assert len(model("vit_base_patch16_224.augreg_in21k", family="timm").class_names) == 21843


# ------------------------------------------------------------------------------------------ families, end to end


@pytest.mark.parametrize(
    ("family", "name", "size"),
    [
        ("torchvision", "squeezenet1_1", 224),
        ("torchvision", "shufflenet_v2_x0_5", 224),
        ("torchvision", "mobilenet_v3_small", 224),
        ("torchvision", "googlenet", 224),
        ("timm", "test_resnet", 160),
        ("timm", "test_convnext.r160_in1k", 160),
        ("timm", "test_vit", 160),
        ("timm", "lcnet_035", 224),
    ],
)
def test_a_photograph_becomes_logits(family: str, name: str, size: int) -> None:
    network, preprocessing, names = random(name, family=family)
    pixels = preprocessing(photo())
    assert pixels.shape == (3, size, size)
    assert pixels.min() >= 0
    assert 0.5 < pixels.max() <= 1
    with torch.no_grad():
        assert network(pixels[None]).shape == (1, len(names)) == (1, 1000)


@pytest.mark.parametrize(
    ("family", "name", "size"), [("torchvision", "inception_v3", 299), ("timm", "vit_base_patch16_384", 384)]
)
def test_other_sizes_come_with_the_weights(family: str, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *a, **k: nn.Identity())  # the geometry alone: these are large
    assert random(name, family=family).preprocessing(photo()).shape == (3, size, size)


@pytest.mark.parametrize(("family", "name"), [("timm", "test_vit"), ("torchvision", "swin_t")])
def test_attention_has_second_derivatives(family: str, name: str) -> None:
    made = random(name, family=family)
    pixels = made.preprocessing(photo())[None].requires_grad_()
    loss = cross_entropy(made.network(pixels), torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, pixels, create_graph=True)
    (product,) = torch.autograd.grad(gradient.square().sum(), pixels)
    assert product.isfinite().all()
    assert product.abs().max() > 0


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("torchvision", "squeezenet1_1"),
        ("torchvision", "mobilenet_v3_small"),
        ("timm", "test_resnet"),
        ("timm", "test_vit"),
    ],
)
def test_every_family_is_explained_to_second_order(family: str, name: str) -> None:
    made = random(name, family=family)
    pixels = made.preprocessing(photo())[None]
    pixels = pixels if name == "test_vit" else pixels[:, :, ::4, ::4].contiguous()
    result = caso.CASO(made.network, lambda1=1e-4).explain(pixels)
    assert result.maps.shape == pixels.shape
    assert result.status[0] in ("converged", "floor")


def test_torchs_own_attention_has_second_derivatives() -> None:
    from torchvision.models import VisionTransformer

    from caso.runner.models.attention import use_plain_attention

    use_plain_attention()
    torch.manual_seed(0)
    network = VisionTransformer(16, 8, 1, 2, 8, 16, num_classes=4).eval()
    nn.init.normal_(network.heads[0].weight)
    pixels = torch.rand(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(network(pixels), torch.tensor([1])), pixels, create_graph=True)
    (product,) = torch.autograd.grad(gradient.square().sum(), pixels)
    assert product.abs().max() > 0


def test_a_network_is_the_same_through_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = random("resnet18", family="torchvision")
    path = tmp_path / "resnet18.pth"
    torch.save(first.network[1].state_dict(), path)
    monkeypatch.setenv("WEIGHTS", str(path))
    entries = [
        model("resnet18.tv_in1k", family="timm", weights=str(path)),
        model("resnet18", weights=str(path)),
        model("python", entry="tests.runner.test_models:own_resnet"),
    ]
    pixels = first.preprocessing(photo())[None]
    small = pixels[:, :, ::4, ::4].contiguous()
    expected = caso.CAFO(first.network, lambda1=1e-4).explain(small).maps
    for entry in entries:
        made = entry.load()
        assert torch.equal(made.preprocessing(photo())[None], pixels)
        torch.testing.assert_close(caso.CAFO(made.network, lambda1=1e-4).explain(small).maps, expected)


def own_resnet() -> tuple[nn.Module, ResizeAndCrop, None]:
    import os

    from torchvision.models import resnet18

    network = resnet18()
    network.load_state_dict(torch.load(os.environ["WEIGHTS"], weights_only=True))
    normalize = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return nn.Sequential(normalize, network), ResizeAndCrop(256, 224, Image.Resampling.BILINEAR), None


def test_inception_normalises_as_its_weights_want() -> None:
    made = random("googlenet", family="torchvision").network[1]
    assert made.transform_input
    assert not made.aux_logits


# ------------------------------------------------------------------------------------------------------ geometry


@pytest.mark.parametrize("name", ["resnet50.tv_in1k", "test_resnet.r160_in1k", "convnext_tiny.in12k_ft_in1k_384"])
def test_the_geometry_is_timms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    config = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
    expected = timm.data.create_transform(**config, is_training=False)(photo("rocket"))
    monkeypatch.setattr("timm.create_model", lambda *a, **k: nn.Identity())
    made = random(name, family="timm")
    torch.testing.assert_close(made.network(made.preprocessing(photo("rocket"))[None])[0], expected)


def test_weights_that_squash_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *a, **k: nn.Identity())
    tall = random("vit_base_patch16_sapiens2", family="timm", classes=5)
    assert isinstance(tall.preprocessing, TimmGeometry)
    assert tall.preprocessing(photo()).shape == (3, 1024, 768)
    assert tall.preprocessing(torch.rand(1, 20, 30)).shape == (3, 1024, 768)
    assert tall.preprocessing(photo()).max() <= 1


def test_the_geometry_of_resnet_is_its_weights_own() -> None:
    preprocessing = random("resnet50").preprocessing
    assert (preprocessing.resize, preprocessing.crop) == (232, 224)


def test_arrays_take_the_same_way_as_pictures() -> None:
    geometry = ResizeAndCrop(64, 56, Image.Resampling.BICUBIC)
    from_array = geometry(to_pixels(photo()))
    torch.testing.assert_close(from_array, geometry(photo()), atol=0.04, rtol=0)
    grey = geometry(to_grey(photo()))
    assert grey.shape == (3, 56, 56)
    assert torch.equal(grey[0], grey[2])
    assert ResizeAndCrop(10, 16, Image.Resampling.BILINEAR)(torch.rand(3, 7, 9)).shape == (3, 16, 16)
    with pytest.raises(ValueError, match="5 channels"):
        geometry(torch.rand(5, 80, 90))


def test_grey_keeps_the_values_of_a_grey_picture() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(16, 16)
    picture = Image.fromarray(values.numpy()).convert("RGB")
    assert torch.equal(to_grey(picture)[0], values.float() / 255)


def test_normalize() -> None:
    normalize = Normalize((0.5, 0.25), (0.5, 2.0))
    out = normalize(torch.ones(1, 2, 1, 1, dtype=torch.float64).float())
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, 0.375]))
    assert normalize.double()(torch.ones(1, 2, 1, 1, dtype=torch.float64)).dtype == torch.float64


# ------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("family", "name"), [(None, "resnet18"), ("timm", "test_resnet"), (None, "efficientnet_lite0")]
)
def test_weights_from_a_file(tmp_path: Path, suffix: str, family: str | None, name: str) -> None:
    first = random(name, family=family).network
    state = first[1].state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    second = model(name, family=family, weights=str(path)).load().network
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(first(pixels), second(pixels))


def test_own_classes_from_a_file(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n\n")
    for family, name in (("torchvision", "squeezenet1_1"), ("timm", "test_resnet"), (None, "efficientnet_lite0")):
        first = random(name, family=family, classes=2)
        assert first.class_names is None
        path = tmp_path / f"{name}.pth"
        torch.save(first.network[1].state_dict(), path)
        source = model(name, family=family, weights=str(path), classes=str(names))
        assert source.class_names == ["cat", "dog"]
        pixels = torch.rand(1, 3, 64, 64)
        assert torch.equal(source.load().network(pixels), first.network(pixels))
        # A head of another size is never dropped in silence.
        assert "model.classes=N" in refusal(name, family=family, weights=str(path))


def test_classes_that_cannot_be() -> None:
    assert "has 1000 classes" in refusal("resnet18", classes=10)
    assert "no such file" in refusal("resnet18", weights="none", classes="nowhere.txt")
    assert "at least 2" in refusal("resnet18", weights="none", classes=1)
    assert "number of classes" in refusal("resnet18", weights="none", classes=[2])


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("hello")
    assert "cannot be read as a state dict" in refusal("resnet18", weights=str(path))
    torch.save([1, 2], path)
    assert "does not hold a state dict" in refusal("resnet18", weights=str(path))
    torch.save(nn.Linear(2, 2).state_dict(), path)
    assert "does not fit the network" in refusal("resnet18", weights=str(path))
    assert "does not fit the network" in refusal("test_resnet", family="timm", weights=str(path))
    broken = tmp_path / "weights.safetensors"
    broken.write_text("hello")
    assert "cannot be read as a state dict" in refusal("test_resnet", family="timm", weights=str(broken))


def test_no_pickle_is_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": Path}, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_state(path)


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no net")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    line = refusal("resnet18")
    assert "cannot fetch resnet18-" in line
    assert "no net" in line
    assert f"at {tmp_path}" in line
    assert "gcvit_tiny_224" in refusal("gcvit_tiny", family="timm")
    assert "IMAGENET1K_V1" in refusal("resnet50", weights="IMAGENET1K_V1")


def test_weights_of_the_hub_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    line = refusal("resnet18.a1_in1k", family="timm")
    assert "HF_HUB_OFFLINE is set" in line
    assert "timm/resnet18.a1_in1k/resolve/main/model.safetensors" in line


def test_weights_in_the_cache_need_no_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "squeezenet1_1-b8a52dc0.pth"
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    first = random("squeezenet1_1", family="torchvision").network
    torch.save(first[1].state_dict(), tmp_path / "checkpoints" / name)
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(model("squeezenet1_1", family="torchvision").load().network(pixels), first(pixels))


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("resnt50", {"family": "timm"}, "did you mean resnet50"),
        ("resnt50", {"family": "torchvision"}, "did you mean resnet50"),
        ("resnet50.a1_inlk", {"family": "timm"}, r"did you mean resnet50\.a1_in1k"),
        ("quantized_resnet50", {"family": "torchvision"}, "quantised.*use resnet50"),
        ("fcn_resnet50", {"family": "torchvision"}, "segments"),
        ("retinanet_resnet50_fpn", {"family": "torchvision"}, "detects"),
        ("r3d_18", {"family": "torchvision"}, "videos"),
        ("raft_small", {"family": "torchvision"}, "motion"),
        ("vit_base_patch14_dinov2", {"family": "timm"}, "extract features"),
        ("vit_base_patch32_clip_224.laion2b", {"family": "timm"}, "extract features"),
        ("vgg16", {"family": "torchvision", "weights": "IMAGENET1K_FEATURES"}, "no such weights"),
        ("resnet18", {"weights": "IMAGENET1K_V3"}, "DEFAULT, IMAGENET1K_V1 or none"),
        ("resnet18", {"family": "timm", "weights": "nowhere.pth"}, "no such file"),
        ("efficientnet_lite0", {"weights": "nowhere.pth"}, "no such file"),
        ("botnet50ts_256", {"family": "timm"}, "no weights of"),
        ("zebra", {}, "must be efficientnet_lite0"),
    ],
)
def test_mistakes_are_told_before_anything_loads(name: str, options: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        model(name, **options)


def test_imagenets_folders_are_in_the_order_of_its_names() -> None:
    folders = dict(zip(imagenet_folders(), imagenet_names(), strict=True))
    assert folders["n01440764"] == "tench"
    assert folders["n07920052"] == "espresso"


def test_a_models_own_preprocessing_takes_arrays() -> None:
    bands = torch.rand(5, 6, 7)
    assert isinstance(to_pixels(bands), Tensor)
    assert torch.equal(to_pixels(bands), bands)
    assert to_grey(bands).shape == (1, 6, 7)
