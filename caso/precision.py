"""The arithmetic in which everything is computed that a result or a score holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Within, TF32 is off on a GPU: ten bits of mantissa spoil curvature, and no map or score would repeat elsewhere.

    The switches are the process's: they come back as they were.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
