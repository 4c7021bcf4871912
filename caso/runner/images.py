"""Reading image files of every kind into plain RGB."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from caso.runner.errors import describe


class UnreadableImageError(Exception):
    """A file that cannot be read as an image; the text is the reason, in one line."""


def read_image(path: Path) -> Image.Image:
    """Read an image file as 8-bit RGB, as a viewer would show it.

    The rotation in EXIF data is applied; CMYK, palette and grey become RGB; 16-bit values are scaled to 8 bits;
    transparency is laid over white, which is what pages and viewers commonly show behind it. Of an animation, the first
    frame is read.

    Args:
        path: Any format that Pillow reads.

    Returns:
        The image, mode RGB.

    Raises:
        UnreadableImageError: If the file is missing, empty, truncated or no image.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow's remarks on broken metadata, and on pictures that are large but not too large.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return _to_rgb(_upright(image))
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known format") from error
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError and more on broken files
        raise UnreadableImageError(describe(error)) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF data must not hide a good picture, and its parser raises many things
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_high_depth(image)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_high_depth(image: Image.Image) -> Image.Image:
    """Scale grey images of more than 8 bits: 16-bit integers by 1/257, floats in [0, 1] by 255."""
    values = np.asarray(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise UnreadableImageError(f"values outside [0, {top:g}]")
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8)).convert("RGB")
