"""From a photograph or an array to pixels: resize, centre crop, scale to [0, 1].

Everything here takes a PIL image of mode RGB or a tensor ``[C, H, W]`` in [0, 1], which is what arrays are read as.
"""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

# A picture longer than this multiple of its height is cut at its middle before it is resized: only the middle is kept
# anyway, and resizing a 1 x 100 000 strip by its shorter side would fill the memory.
_LONGEST = 8
_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


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

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Turn an image into pixels ``[3, crop, crop]`` in [0, 1].

        Raises:
            ValueError: If it is an array of neither 1 nor 3 channels.
        """
        if isinstance(image, Tensor):
            return self._array(three_channels(image))
        image = image.crop(_middle(*image.size))
        size = self._size(*image.size)
        image = image.resize(size, self.resample)
        return to_pixels(image.crop(self._centre(*size)))

    def _array(self, pixels: Tensor) -> Tensor:
        left, top, right, bottom = _middle(pixels.shape[-1], pixels.shape[-2])
        pixels = pixels[:, top:bottom, left:right]
        width, height = self._size(pixels.shape[-1], pixels.shape[-2])
        mode = _MODES[self.resample]
        pixels = interpolate(pixels[None], (height, width), mode=mode, antialias=True)[0].clamp(0, 1)
        left, top, right, bottom = self._centre(width, height)
        border = (max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height))
        return torch.nn.functional.pad(pixels, border)[
            :, max(0, top) : max(0, top) + self.crop, max(0, left) : max(0, left) + self.crop
        ].contiguous()

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize

    def _centre(self, width: int, height: int) -> tuple[int, int, int, int]:
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        return left, top, left + self.crop, top + self.crop


def to_pixels(image: Image.Image | Tensor) -> Tensor:
    """Turn an RGB image into pixels ``[3, H, W]`` in [0, 1], at its own size. A tensor stays as it is."""
    if isinstance(image, Tensor):
        return image
    return _bytes(image.convert("RGB"), 3)


def to_grey(image: Image.Image | Tensor) -> Tensor:
    """Turn an image into grey pixels ``[1, H, W]`` in [0, 1], at its own size. Channels of a tensor are averaged."""
    if isinstance(image, Tensor):
        return image.mean(dim=0, keepdim=True)
    return _bytes(image.convert("L"), 1)


def three_channels(pixels: Tensor) -> Tensor:
    """Give an array three channels: one is repeated.

    Raises:
        ValueError: If it has neither 1 nor 3.
    """
    if pixels.shape[0] not in (1, 3):
        raise ValueError(f"the array has {pixels.shape[0]} channels, and this network takes 3")
    return pixels.expand(3, -1, -1)


def _bytes(image: Image.Image, channels: int) -> Tensor:
    width, height = image.size
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(height, width, channels).permute(2, 0, 1).contiguous().float() / 255


def _middle(width: int, height: int) -> tuple[int, int, int, int]:
    limit = _LONGEST * min(width, height)
    left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
    return left, top, min(width, left + limit), min(height, top + limit)
