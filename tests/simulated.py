"""A device of its own, simulated on the processor, for machines without an accelerator.

Its tensors are as far from the processor's as an accelerator's: an operation on both kinds fails, and values come over
only by a copy. So code that forgets a device fails here as it would there, and every wait of the host for the device
can be counted (`waits`). Its arithmetic is the processor's. Nothing is learnt here about kernels, memory or speed.

`install` must come before `caso` is imported. It needs torch's support for devices that are written in Python, which
is experimental.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx.experimental import proxy_tensor
from torch.ops import aten
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "simulated"
_OWN = __file__
_library: torch.library.Library | None = None
_counters: list[Counter[str]] = []
operations = 0
"""How many the device was asked for so far: each would be a kernel or a few."""

_WAITING = {
    aten._local_scalar_dense.default: "item",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.equal.default: "equal",
    aten.is_nonzero.default: "item",
    aten._unique2.default: "unique",
    aten.unique_consecutive.default: "unique",
    aten.bincount.default: "bincount",
    aten._linalg_check_errors.default: "linalg check",
    aten._linalg_eigh.default: "eigh",
}
"""Operations for which the host waits until the device has done all that was asked of it before."""

_RESIZING = (
    "arange", "arange.start", "arange.start_step", "linspace", "logspace", "eye", "eye.m", "randperm",
    "randperm.generator", "tril_indices", "triu_indices",
)  # fmt: skip
"""Factories that begin with an empty tensor and resize it, which a tensor here cannot bear."""

_INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
_COPIES = (aten._to_copy.default, aten.copy_.default)


class SimulatedTensor(Tensor):
    """A tensor of the simulated device; `values` are on the processor."""

    values: Tensor
    fakes: dict[int, FakeTensor]

    @staticmethod
    def __new__(cls, values: Tensor) -> SimulatedTensor:
        made = Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        made.values, made.fakes = values, {}
        return made

    def __repr__(self, **_: Any) -> str:
        return f"{self.values!r} on the {NAME} device"

    def tolist(self) -> Any:
        _count("tolist")
        return self.values.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert {NAME} device type tensor to numpy; use Tensor.cpu()")

    def data_ptr(self) -> int:
        return self.values.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> SimulatedTensor:
        made = SimulatedTensor(self.values.clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        memo[id(self)] = made
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Count, while within, why the host waits for the device: `{"item in caso/solvers/newton.py:70": 3, ...}`."""
    _counters.append(Counter())
    try:
        yield _counters[-1]
    finally:
        _counters.pop()


def _count(reason: str) -> None:
    if not _counters:
        return
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == _OWN or "/caso/" not in frame.f_code.co_filename):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename.rpartition('/caso/')[2]}:{frame.f_lineno}"
    for counter in _counters:
        counter[f"{reason} in {place}"] += 1


def _values(tensor: SimulatedTensor) -> Tensor:
    return tensor.values


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Do on the values what was asked of the tensors, if a device could do it."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    modes = [t.fake_mode for t in tensors if isinstance(t, FakeTensor)]
    if modes:
        return _traced(func, args, kwargs, modes[0])
    global operations
    operations += 1
    own = [t for t in tensors if isinstance(t, SimulatedTensor)]
    device = kwargs.get("device")
    stays = device is None or torch.device(device).type == NAME
    if func not in _COPIES:
        _refuse_mixtures(func, args, [t for t in tensors if not isinstance(t, SimulatedTensor)])
    _count_waits(func, args, stays)
    inner = kwargs if device is None or not stays else kwargs | {"device": torch.device("cpu")}
    with _disable_current_modes():
        result = func(*tree_map_only(SimulatedTensor, _values, args), **tree_map_only(SimulatedTensor, _values, inner))
    if func is aten.copy_.default:
        return args[0]
    if not stays:
        return result
    known = {id(t.values): t for t in own}  # what is written in place stays the same tensor
    return tree_map_only(Tensor, lambda t: known[id(t)] if id(t) in known else SimulatedTensor(t), result)


