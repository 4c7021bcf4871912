"""Networks: names known before weights, weights from files, clear errors."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from caso.runner.errors import ConfigError
from caso.runner.models import find_model
from caso.runner.models.classifier import Normalize, load_state


def model(name: str, **options: object):
    return find_model(OmegaConf.create({"name": name, **options}))


def test_efficientnet_lite0_knows_coffee() -> None:
    from caso.runner.datasets import find_samples

    network, preprocessing, names = model("efficientnet_lite0", weights="DEFAULT").load()
    photo = find_samples(OmegaConf.create({"name": "photos", "names": ["coffee"]}), 0)[0].read()
    with torch.no_grad():
        probabilities = network(preprocessing(photo)[None]).softmax(dim=1)[0]
    assert not network.training
    assert names[int(probabilities.argmax())] == "espresso"
    assert probabilities.max() > 0.9


def test_its_size_crop_and_normalisation_are_the_weights_own() -> None:
    import timm

    source = model("efficientnet_lite0", weights="none")
    network = source.load().network
    config = timm.data.resolve_data_config({}, model=network[1])
    assert (config["mean"], config["std"]) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (config["crop_pct"], config["input_size"]) == (0.875, (3, 224, 224))


def test_names_are_known_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.load", lambda *a, **k: pytest.fail("weights were loaded"))
    for name in ("efficientnet_lite0", "resnet18", "resnet152"):
        assert len(model(name, weights="DEFAULT").class_names) == 1000


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_resnet_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    first = model("resnet18", weights="none").load().network
    state = first[1].state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    torch.manual_seed(1)
    second = model("resnet18", weights=str(path)).load().network
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(first(pixels), second(pixels))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("hello")
    with pytest.raises(ConfigError, match="cannot be read as a state dict"):
        model("resnet18", weights=str(path)).load()
    torch.save([1, 2], path)
    with pytest.raises(ConfigError, match="does not hold a state dict"):
        model("resnet18", weights=str(path)).load()
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(ConfigError, match="does not fit the network"):
        model("resnet18", weights=str(path)).load()


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
    with pytest.raises(
        ConfigError, match=r"cannot fetch resnet18-.*\.pth.*no net.*put that file at .*checkpoints"
    ) as info:
        model("resnet18", weights="DEFAULT").load()
    assert "\n" not in str(info.value)


def test_the_geometry_of_resnet_is_its_weights_own() -> None:
    preprocessing = model("resnet50", weights="none").load().preprocessing
    assert (preprocessing.resize, preprocessing.crop) == (232, 224)


def test_normalize() -> None:
    normalize = Normalize((0.5, 0.25), (0.5, 2.0))
    out = normalize(torch.ones(1, 2, 1, 1, dtype=torch.float64).float())
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, 0.375]))
    assert normalize.double()(torch.ones(1, 2, 1, 1, dtype=torch.float64)).dtype == torch.float64
