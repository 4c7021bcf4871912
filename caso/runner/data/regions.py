"""Regions of images: found by a function of the pixels, or read from the user's own label images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from caso.regions import channels, patches
from caso.runner.cli.messages import ConfigError
from caso.runner.data.decoding import Picture

REGIONS = ("none", "slic", "felzenszwalb", "patches", "channels", "masks")
_FILES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy")
Find = Callable[[Tensor], Tensor]


class Regions(Protocol):
    """Gives an image its regions. Can be pickled."""

    @property
    def find(self) -> Find | None:
        """The regions as a function of images ``[B, C, H, W]``; None where they are each image's own."""

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
        """Labels ``[H, W]`` or ``[C, H, W]`` of an image, -1 for none.

        Args:
            name: The image's id.
            picture: As it was read.
            pixels: What the network gets, ``[C, H, W]``.
            preprocessing: From the one to the other.

        Raises:
            ValueError: If there are none for this image, or they do not fit it.
        """

    def name(self, label: int) -> str:
        """What a region is called."""


def make_regions(options: Any) -> Regions | None:
    """Make what a checked configuration's group ``regions`` describes; None for single entries.

    Raises:
        ConfigError: If a value is out of range, or there is no such file.
    """
    kind = options.name
    if kind == "none":
        return None
    if kind == "masks":
        return _masks(options)
    given = {str(key): value for key, value in options.items() if key not in ("name", "keep")}
    try:
        return _Found(kind, given, _function(kind, given))
    except ValueError as error:
        key = str(error).partition("=")[0]
        raise ConfigError(f"regions.{key}", given.get(key), str(error).partition(": ")[2]) from error


def _function(kind: str, options: Mapping[str, Any]) -> Find:
    if kind in ("patches", "channels"):
        return patches(**options) if kind == "patches" else channels()
    from caso import segmentation  # scikit-image is imported where it is needed

    found: Find = getattr(segmentation, kind)(**options)
    return found


class _Found:
    """Regions by a function of the pixels."""

    def __init__(self, kind: str, options: Mapping[str, Any], find: Find) -> None:
        self._kind, self._options, self.find = kind, options, find

    def __reduce__(self) -> Any:
        return _found, (self._kind, self._options)

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
        labels = self.find(pixels[None])
        return labels if labels.dim() == pixels.dim() - 1 and len(labels) != 1 else labels[0]

    def name(self, label: int) -> str:
        return f"{'channel' if self._kind == 'channels' else 'region'} {label}"


def _found(kind: str, options: Mapping[str, Any]) -> _Found:
    return _Found(kind, options, _function(kind, options))


def _masks(options: Any) -> "_Masks":
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
    return _Masks(path, by_label, options.ignore)


@dataclass(frozen=True)
class _Masks:
    """Regions from label images: of the photograph's size, or of the size that the network gets."""

    path: Path
    names: Mapping[int, str]
    ignore: int | None

    @property
    def find(self) -> Find | None:
        return None

    def name(self, label: int) -> str:
        return self.names.get(label, f"region {label}")

    def labels(self, name: str, picture: Picture, pixels: Tensor, preprocessing: Callable[[Any], Tensor]) -> Tensor:
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
