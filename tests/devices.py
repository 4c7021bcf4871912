"""The device that the library's tests run on: `pytest --device cuda`, and `--device simulated` where there is none.

Tests say nothing of devices. What they make by torch's factories (`torch.tensor`, `torch.zeros`, ...) or modules, and
what the helpers in `tests/networks.py` make, lies on this device; other libraries' networks they take there by `.to`.
What the library makes lies where the library puts it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from tests import simulated

DEVICE = torch.device("cpu")


_TESTS, _TORCH = str(Path(__file__).resolve().parent), str(Path(torch.__file__).resolve().parent)
_ORACLES = str(Path(__file__).resolve().with_name("reference.py"))
"""Their loops run on the processor."""
_HELPERS = str(Path(__file__).resolve().with_name("networks.py"))
"""They take networks to the device when the weights are drawn, so that these are the same on every one."""
_FACTORIES = _device_constructors()


def _by_a_test() -> bool:
    """Whether a factory was called by a test, or by a module of torch that a test makes."""
    frame = sys._getframe(2)
    module = frame.f_code.co_filename.startswith(_TORCH)
    while frame.f_back and frame.f_code.co_filename.startswith(_TORCH):
        frame = frame.f_back
    caller = frame.f_code.co_filename
    return caller.startswith(_TESTS) and caller != _ORACLES and not (module and caller == _HELPERS)


class _OnDevice(TorchFunctionMode):
    """Within, factories that tests call give tensors of the device, with the values that the processor's give."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _FACTORIES and (kwargs or {}).get("device") is None and isinstance(result, torch.Tensor):
            return result.to(DEVICE) if _by_a_test() else result
        return result


_mode = _OnDevice()


def use(name: str) -> None:
    """Run tests on this device from now on; before anything else of `tests` or `caso` is imported."""
    global DEVICE
    DEVICE = simulated.install() if name == simulated.NAME else torch.device(name)
    torch.empty(0, device=DEVICE)  # there must be one
    _mode.__enter__()


def leave() -> None:
    """Make tensors on the processor again."""
    if DEVICE.type != "cpu":
        _mode.__exit__(None, None, None)
