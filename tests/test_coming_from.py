"""The snippets on the page for users of other libraries run; those of a library that is not installed are skipped."""

import re
import warnings
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import ROOT

PAGE = "\n" + (ROOT / "docs" / "coming_from.md").read_text()
CLASSES = 10


def snippets(heading: str) -> list[str]:
    section = re.split(r"^## ", PAGE.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


def run(blocks: list[str], **names: Any) -> dict[str, Any]:
    with warnings.catch_warnings():  # of the other libraries
        warnings.simplefilter("ignore")
        for block in blocks:
            exec(block, names)
    return names


@pytest.fixture
def given() -> dict[str, Any]:
    """What the page says that there is."""
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", pretrained=False, num_classes=CLASSES).eval()
    x, t = torch.rand(2, 3, 56, 56), torch.tensor([1, 4])
    return {"torch": torch, "model": model, "x": x, "t": t, "classes": CLASSES}


def test_normalisation_goes_before_the_network(given: dict[str, Any]) -> None:
    model = given["model"]
    names = run(snippets("# Coming from Captum, zennit, pytorch-grad-cam, Quantus, or the released CASO code"), **given)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(names["model"](given["x"]), model((given["x"] - mean) / std))


def test_captum(given: dict[str, Any]) -> None:
    names = run(snippets("## Captum"), **given)
    assert torch.equal(names["second_order"], names["result"].maps)
    assert names["result"].target.tolist() == [1, 4]
    assert names["smooth"].shape == names["integrated"].shape == names["gradient"].shape == given["x"].shape


def test_the_gradient_of_the_loss_is_cafo_without_a_penalty(given: dict[str, Any]) -> None:
    import caso

    x = given["x"].clone().requires_grad_()
    torch.nn.functional.cross_entropy(given["model"](x), given["t"], reduction="sum").backward()
    found = caso.CAFO(given["model"], lambda1=0).attribute(given["x"], target=given["t"])
    torch.testing.assert_close(found, x.grad / 4, rtol=1e-3, atol=1e-6)


def test_zennit(given: dict[str, Any]) -> None:
    pytest.importorskip("zennit")
    names = run(snippets("## zennit"), **given)
    assert names["relevance"].shape == names["maps"].shape


def test_grad_cam(given: dict[str, Any]) -> None:
    theirs, ours = snippets("## pytorch-grad-cam")
    model = VisionTransformer(img_size=224, patch_size=16, embed_dim=24, depth=1, num_heads=2, num_classes=CLASSES)
    given |= {"model": model.eval(), "x": torch.rand(2, 3, 224, 224)}
    maps = run([ours], **given)["maps"]
    tokens = torch.nn.functional.max_pool2d(maps.abs().amax(1), 16)
    assert ((tokens > 0).sum((1, 2)) == 20).all()
    pytest.importorskip("pytorch_grad_cam")
    assert run([theirs], **given)["maps"].shape == (2, 224, 224)


def test_quantus(given: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("quantus")
    names = run(snippets("## Quantus"), **given, maps=torch.rand(2, 3, 56, 56))
    assert names["score"].values.shape == (2,)
    assert len(names["scores"]) == 2


def test_the_released_code(given: dict[str, Any]) -> None:
    assert run(snippets("## The released CASO code"), **given)["maps"].shape == given["x"].shape
