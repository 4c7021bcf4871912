"""Trace a curvature operator once, split it, and reuse it for every batch.

The graph of `(inputs, target, v) -> (logits, gradient, H v)` falls into what depends on `v` and what does not. The
*primal* part runs once per batch and keeps what the *tangent* part reads (for a ReLU network the masks); the
tangent part runs once per product. No autograd graph is built or kept, and images can leave the batch, since what is
kept can be indexed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import make_fx

from caso.curvature.operator import Product, hessian
from caso.curvature.quadratic_model import QuadraticModel
from caso.curvature.splitting import MASKED, Split, split
from caso.network.capture import _EXAMPLE_BATCH, batch_is_free, differentiable_kernels, symbolic_batch
from caso.network.functional import NotCapturableError, errors_as_reasons

Operator = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], QuadraticModel]
"""From a network, images `[B, ...]` and target classes `[B]` to the quadratic model of the loss."""


@dataclass(frozen=True, eq=False)
class Traced:
    """A curvature operator for one network, image shape, dtype and device; any batch size.

    Attributes:
        name: of the operator that was traced.
    """

    name: str
    _split: Split
    _layout: Callable[[Tensor], Tensor]

    def __call__(self, inputs: Tensor, target: Tensor) -> QuadraticModel:
        """Run the primal part on images `[B, ...]` with target classes `[B]`."""
        parts = self._split
        with torch.no_grad():
            logits, gradient, kept = parts.primal(self._layout(inputs), target)

        def product_of(kept: list[Tensor]) -> Product:
            def product(v: Tensor) -> Tensor:
                with torch.no_grad():
                    result: Tensor = parts.tangent(self._layout(v), *kept)
                return result

            return product

        def restricted(index: Tensor) -> Product:
            return product_of(parts.select(kept, index))

        products = hessian(gradient, product_of(kept), restricted if parts.selectable else None)
        return QuadraticModel(logits, gradient, products)


def trace(
    operator_: Operator,
    name: str,
    network: Callable[[Tensor], Tensor],
    inputs: Tensor,
    layout: Callable[[Tensor], Tensor],
) -> Traced:
    """Trace an operator on a captured network and split it into primal and tangent part.

    Takes one to three seconds for the usual ImageNet networks, on one core, whatever the device.

    Args:
        operator_: the operator, such as `gauss_newton`.
        name: its name.
        network: captured, so that no code of the user's runs.
        inputs: `[B, ...]`; only shape (without B), dtype and device matter.
        layout: brings a tensor into the network's memory layout.

    Raises:
        NotCapturableError: with the reason.
    """

    def whole(x: Tensor, target: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = operator_(network, x, target)
        assert model.hessian is not None
        return model.logits, model.gradient, model.hessian.product(v)

    with errors_as_reasons():
        graph = _graph(whole, layout(inputs.new_empty(_EXAMPLE_BATCH, *inputs.shape[1:])))
        return Traced(name, split(graph), layout)


def _graph(whole: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]], example: Tensor) -> fx.GraphModule:
    """The operations of `whole` `(x, target, v)` on batches like `example`, of any size."""
    with differentiable_kernels():
        x = symbolic_batch(example)
        with x.fake_mode:  # type: ignore[attr-defined]
            target = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
            v = torch.empty_like(x)
        tracer = make_fx(whole, tracing_mode="symbolic", decomposition_table=MASKED, _allow_non_fake_inputs=True)
        graph = tracer(x, target, v)
    if not batch_is_free(x):
        raise NotCapturableError("its derivative fixes the batch size")
    for node in graph.graph.nodes:
        if isinstance(node.target, OpOverload) and node.target._schema.is_mutable:
            raise NotCapturableError(f"its derivative writes in place ({node.target})")
    return graph
