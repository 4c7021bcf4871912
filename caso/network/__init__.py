"""From a user's classifier to a graph that can be differentiated cheaply.

[`prepare`][caso.network.prepare] takes any `torch.nn.Module` and gives back the network that is explained.
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
        classes: `K`, where it is known without running the network.
        agreement: what tests on images said where it is open.
    """

    module: nn.Module
    captured: bool
    piecewise_linear: bool | None
    evidence: str
    channels_last: bool = False
    classes: int | None = None
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
    tensors = [*model.parameters(), *model.buffers()]
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.dtype, t.device) for t in tensors)


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


def evaluation_copy(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a model's structure, sharing its parameters' memory, into evaluation mode and without weight gradients.

    The user's model keeps its mode, gradients and hooks. Weights are converted (and then not shared) only where their
    dtype is not `dtype`.

    Raises:
        TypeError: the model is quantised, or cannot be copied.
    """
    if quantised := _quantised(model):
        raise TypeError(
            f"model: {type(model).__name__} is quantised ({quantised}), and has no derivatives; explain the network "
            "before its quantisation"
        )
    memo: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    # Buffers are copied: some modules write to them even in evaluation mode.
    memo |= {id(b): b.detach().clone() for b in model.buffers()}
    try:
        duplicate = copy.deepcopy(model, memo)
    except Exception as error:
        raise TypeError(f"model: {type(model).__name__} cannot be copied ({error})") from error
    duplicate.eval().requires_grad_(False)
    return duplicate.to(dtype)


def prepare(model: nn.Module, inputs: Tensor) -> Prepared:
    """Bring a classifier into the form in which it is explained.

    The network is captured once as a graph of primitive operations with a free batch size; mutation is removed, batch
    normalisation is folded, and convolutions get lean derivatives. A network that cannot be captured (control flow that
    depends on its input, say) is explained as it is.

    Args:
        model: the classifier; comes back unchanged.
        inputs: pixels `[B, ...]`; only shape (without B), dtype and device matter.

    Returns:
        the network, with what was found out about it.
    """
    duplicate = evaluation_copy(model, inputs.dtype)
    try:
        module, channels_last, classes = capture(duplicate, inputs)
    except NotCapturableError as error:
        _log.info("%s runs as it is: %s", type(model).__name__, error)
        return Prepared(duplicate, False, None, f"not captured as a graph: {error}")
    return Prepared(module, True, *linearity(module.graph), channels_last, classes)


def as_it_is(model: nn.Module, inputs: Tensor) -> Prepared:
    """Take a classifier as it is, without capturing it; for gradients alone.

    Args:
        model: the classifier; comes back unchanged.
        inputs: pixels `[B, ...]`; only the dtype matters.
    """
    return Prepared(evaluation_copy(model, inputs.dtype), False, None, "not captured")
