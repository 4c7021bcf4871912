"""A tiny network for measurements of the program around it: ``model=python model.entry=tiny_network:make``.

Environment variables serve measurements: ``TINY_PAUSE`` is the seconds that reading takes longer, ``TINY_READ``
a file that gets a byte for each image that is read, ``TINY_SIZE`` the height and width of images.
"""

import os
import time

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

NAMES = ("one", "two", "three", "four")


def preprocess(image: Image.Image) -> Tensor:
    """Give an image as pixels ``[3, 12, 12]``, or of another size."""
    time.sleep(float(os.environ.get("TINY_PAUSE", "0")))
    if path := os.environ.get("TINY_READ"):
        with open(path, "ab") as file:
            file.write(b".")
    size = int(os.environ.get("TINY_SIZE", "12"))
    return pil_to_tensor(image.convert("RGB").resize((size, size))) / 255


def network() -> nn.Module:
    """Make the network; its weights are the same each time."""
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, len(NAMES)),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


def make() -> tuple[nn.Module, object, tuple[str, ...]]:
    """Make the network, its preprocessing and its classes' names."""
    return network(), preprocess, NAMES
