"""From a user's classifier to a graph that can be differentiated cheaply.

`prepare` takes any `torch.nn.Module` and gives back the network that is explained.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from caso.network.capture import capture, differentiable_kernels
from caso.network.functional import NotCapturableError
from caso.network.linearity import Agreement, linearity
from caso.network.outputs import Outputs, as_logits, find_outputs

__all__ = ["Prepared", "as_it_is", "evaluation_copy", "fingerprint", "prepare"]

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Prepared:
    """A classifier in the form in which it is explained.

    Attributes:
        module: maps pixels `[B, ...]` to logits `[B, K]`, in evaluation mode, its weights without gradients.
        captured: whether `module` is a graph (functional, batch normalisation folded) or the user's code itself.
        piecewise_linear: True or False only where that is certain from the graph's operations, None where it is open.
        evidence: one phrase that says why.
        channels_last: the memory layout in which `module` is fastest.
        outputs: what was found of the logits; None where nobody looked.
        agreement: what tests on images said where it is open.
    """

    module: nn.Module
    captured: bool
    piecewise_linear: bool | None
    evidence: str
    channels_last: bool = False
    outputs: Outputs | None = None
    agreement: Agreement = field(default_factory=Agreement)

    @property
    def undecided(self) -> bool:
        """Whether images still have to tell if the network is piecewise linear."""
        return self.piecewise_linear is None and not self.agreement.refuted

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits `[B, K]` of pixels `[B, ...]`."""
        if self.captured:
            logits: Tensor = self.module(inputs)
            return logits
        with differentiable_kernels():
            return self.module(inputs)

    def layout(self, inputs: Tensor) -> Tensor:
        """The same tensor in the memory layout that the network is fastest in."""
        if self.channels_last and inputs.dim() == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs.contiguous()


def fingerprint(model: nn.Module) -> tuple[object, ...]:
    """Identify the weights of a model, so that a change between two calls is noticed.

    Sees what optimisers, `load_state_dict` and `to` do. A write through `tensor.data` leaves no trace in PyTorch and is
    not seen.
    """
    # Every map asks: the dictionaries themselves, for named_parameters and named_buffers take ten times as long.
    tensors = [
        tensor
        for module in _modules(model)
        for own in (module._parameters, module._buffers)
        for tensor in own.values()
        if tensor is not None
    ]
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.dtype, t.device) for t in tensors)


def _modules(model: nn.Module) -> list[nn.Module]:
    """A module and all below it, each once."""
    found = {id(model): model}
    waiting = [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


_QUANTISED = ("torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized.", "torchao.")
_NOT_QUANTISED = ("FloatFunctional", "FXFloatFunctional")
"""Float modules that live there, too."""


def _quantised(model: nn.Module) -> str | None:
    """The first module or tensor whose numbers are quantised, by its type."""
    for module in model.modules():
        kind = type(module)
        if f"{kind.__module__}.".startswith(_QUANTISED) and kind.__name__ not in _NOT_QUANTISED:
            return f"{kind.__module__}.{kind.__name__}"
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_quantized or type(tensor.data).__module__.startswith(_QUANTISED):
            return type(tensor.data).__name__ if not tensor.is_quantized else str(tensor.dtype)
    return None


def _refuse(model: nn.Module) -> None:
    """Raise a TypeError where a model has no derivatives, or no Python modules, in one line."""
    if quantised := _quantised(model):
        raise TypeError(
            f"model: {type(model).__name__} is quantised ({quantised}), and has no derivatives; explain the network "
            "before its quantisation"
        )
    scripted = next((m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise TypeError(
            f"model: {type(model).__name__} {'is' if scripted is model else 'holds'} TorchScript, which cannot be "
            "explained; give the module that was scripted or traced"
        )


def _use_originals(model: nn.Module, memo: dict[int, object]) -> None:
    """Let a copy hold the originals of modules that `torch.compile` wrapped: its kernels have no second derivative."""
    for module in reversed(list(model.modules())):  # inner ones first
        original = getattr(module, "_orig_mod", None)
        if isinstance(original, nn.Module):
            memo[id(module)] = copy.deepcopy(original, memo)


def evaluation_copy(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a model's structure, sharing its parameters' memory, into evaluation mode and without weight gradients.

    The user's model keeps its mode, gradients and hooks. Weights are converted (and then not shared) only where their
    dtype is not `dtype`.

    Raises:
        TypeError: the model is quantised or TorchScript, or cannot be copied.
    """
    _refuse(model)
    memo: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    # Buffers are copied: some modules write to them even in evaluation mode.
    memo |= {id(b): b.detach().clone() for b in model.buffers()}
    try:
        _use_originals(model, memo)
        duplicate = copy.deepcopy(model, memo)
    except Exception as error:
        raise TypeError(f"model: {type(model).__name__} cannot be copied ({error})") from error
    duplicate.eval().requires_grad_(False)
    return duplicate.to(dtype)


def prepare(model: nn.Module, inputs: Tensor) -> Prepared:
    """Bring a classifier into the form in which it is explained.

    The network is captured once as a graph of primitive operations with a free batch size; mutation is removed, batch
    normalisation is folded, and convolutions get input-only derivatives. A network that cannot be captured (control
    flow that depends on its input, say) is explained as it is.

    Args:
        model: the classifier; comes back unchanged.
        inputs: pixels `[B, ...]`; the first one is looked at, beside shape (without B), dtype and device.

    Returns:
        the network, with what was found out about it.

    Raises:
        NotLogitsError: its outputs are no logits that could be explained; see `caso.network.outputs`.
    """
    network, outputs = _of_logits(model, inputs)
    try:
        module, channels_last = capture(network, inputs)
    except NotCapturableError as error:
        _log.info("%s runs as it is: %s", type(model).__name__, error)
        return Prepared(network, False, None, f"not captured as a graph: {error}", outputs=outputs)
    return Prepared(module, True, *linearity(module.graph), channels_last, outputs)


def as_it_is(model: nn.Module, inputs: Tensor) -> Prepared:
    """Take a classifier as it is, without capturing it; for gradients alone.

    Args:
        model: the classifier; comes back unchanged.
        inputs: pixels `[B, ...]`; the first one is looked at.

    Raises:
        NotLogitsError: see `prepare`.
    """
    network, outputs = _of_logits(model, inputs)
    return Prepared(network, False, None, "not captured", outputs=outputs)


def _of_logits(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, Outputs]:
    """A copy that gives logits `[B, K]`, with what was found of them."""
    duplicate = evaluation_copy(model, inputs.dtype)
    outputs = find_outputs(duplicate, inputs)
    return as_logits(duplicate, outputs), outputs
