"""Capture a module as one graph of primitive operations, for every batch size at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import torch
from torch import Tensor, fx, nn
from torch._decomp import get_decompositions
from torch._subclasses import FakeTensorMode
from torch.autograd.function import BackwardCFunction
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from caso.network.folding import fold_batch_norm, use_input_only_convolutions
from caso.network.functional import NotCapturableError, errors_as_reasons, make_functional

_EXAMPLE_BATCH = 3
"""Any number but 0 and 1, which PyTorch's symbolic shapes treat as special."""

_DECOMPOSED: dict[Any, Any] = dict(get_decompositions([torch.ops.aten.native_group_norm, torch.ops.aten.hardsigmoid]))
"""Written out: PyTorch's derivative of the first fixes the batch size, and of the second it has no second one."""


class _ShapeEnv(ShapeEnv):
    """Symbolic shapes that do not note which line of whose code made them.

    Only PyTorch's own error messages would say it, and finding it imports `torch.export`, and walks the stack for every
    symbol: a third of a first capture.
    """

    def _get_user_frame(self) -> None:
        return None


def symbolic_batch(example: Tensor, mode: FakeTensorMode | None = None) -> Tensor:
    """A tensor without data, like `example` but with a batch size that is a symbol."""
    mode = mode or FakeTensorMode(shape_env=_ShapeEnv(), allow_non_fake_inputs=True)
    dynamic = [DimDynamic.DYNAMIC] + [DimDynamic.STATIC] * (example.dim() - 1)
    return mode.from_tensor(example, symbolic_context=StatelessSymbolicContext(dynamic_sizes=dynamic))


def batch_is_free(fake: Tensor) -> bool:
    """Whether tracing left the batch size of `fake` a symbol, and did not fix it to the example's."""
    size: Any = fake.shape[0]
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """Within, attention runs as products and a softmax: its fused kernels have no second derivative."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        # Tracing reaches code that PyTorch itself has deprecated, whatever the user does.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


class _OwnDerivativesRefused(TorchFunctionMode):
    """Within, code that decides itself what is differentiated cannot run: a graph of its forward pass would lose that.

    Such are a custom `torch.autograd.Function` and a `torch.no_grad` block.
    """

    def __enter__(self) -> Self:
        def refuse(context: Any, *_: object) -> None:
            name = type(context)._forward_cls.__name__
            raise NotCapturableError(f"{name} defines a derivative of its own")

        # Every application makes a context, also through an `apply` that the user's module took before.
        BackwardCFunction.__init__ = refuse  # type: ignore[assignment, method-assign]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        del BackwardCFunction.__init__
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled and not args[0]:
            raise NotCapturableError("it switches gradients off for a part of itself")
        return func(*args, **(kwargs or {}))


def pays_channels_last(module: nn.Module, inputs: Tensor) -> bool:
    """Whether channels_last is the faster layout: on the CPU, for networks that are mostly convolutions.

    A gradient of EfficientNet-Lite0 takes 1.6 times as long without it, one of ResNet-50 1.1 times.
    """
    convolutions = sum(isinstance(m, nn.Conv2d) for m in module.modules())
    return inputs.dim() == 4 and inputs.device.type == "cpu" and convolutions > 2


def _forward_graph(module: nn.Module, example: Tensor) -> fx.GraphModule:
    """The module's operations on batches like `example`, of any size, if its output is one batch of logits."""

    def guarded(x: Tensor) -> Tensor:
        with _OwnDerivativesRefused():
            result: Tensor = module(x)
        return result

    with errors_as_reasons(), torch.enable_grad(), differentiable_kernels():
        fake = symbolic_batch(example)
        tracer = make_fx(guarded, tracing_mode="symbolic", decomposition_table=_DECOMPOSED, _allow_non_fake_inputs=True)
        traced = tracer(fake)
    output = next(n for n in reversed(traced.graph.nodes) if n.op == "output")
    value = getattr(output.args[0], "meta", {}).get("val") if isinstance(output.args[0], fx.Node) else None
    if value is None or value.dim() != 2 or isinstance(value.shape[1], torch.SymInt):
        raise NotCapturableError("its output is not one tensor of logits [B, K] for every batch size B")
    if not batch_is_free(fake) or not isinstance(value.shape[0], torch.SymInt):
        raise NotCapturableError("its batch size is fixed")
    return traced


def capture(module: nn.Module, inputs: Tensor) -> tuple[fx.GraphModule, bool]:
    """Capture an evaluation-mode module as a functional graph with batch normalisation folded.

    Args:
        module: maps `[B, ...]` to logits `[B, K]`.
        inputs: only shape (without B), dtype and device matter.

    Returns:
        the graph, and whether it is laid out for channels_last inputs.

    Raises:
        NotCapturableError: with the reason.
    """
    channels_last = pays_channels_last(module, inputs)
    example = inputs.new_empty(_EXAMPLE_BATCH, *inputs.shape[1:])
    if channels_last:
        example = example.contiguous(memory_format=torch.channels_last)
    traced = _forward_graph(module, example)
    make_functional(traced.graph)
    fold_batch_norm(traced)
    use_input_only_convolutions(traced, channels_last)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, channels_last
