"""Which files are meant to be images, by their names, and which of these are not read."""

import os

from PIL import Image

_NO_IMAGES = {".pdf", ".mpg", ".mpeg"}
_FOREIGN = frozenset(
    {
        # Cameras' raw files.
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
        ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
        # Pictures. AVIF, JPEG 2000 and WebP are missing from some builds of Pillow alone.
        ".avif", ".avifs", ".bpg", ".exr", ".flif", ".hdp", ".hdr", ".heic", ".heics", ".heif", ".heifs", ".hif",
        ".jls", ".jp2", ".jxl", ".jxr", ".kra", ".psb", ".svg", ".svgz", ".wdp", ".webp", ".xcf",
        # Of medicine and microscopes.
        ".czi", ".dcm", ".dicom", ".lif", ".lsm", ".mha", ".mrxs", ".nd2", ".ndpi", ".nii", ".nrrd", ".svs",
    }
)  # fmt: skip
"""Endings of images that Pillow does not read, unless a plug-in is registered with it."""


def is_image_name(path: str) -> bool:
    """Tell by its ending whether a file is meant to be an image, be it of a kind that cannot be read here.

    Args:
        path: A file's path or name, with slashes. What is hidden, or lies in a hidden folder, is no image.
    """
    if any(part.startswith(".") and part.strip(".") for part in path.split("/")):  # tar files write ./a.png
        return False
    suffix = _suffix(path)
    known = suffix == ".npy" or suffix in _FOREIGN or suffix in Image.registered_extensions()
    return known and suffix not in _NO_IMAGES


def refusal(name: str) -> str:
    """Say why a file is not read, whatever it holds, or nothing where it may be.

    Cameras' raw files and slides are TIFF files, too, whose first page may be a thumbnail.
    """
    suffix = _suffix(name)
    if suffix not in _FOREIGN or suffix in Image.registered_extensions():
        return ""
    return f"{suffix} files are not read; convert it to PNG, JPEG or TIFF"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
