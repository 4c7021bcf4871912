"""Reading images of every kind: pictures become plain RGB, arrays keep their channels."""

import io
import warnings
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from caso.runner.cli.messages import describe

Picture: TypeAlias = Image.Image | Tensor
"""What an image is read as: a PIL image of mode RGB, or a float tensor ``[C, H, W]`` in [0, 1] for an array."""

_ARRAY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = (1, 2)  # kinds of extra TIFF samples that are transparency
_INKS = 5  # TIFF's name for CMYK
_BAND_AXES = ("QYX", "CYX", "SYX")
"""Axes, in tifffile's letters, of a series whose pages are the bands of one image: of an array that tifffile wrote, and
of ImageJ's and OME's channels. Pages of other series are frames, slices or documents."""
FOREIGN = frozenset(
    {
        ".arw", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".hif", ".jxl", ".nef", ".orf", ".raf",
        ".rw2", ".srw", ".svg",
    }
)  # fmt: skip
"""Endings of images that Pillow does not read, unless a plug-in is registered with it."""


class UnreadableImageError(Exception):
    """A file that cannot be read as an image; the text is the reason, in one line."""


def read_image(path: Path) -> Picture:
    """Read an image file.

    Pictures become 8-bit RGB, as a viewer would show them: the rotation in EXIF data is applied; CMYK, palette and grey
    become RGB; 16-bit grey is scaled to 8 bits; transparency is laid over white, which is what pages and viewers
    commonly show behind it. Of an animation, and of a TIFF file of several pictures, the first one is read.

    Arrays keep their channels: numpy's ``.npy``, ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]`` (the shortest of the first
    and the last axis is C), and TIFF files of bands that are no colours, or of colours with more than 8 bits. Bands may
    be samples of one page, or the pages of one array as tifffile, ImageJ and OME write them. Unsigned integers of 8 and
    16 bits are scaled to [0, 1]; floats must lie there; other integers have no range that a file states.

    Args:
        path: Any format that Pillow reads, TIFF, or numpy's.

    Returns:
        The image, mode RGB, or the array as a float tensor ``[C, H, W]`` in [0, 1].

    Raises:
        UnreadableImageError: If the file is missing, empty, truncated, no image, or of a kind that is not read.
    """
    suffix = path.suffix.lower()
    if suffix in FOREIGN and suffix not in Image.registered_extensions():
        # A camera's raw file is a TIFF file, too, whose first page may be a thumbnail.
        raise UnreadableImageError(f"{suffix} files are not read; convert it to PNG, JPEG or TIFF")
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise UnreadableImageError(describe(error)) from error


def read_bytes(content: bytes) -> Picture:
    """Read an image from memory, as :func:`read_image` does."""
    return _read(io.BytesIO(content))


def _read(file: BinaryIO) -> Picture:
    head = file.read(len(_ARRAY))
    if not head:
        raise UnreadableImageError("the file is empty")
    file.seek(0)
    try:
        if head == _ARRAY:
            return _as_tensor(np.load(file, allow_pickle=False))
        if head[:4] in _TIFF:
            bands = _bands(file)
            if bands is not None:
                return bands
            file.seek(0)
        ignore_remarks()
        with Image.open(file) as image:
            image.load()
            return to_rgb(_upright(image))
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image of a known format") from error
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError and more on broken files
        raise UnreadableImageError(describe(error)) from error


def ignore_remarks() -> None:
    """Ignore Pillow's remarks on broken metadata, and on pictures that are large but not too large.

    For the whole process: images are read in a thread, and a filter for a while would be undone by other threads'.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _bands(file: BinaryIO) -> Tensor | None:
    """Read a TIFF file as an array, or nothing if it is a picture that Pillow reads."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(file) as tiff:
            page: Any = tiff.pages[0]
            samples = int(page.samplesperpixel)
            alpha = len(page.extrasamples) == 1 and all(int(kind) in _ALPHA for kind in page.extrasamples)
            colours = samples == 3 or (samples == 4 and int(page.photometric) == _INKS)
            if samples == 1 and len(tiff.pages) > 1 and tiff.series[0].axes in _BAND_AXES:
                return _as_tensor(tiff.series[0].asarray(), channels_first=True)
            if samples == 1 and page.dtype.kind in "iu" and page.dtype.str[1:] not in ("u1", "u2"):
                raise _unknown_range(page.dtype)
            if samples == 1 or (page.bitspersample == 8 and (colours or (alpha and samples in (2, 4)))):
                return None
            values = page.asarray()
    except TiffFileError:
        return None
    return _as_tensor(values if int(page.planarconfig) == 2 else np.moveaxis(values, -1, 0), channels_first=True)


def _unknown_range(dtype: np.dtype[Any]) -> UnreadableImageError:
    """Nobody knows which number is white: scaled by the largest of their type, most pictures would be black."""
    return UnreadableImageError(f"values of type {dtype}; use uint8, uint16, or floats in [0, 1]")


def _as_tensor(values: NDArray[Any], channels_first: bool = False) -> Tensor:
    if values.ndim == 2:
        values = values[None]
    elif values.ndim != 3 or 0 in values.shape:
        raise UnreadableImageError(f"an array of shape {values.shape} is no image")
    elif not channels_first and values.shape[0] >= values.shape[-1]:
        values = np.moveaxis(values, -1, 0)
    top = {"u1": 255.0, "u2": 65535.0, "b1": 1.0}.get(values.dtype.str[1:])
    if top is None and values.dtype.kind != "f":
        raise _unknown_range(values.dtype)
    scaled = values.astype(np.float32) / np.float32(top or 1)
    if not np.isfinite(scaled).all() or scaled.min() < 0 or scaled.max() > 1:
        raise UnreadableImageError("values outside [0, 1]")
    return torch.from_numpy(np.ascontiguousarray(scaled))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF data must not hide a good picture, and its parser raises many things
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture of any mode into 8-bit RGB."""
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
