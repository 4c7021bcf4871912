"""Weights: from a file, or fetched once into a cache. Nothing here runs code that a file may hold."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from filelock import FileLock
from omegaconf import MISSING
from torch import Tensor, nn

from caso.runner.cli.messages import ConfigError, describe

KEY = "model.weights"
DEFAULT = "DEFAULT"
NONE = "none"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass
class PublishedModel:
    """Options of a network whose weights are published, or the user's own in a file."""

    name: str = MISSING
    weights: str = MISSING
    classes: Any = None
    family: str | None = None


def is_file(weights: str) -> bool:
    """Tell whether the key ``model.weights`` names a file that exists."""
    return Path(weights).expanduser().is_file()


def check_weights(weights: str) -> None:
    """Check the key ``model.weights`` before anything loads.

    Raises:
        ConfigError: If it is neither ``DEFAULT``, ``none``, nor a file that exists.
    """
    if weights not in (DEFAULT, NONE) and not is_file(weights):
        raise ConfigError(KEY, weights, f"no such file; give {DEFAULT}, {NONE} or the path of a state dict")


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a file, as tensors only: no code in the file can run.

    Args:
        path: A file of ``torch.save`` or safetensors. A state dict below the key ``state_dict`` or ``model``, and names
            with the prefix ``module.``, are understood.

    Raises:
        ConfigError: If the file holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                state: Any = load_file(path)
            except SafetensorError as error:
                raise ValueError(describe(error)) from error
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ConfigError(KEY, path, f"cannot be read as a state dict ({describe(error)[:200]})") from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(KEY, path, "does not hold a state dict")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


@contextmanager
def told_in_one_line(source: object) -> Iterator[None]:
    """Turn torch's account of tensors that do not fit into one line.

    Raises:
        ConfigError: If names or shapes differ.
    """
    try:
        yield
    except (RuntimeError, KeyError) as error:
        hint = "; another number of classes is given as model.classes=N" if "size mismatch" in str(error) else ""
        raise ConfigError(KEY, source, f"does not fit the network ({describe(error)[:200]}){hint}") from error


def fill(network: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Load a state dict, every entry, or say in one line why it does not fit.

    Raises:
        ConfigError: If names or shapes differ.
    """
    with told_in_one_line(source):
        network.load_state_dict(state)


def fetch_url(url: str, name: str, weights: str) -> Path:
    """Take weights from torch's cache, or fetch them into it: one process does, the others wait.

    Args:
        url: Where they are.
        name: The file's name. Its last part begins with its hash, where torch's convention is followed.
        weights: The key ``model.weights``, for errors.

    Raises:
        ConfigError: If they cannot be fetched, with the path where the file belongs.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    hashed = torch.hub.HASH_REGEX.search(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.is_file():
                torch.hub.download_url_to_file(url, str(path), hashed.group(1) if hashed else None, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise ConfigError(
            KEY,
            weights,
            f"cannot fetch {name} ({describe(error)}); put that file, from {url}, at {path}, "
            f"or give its path as {KEY}=PATH, or {KEY}={NONE} for random weights",
        ) from error
    return path


def fetch_hub(repository: str, file: str | None, weights: str) -> Path:
    """Take weights from the Hugging Face hub's cache, or fetch them into it; the hub's client lets one process do so.

    Args:
        repository: Its name on the hub.
        file: The file's name; None for the usual ones, safetensors first.
        weights: The key ``model.weights``, for errors.

    Raises:
        ConfigError: If they cannot be fetched, saying which file is needed.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    files = (file,) if file else _HUB_FILES
    for name in files:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _unreachable(constants.ENDPOINT)
    if not reason:
        for name in files:
            try:
                return Path(hf_hub_download(repository, name))
            except EntryNotFoundError as error:
                reason = describe(error)
            except (OSError, ValueError, RuntimeError) as error:
                reason = describe(error)
                break
    where = f"{constants.ENDPOINT}/{repository}/resolve/main/{files[0]}"
    raise ConfigError(
        KEY,
        weights,
        f"cannot fetch {repository} ({reason[:200]}); put {where} on this machine and give its path as {KEY}=PATH, "
        f"or {KEY}={NONE} for random weights",
    )


def _unreachable(address: str) -> str:
    """Say why a site cannot be reached, or nothing. The hub's client would try for a minute to find out."""
    try:
        with urlopen(Request(address, method="HEAD"), timeout=10):
            return ""
    except HTTPError as error:
        error.close()
        return ""  # it answered
    except (OSError, ValueError) as error:
        return describe(error)
