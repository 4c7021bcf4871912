"""CIFAR-10 and CIFAR-100 in their python version, as torchvision unpacks it.

The files are pickles. They are read by an unpickler that knows numpy's arrays and nothing else: no code in them runs.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caso.runner.cli.messages import ConfigError, describe
from caso.runner.components import Component
from caso.runner.data.from_torchvision import TorchvisionData, download_if_asked
from caso.runner.data.samples import Samples


@dataclass(frozen=True)
class _Layout:
    folder: str
    files: dict[str, list[str]]
    labels: str
    meta: tuple[str, str]


_LAYOUTS = {
    "cifar10": _Layout(
        "cifar-10-batches-py",
        {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
        "labels",
        ("batches.meta", "label_names"),
    ),
    "cifar100": _Layout(
        "cifar-100-python", {"train": ["train"], "test": ["test"]}, "fine_labels", ("meta", "fine_label_names")
    ),
}


@dataclass(frozen=True)
class Pixels:
    """Gives images that are all in memory.

    Attributes:
        values: ``[N, H, W, 3]``, 8-bit.
    """

    values: NDArray[np.uint8]

    def __call__(self, index: int) -> Image.Image:
        """Give one image."""
        return Image.fromarray(self.values[index])


def cifar(options: Any, seed: int) -> Samples:
    """List CIFAR's images. Ids are ``split/number``, with the number in the published order.

    Args:
        options: ``name``: cifar10 or cifar100. ``root``: the folder that holds ``cifar-10-batches-py`` or
            ``cifar-100-python``. ``split``: train or test. ``download``: fetch the files if they are not there.
        seed: Not used.

    Raises:
        ConfigError: If the files are not there or are damaged.
    """
    layout, split = _LAYOUTS[options.name], str(options.split)
    if split not in layout.files:
        raise ConfigError("dataset.split", split, "must be train or test")
    folder = Path(str(options.root)).expanduser() / layout.folder
    needed = [folder / name for name in (*layout.files[split], layout.meta[0])]
    download_if_asked(options, options.name.upper(), needed)
    batches = [_read(path) for path in needed[:-1]]
    try:
        values = np.concatenate([np.asarray(batch["data"], dtype=np.uint8) for batch in batches])
        values = values.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = [int(label) for batch in batches for label in batch[layout.labels]]
        names = [str(name) for name in _read(needed[-1])[layout.meta[1]]]
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError("dataset.root", options.root, f"{folder} is damaged ({describe(error)})") from error
    return Samples([f"{split}/{n:05}" for n in range(len(values))], Pixels(values), labels, names)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise ConfigError("dataset.root", path, f"cannot be read ({describe(error)})") from error
    if not isinstance(content, dict):
        raise ConfigError("dataset.root", path, "is no file of CIFAR")
    return content


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): _empty,
            ("numpy._core.multiarray", "_reconstruct"): _empty,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _dtype,
            ("_codecs", "encode"): _latin,
        }
        if (module, name) in known:
            return known[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _empty(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    return np.ndarray((0,), np.uint8)


def _latin(text: str, encoding: str) -> bytes:
    return text.encode("latin-1")


def _dtype(name: str, align: object = False, copy: object = True) -> np.dtype[Any]:
    return np.dtype(name, align=False, copy=True)


COMPONENT = Component(tuple(_LAYOUTS), TorchvisionData, cifar)
