"""TIFF files as arrays: bands as samples of one page, or as pages that were written as one array."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from caso.runner.data.arrays import ALLOWED, UnreadableImageError, channels_first, largest

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF files begin."""

_ALPHA = (1, 2)  # kinds of extra samples that are transparency
_PILLOWS_FLOAT = 32  # bits
_WHITE_IS_ZERO, _INKS = 0, 5  # TIFF's names for kinds of colours; the latter is CMYK
_PAGE = "YXS"  # tifffile's names for the axes of one page
_BANDS = "CQ"  # channels, and an array's axis without a name


def read_bands(file: BinaryIO) -> NDArray[Any] | None:
    """Read a TIFF file as an array, or give nothing if it, or its first page, is a picture that Pillow reads.

    Pages are bands where the file says that they are one array ``[C, H, W]`` of channels (ImageJ, OME), or of an axis
    without a name (``tifffile.imwrite``), where, as for ``.npy``, the shorter of the first and the last axis is C.
    Pages of other arrays, and those that were written one by one, are frames, slices or documents: the first is read.

    Returns:
        ``[C, H, W]``, values as they are stored.

    Raises:
        UnreadableImageError: If channels are not the only axis of pages, or the range of the values is not known.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(file) as tiff:
            page, series = tiff.pages[0], tiff.series[0]
            _check_values(page)
            axes = [name for name, n in zip(series.axes, series.shape, strict=True) if name not in _PAGE and n > 1]
            bands = [name for name in axes if name in _BANDS]
            if not bands or (bands == ["Q"] and "S" in series.axes):
                return _first_page(page)
            if len(axes) == 1 and "S" not in series.axes:
                values = series.asarray()
                values = values.reshape(-1, *values.shape[-2:])
                return values if axes == ["C"] else channels_first(values)
            shape = " x ".join(map(str, series.shape))
            raise UnreadableImageError(f"an array {shape} with axes {series.axes}; store one [C, H, W] a file")
    except TiffFileError:
        return None


def _first_page(page: Any) -> NDArray[Any] | None:
    samples = int(page.samplesperpixel)
    alpha = len(page.extrasamples) == 1 and all(int(kind) in _ALPHA for kind in page.extrasamples)
    colours = samples == 3 or (samples == 4 and int(page.photometric) == _INKS)
    if samples == 1 and page.dtype is not None and page.dtype.kind == "f" and page.bitspersample != _PILLOWS_FLOAT:
        half_or_double: NDArray[Any] = page.asarray()
        return half_or_double
    if samples == 1 or (page.bitspersample == 8 and (colours or (alpha and samples in (2, 4)))):
        return None
    values: NDArray[Any] = page.asarray()
    return values if int(page.planarconfig) == 2 else np.moveaxis(values, -1, 0)


def _check_values(page: Any) -> None:
    if page.dtype is None:  # not one that tifffile knows
        return
    largest(page.dtype)
    bits, samples = page.bitspersample, int(page.samplesperpixel)
    if bits != page.dtype.itemsize * 8 and (samples > 1 or bits > 8):
        raise UnreadableImageError(f"values of {bits} bits; {ALLOWED}")
    if int(page.photometric) == _WHITE_IS_ZERO and (samples > 1 or bits > 8):
        raise UnreadableImageError(f"0 is white there (MinIsWhite), with {bits} bits; store it with 0 as black")
