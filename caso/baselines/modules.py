"""A network's modules and the operations they run, for methods that work through hooks."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_NONLINEAR = {
    "relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold", "leaky_relu", "elu", "gelu", "silu", "mish",
    "sigmoid", "hardsigmoid", "hardswish", "tanh", "softplus", "log_sigmoid_forward", "prelu", "_prelu_kernel",
    "rrelu_with_noise", "_softmax", "_log_softmax", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "adaptive_max_pool2d", "native_layer_norm", "native_group_norm", "abs", "exp", "log", "sqrt", "rsqrt",
    "maximum", "minimum", "amax", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math", "_native_multi_head_attention",
}  # fmt: skip
"""Names of ATen's operations, without the mark of those in place."""


class ClampedReLU(nn.Module):
    """ReLU6 as a ReLU, which hooks know, and a cut at 6."""

    def __init__(self) -> None:
        """Make the ReLU."""
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Clamp to [0, 6]."""
        return torch.clamp_max(self.relu(x), 6)


class TwoReLUs(nn.Module):
    """ReLU6 as the difference of two ReLUs: their slopes between two points add up to that of ReLU6."""

    def __init__(self) -> None:
        """Make the ReLUs."""
        super().__init__()
        self.lower, self.upper = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Clamp to [0, 6]."""
        return self.lower(x) - self.upper(x - 6)


def replace_relu6(network: nn.Module, make: type[nn.Module]) -> None:
    """Replace `nn.ReLU6` modules of a network, in place; one that is used twice stays one."""
    replaced: dict[int, nn.Module] = {}
    for module in list(network.modules()):
        for name, child in list(module._modules.items()):  # named_children leaves out second names
            if type(child) is nn.ReLU6:
                setattr(module, name, replaced.setdefault(id(child), make()))


class _Watch(TorchDispatchMode):
    """Notes non-linear operations that run outside known modules."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside = 0
        self.outside: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.removesuffix("_")
        if not self.inside and name in _NONLINEAR:
            self.outside.add(name)
        return func(*args, **(kwargs or {}))


def nonlinearities(
    network: nn.Module, image: Tensor, known: tuple[type[nn.Module], ...]
) -> tuple[Counter[str], set[str]]:
    """Run a network once and see where its non-linear operations are.

    Args:
        network: in evaluation mode.
        image: `[1, C, H, W]`.
        known: exact types of modules that may hold them.

    Returns:
        how often each of those modules ran, by name; and the operations that ran outside of them.
    """
    watch, calls = _Watch(), Counter[str]()

    def enter(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            watch.inside += 1
            calls[name] += 1

        return hook

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        watch.inside -= 1

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if type(module) in known:
                stack.callback(module.register_forward_pre_hook(enter(name)).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        with torch.no_grad(), watch:
            network(image)
    return calls, watch.outside


def last_convolution(network: nn.Module, image: Tensor) -> nn.Module | None:
    """The `nn.Conv2d` that runs last and whose output has more than one position; None where there is none."""
    found: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            found.append(module)

    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                stack.callback(module.register_forward_hook(note).remove)
        with torch.no_grad():
            network(image)
    return found[-1] if found else None