def _refuse_mixtures(func: Any, args: Any, others: list[Tensor]) -> None:
    """As every device does; but numbers, and the indices of an indexing, may come from the processor."""
    indices = tree_leaves(args[1]) if func in _INDEXED else []
    for other in others:
        if other.dim() > 0 and not any(other is index for index in indices):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {func} got {NAME} and {other.device}"
            )


def _count_waits(func: Any, args: Any, stays: bool) -> None:
    if func in _WAITING:
        _count(_WAITING[func])
    elif func in _INDEXED:
        for index in args[1]:
            if isinstance(index, Tensor) and not isinstance(index, SimulatedTensor):
                _count("index from the host")
            # A number is put where a mask is by a kernel that needs no indices.
            elif index is not None and index.dtype == torch.bool and not (len(args) > 2 and args[2].numel() == 1):
                _count("boolean index")
    elif func is aten._to_copy.default and not stays:
        _count("copy to the host")
    elif func is aten.copy_.default and isinstance(args[0], SimulatedTensor) != isinstance(args[1], SimulatedTensor):
        _count("copy from the host" if isinstance(args[0], SimulatedTensor) else "copy to the host")


def _traced(func: Any, args: Any, kwargs: Any, mode: FakeTensorMode) -> Any:
    """Within a trace: weights become tensors without data, as those of other devices do."""

    def fake(tensor: SimulatedTensor) -> FakeTensor:
        if id(mode) not in tensor.fakes:
            with _disable_current_modes():
                meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
                made = mode.fake_tensor_converter.from_meta_and_device(mode, meta, tensor.device)
            made.simulated = tensor
            tensor.fakes[id(mode)] = made
        return tensor.fakes[id(mode)]

    return func(*tree_map_only(SimulatedTensor, fake, args), **tree_map_only(SimulatedTensor, fake, kwargs))


def _make_fx(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tracing, whose graphs hold the weights themselves again."""

    def make_fx(function: Any, **options: Any) -> Any:
        tracer = original(function, **options)

        def traced(*args: Any) -> Any:
            graph = tracer(*args)
            for name, value in graph.named_buffers():
                graph._buffers[name] = getattr(value, "simulated", value)
            return graph

        return traced

    return make_fx


class _Module:
    """What torch asks of a device's module, `torch.simulated`."""

    def is_initialized(self) -> bool:
        return True

    is_available = is_built = is_initialized

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def install() -> torch.device:
    """Make the device known to this process."""
    global _library
    if _library is None:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

        _setup_privateuseone_for_python_backend(NAME, _Module())
        _library = torch.library.Library("aten", "IMPL")
        _library.impl("empty.memory_format", _empty, "PrivateUse1")
        _library.impl("empty_strided", _empty_strided, "PrivateUse1")
        for name in _RESIZING:
            packet, _, overload = name.partition(".")
            _library.impl(name, _made_by(getattr(getattr(aten, packet), overload or "default")), "PrivateUse1")
        # Modules take their parameters to it as new ones: an ordinary tensor cannot become one of another kind.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        # An error in a device's own thread of autograd would end the process.
        torch.autograd.set_multithreading_enabled(False)
        proxy_tensor.make_fx = _make_fx(proxy_tensor.make_fx)
    return torch.device(NAME, 0)


def _empty(size: Any, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    layout = memory_format or torch.contiguous_format
    return SimulatedTensor(torch.empty(size, dtype=dtype or torch.get_default_dtype(), memory_format=layout))


def _made_by(factory: Any) -> Callable[..., Tensor]:
    def make(*args: Any, **kwargs: Any) -> Tensor:
        return SimulatedTensor(factory(*args, **kwargs | {"device": torch.device("cpu")}))

    return make


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
    return SimulatedTensor(torch.empty_strided(size, stride, dtype=dtype or torch.get_default_dtype()))
