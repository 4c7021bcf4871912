"""Regions from the user's own label images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import MISSING, OmegaConf
from PIL import Image
from torch import Tensor

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.decoding import Picture
from caso.runner.regions.base import Find, RegionOptions

_FILES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy")


@dataclass
class Masks(RegionOptions):
    """Options of the user's own label images."""

    path: str = MISSING
    names: Any = None
    ignore: int | None = None


def masks(options: Any) -> "MaskRegions":
    """Find the user's label images.

    Args:
        options: ``path``: one file for all images, or a folder of files named by the images' ids. ``names``: of the
            labels. ``ignore``: the label of what belongs to no region.

    Raises:
        ConfigError: If there is no such file or folder, or the names are none.
    """
    path = Path(str(options.path)).expanduser()
    if not path.exists():
        raise ConfigError("regions.path", options.path, "no such file or folder")
    if path.is_file() and path.suffix.lower() not in _FILES:
        raise ConfigError("regions.path", options.path, f"must be a folder, or one of {', '.join(_FILES)}")
    names: Any = {} if options.names is None else options.names
    names = OmegaConf.to_container(names) if OmegaConf.is_config(names) else names
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise ConfigError("regions.names", options.names, "must be names by label, as {1: sky, 2: dog}, or a list")
    try:
        by_label = {int(label): str(name) for label, name in names.items()}
    except ValueError as error:
        raise ConfigError("regions.names", options.names, "labels must be whole numbers") from error
    return MaskRegions(path, by_label, options.ignore)


@dataclass(frozen=True)
class MaskRegions:
    """Regions from label images: of the photograph's size, or of the size that the network gets."""

    path: Path
    names: Mapping[int, str]
    ignore: int | None

    @property
    def find(self) -> Find | None:
        """None: the regions are each image's own."""
        return None

    def name(self, label: int) -> str:
        """Name a region as the user does."""
        return self.names.get(label, f"region {label}")

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
        """Read an image's labels."""
        file = self.path if self.path.is_file() else self._file(name)
        labels = torch.from_numpy(_read(file).astype(np.int64))
        if self.ignore is not None:
            labels = torch.where(labels == self.ignore, -1, labels)
        if labels.shape[-2:] == pixels.shape[1:]:
            return labels
        size = tuple(picture.shape[-2:]) if isinstance(picture, Tensor) else picture.size[::-1]
        if labels.dim() != len(size) or tuple(labels.shape) != size:
            allowed = f"the photograph's {list(size)} or the network's {list(pixels.shape[1:])}"
            raise ValueError(f"its mask {file.name} is {list(labels.shape)}: must be {allowed}")
        return _through(preprocessing, labels)

    def _file(self, name: str) -> Path:
        stem = (self.path / name).resolve()
        inside = stem.is_relative_to(self.path.resolve())
        candidates = [root.with_name(root.name + end) for root in (stem, stem.with_suffix("")) for end in _FILES]
        for file in candidates if inside else ():
            if file.is_file():
                return file
        raise ValueError(f"{self.path} holds no mask of this image")


def _read(file: Path) -> NDArray[Any]:
    """Read labels ``[H, W]`` or ``[C, H, W]``.

    Raises:
        ValueError: If the file holds none.
    """
    try:
        if file.suffix.lower() == ".npy":
            array: NDArray[Any] = np.load(file, allow_pickle=False)
        else:
            with Image.open(file) as image:
                array = np.asarray(image.convert("L") if image.mode == "1" else image)
    except (OSError, ValueError) as error:
        raise ValueError(f"its mask {file.name} cannot be read: {error}") from error
    if array.dtype.kind not in "iub" or array.ndim not in (2, 3) or (array.ndim == 3 and file.suffix != ".npy"):
        kind = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"its mask {file.name} is {kind}: must be whole numbers [H, W], a grey or palette image")
    return array


def _through(preprocessing: Callable[[Any], Tensor], labels: Tensor) -> Tensor:
    """Resize and crop labels as a preprocessing does images: by where it takes each pixel from.

    Raises:
        ValueError: If it does not take arrays, as one may that the user wrote.
    """
    height, width = labels.shape
    rows, columns = ((torch.arange(size, dtype=torch.float64) + 0.5) / size for size in (height, width))
    grid = torch.stack([rows[:, None].expand(height, width), columns.expand(height, width), torch.zeros(height, width)])
    try:
        at = preprocessing(grid.float())
    except Exception as error:
        raise ValueError("its mask is of the photograph's size, and the preprocessing takes no arrays") from error
    row, column = (
        (where.double() * size).floor().long().clamp(0, size - 1)
        for where, size in zip(at[:2], (height, width), strict=True)
    )
    return labels[row, column]


COMPONENT = Component(("masks",), Masks, masks)
