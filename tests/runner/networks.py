"""Tiny networks for the runner's tests, reached as `model=python model.entry=tests.runner.networks:NAME`."""

import torch
from PIL import Image
from torch import Tensor, nn

from caso.runner.models.geometry import to_pixels

NAMES = ["tabby", "Tiger Cat", "stop_sign", "tiger beetle"]
TINY = ("model=python", "model.entry=tests.runner.networks:tiny")


def preprocess(image: Image.Image) -> Tensor:
    return to_pixels(image.resize((12, 10)))


def network(channels: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 4 * 5, len(NAMES)),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


def tiny():
    return network(), preprocess, NAMES


def scaled(factor, power=1):
    made = network()
    with torch.no_grad():
        made[-1].weight.mul_(factor**power)
    return made, preprocess, NAMES


def unnamed():
    return network(), preprocess, None


def grey():
    return network(1), lambda image: preprocess(image).mean(dim=0, keepdim=True), NAMES


def own_size():
    made = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
    return made, None, NAMES


class NanForDark(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, pixels: Tensor) -> Tensor:
        dark = (pixels.mean(dim=(1, 2, 3)) < 0.1)[:, None]
        return torch.where(dark, torch.nan, 1.0) * self.inner(pixels)


def nan_for_dark():
    return NanForDark(), preprocess, NAMES


class RaiseForDark(NanForDark):
    def forward(self, pixels: Tensor) -> Tensor:
        if (pixels.mean(dim=(1, 2, 3)) < 0.1).any():
            raise RuntimeError("too dark\nto see")
        return self.inner(pixels)


def raise_for_dark():
    return RaiseForDark(), preprocess, NAMES


def normalised():
    return network(), lambda image: preprocess(image) * 4 - 2, NAMES


def broken():
    raise OSError("no such checkpoint")


def not_a_tuple():
    return network()


def not_a_module():
    return "network", None, None


class Squares(torch.utils.data.Dataset):
    """Squares of a grey, one of them broken; labels come with the images."""

    def __init__(self, n: int, broken: int = -1) -> None:
        self.n, self.broken = n, broken

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == self.broken:
            raise OSError("no such square")
        return Image.new("RGB", (20, 20), (20 * index, 90, 200)), index % len(NAMES)


def squares(n, broken=-1):
    return Squares(n, broken)


def named_squares(n):
    made = Squares(n)
    made.ids, made.classes, made.targets = [f"grey {index}" for index in range(n)], NAMES, torch.arange(n) % len(NAMES)
    return made


def no_data():
    return 3


def empty():
    return []
