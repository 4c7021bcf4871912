"""From a photograph to pixels: resize, centre crop, scale to [0, 1]."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

# A picture longer than this multiple of its height is cut at its middle before it is resized: only the middle is kept
# anyway, and resizing a 1 x 100 000 strip by its shorter side would fill the memory.
_LONGEST = 8


@dataclass(frozen=True)
class ResizeAndCrop:
    """Resize the shorter side, then crop the centre: the evaluation geometry of most ImageNet networks.

    Attributes:
        resize: Length of the shorter side after resizing, in pixels.
        crop: Height and width of the crop, in pixels.
        resample: How to interpolate; always antialiased.
    """

    resize: int
    crop: int
    resample: Image.Resampling

    def __call__(self, image: Image.Image) -> Tensor:
        """Turn an RGB image into pixels ``[3, crop, crop]`` in [0, 1]."""
        image = _middle(image)
        width, height = image.size
        if width <= height:
            size = (self.resize, int(self.resize * height / width))
        else:
            size = (int(self.resize * width / height), self.resize)
        image = image.resize(size, self.resample)
        left, top = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
        return to_pixels(image.crop((left, top, left + self.crop, top + self.crop)))


def to_pixels(image: Image.Image) -> Tensor:
    """Turn an RGB image into pixels ``[3, H, W]`` in [0, 1], at its own size."""
    width, height = image.size
    data = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.view(height, width, 3).permute(2, 0, 1).contiguous().float() / 255


def _middle(image: Image.Image) -> Image.Image:
    width, height = image.size
    limit = _LONGEST * min(width, height)
    if max(width, height) <= limit:
        return image
    left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
    return image.crop((left, top, min(width, left + limit), min(height, top + limit)))
