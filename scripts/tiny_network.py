"""A tiny network for measurements of the program around it: ``model=python model.entry=tiny_network:make``.

Two environment variables serve measurements: ``TINY_PAUSE`` is the seconds that reading an image takes longer, and
``TINY_READ`` a file that gets a byte for each image that is read.
"""

import os
import time

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

NAMES = ("one", "two", "three", "four")


def preprocess(image: Image.Image) -> Tensor:
    """Give an image as pixels ``[3, 10, 12]``."""
    time.sleep(float(os.environ.get("TINY_PAUSE", "0")))
    if path := os.environ.get("TINY_READ"):
        with open(path, "ab") as file:
            file.write(b".")
    return pil_to_tensor(image.convert("RGB").resize((12, 10))) / 255


def network() -> nn.Module:
    """Make the network; its weights are the same each time."""
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4 * 5, len(NAMES)),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return made


def make() -> tuple[nn.Module, object, tuple[str, ...]]:
    """Make the network, its preprocessing and its classes' names."""
    return network(), preprocess, NAMES
