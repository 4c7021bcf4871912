"""Trace a curvature operator once, split it, and reuse it for every batch.

The graph of `(inputs, target, v) -> (logits, gradient, H v)` falls into what depends on `v` and what does not. The
*primal* part runs once per batch and keeps what the *tangent* part reads (for a ReLU network the masks, one byte a
unit); the tangent part runs once per product. No autograd graph is built or kept, and images can leave the batch, since
what is kept can be indexed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import make_fx
from torch.ops import aten

from caso.curvature.linearisation import Linearisation
from caso.network.capture import _EXAMPLE_BATCH, differentiable_kernels, symbolic_batch
from caso.network.functional import NotCapturable

Operator = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Linearisation]


def _relu_pull(cotangent: Tensor, kept: Tensor, threshold: float) -> Tensor:
    return cotangent * (kept > threshold)


def _hardtanh_pull(cotangent: Tensor, kept: Tensor, low: float, high: float) -> Tensor:
    return cotangent * ((kept > low) & (kept < high))


_MASKED: dict[Any, Callable[..., Any]] = {
    aten.threshold_backward.default: _relu_pull,
    aten.hardtanh_backward.default: _hardtanh_pull,
}
"""Derivatives that read only on which side a unit is: written so that a mask is kept, not the activation."""

_REPEATED = {aten.gt.Scalar, aten.lt.Scalar, aten.bitwise_and.Tensor, aten.logical_and.default}


def _simplify(graph: fx.Graph) -> None:
    """Drop identities, additions of zero, and the second copy of each mask."""
    graph.eliminate_dead_code()
    seen: dict[object, fx.Node] = {}
    for node in list(graph.nodes):
        same: fx.Node | None = None
        if node.target in (aten.alias.default, aten.detach.default):
            same = node.args[0]
        elif node.target is aten.add.Tensor and not node.kwargs:
            zero = [isinstance(a, fx.Node) and a.target is aten.zeros_like.default for a in node.args]
            alike = [
                isinstance(a, fx.Node) and str(a.meta["val"].shape) == str(node.meta["val"].shape) for a in node.args
            ]
            if zero[0] and alike[1]:
                same = node.args[1]
            elif zero[1] and alike[0]:
                same = node.args[0]
        elif node.op == "call_function" and node.target in _REPEATED:
            same = seen.setdefault((node.target, node.args), node)
        elif node.op == "get_attr":
            same = seen.setdefault(("get_attr", node.target), node)
        if same is not None and same is not node:
            node.replace_all_uses_with(same)
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _make_masks_early(graph: fx.Graph) -> None:
    """Form each mask as soon as its activation is known, so that the activation need not wait for the way back."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.target in _REPEATED:
            latest = max(node.all_input_nodes, key=order.__getitem__)
            latest.append(node)
            order[node] = order[latest]


_FRESH = {
    aten.convolution.default, aten.mul.Tensor, aten.add.Tensor, aten.mul_.Tensor, aten.add_.Tensor, aten.mm.default,
    aten.bmm.default, aten.addmm.default,
}  # fmt: skip
"""Operations whose result is memory of its own."""

_IN_PLACE = {aten.mul.Tensor: aten.mul_.Tensor, aten.add.Tensor: aten.add_.Tensor}


def _reuse_memory(graph: fx.Graph) -> None:
    """Let products and sums overwrite a factor that nobody else reads: large allocations cost more than arithmetic."""
    for node in graph.nodes:
        if node.target not in _IN_PLACE or node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
            continue
        first, second = node.args
        value = node.meta["val"]
        for own, other in ((first, second), (second, first)):
            known = own.meta.get("val")
            alike = known is not None and str(known.shape) == str(value.shape) and known.dtype == value.dtype
            if own.target in _FRESH and len(own.users) == 1 and alike and own is not other:
                node.target, node.args = _IN_PLACE[node.target], (own, other)
                break


def _multiple_of_batch(size: object, batch: object) -> int | None:
    """`k` where `size` is `k` times the symbolic batch size, else None."""
    if not isinstance(size, torch.SymInt):
        return None
    ratio = size.node.expr / batch.node.expr  # type: ignore[attr-defined]
    return int(ratio) if ratio.is_integer else None


@dataclass(frozen=True)
class _Split:
    primal: fx.GraphModule
    tangent: fx.GraphModule
    rows: tuple[int | None, ...]
    """For each kept tensor how many rows an image has, None for one that no image owns; see `_keep_rows`."""
    selectable: bool


def _split(traced: fx.GraphModule) -> _Split:
    graph = traced.graph
    inputs, target, direction = (n for n in graph.nodes if n.op == "placeholder")
    batch = inputs.meta["val"].shape[0]
    of_images, of_direction = {inputs, target}, {direction}
    for node in graph.nodes:
        for reached in (of_images, of_direction):
            if any(a in reached for a in node.all_input_nodes):
                reached.add(node)
    output = next(n for n in reversed(graph.nodes) if n.op == "output")
    logits, gradient, product = output.args[0]

    tangent = fx.Graph()
    tangent_of = {direction: tangent.placeholder("direction")}
    kept: list[fx.Node] = []

    def copied(node: fx.Node) -> fx.Node:
        if node in tangent_of:
            return tangent_of[node]
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt):
            times = _multiple_of_batch(value, batch)
            if times is None:
                raise NotCapturable("a size depends on the batch in a way that is not a multiple")
            size = tangent.call_function(aten.sym_size.int, (tangent_of[direction], 0))
            tangent_of[node] = size if times == 1 else tangent.call_function(operator.mul, (size, times))
        elif node in of_direction or node not in of_images:
            tangent_of[node] = tangent.node_copy(node, copied)
        else:
            kept.append(node)
            tangent_of[node] = tangent.placeholder(f"kept_{len(kept)}")
        return tangent_of[node]

    for node in graph.nodes:
        if node in of_direction and node.op == "call_function":
            copied(node)
    tangent.output(copied(product))

    primal = fx.Graph()
    primal_of: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "output" and node not in of_direction:
            primal_of[node] = primal.node_copy(node, lambda n: primal_of[n])
    primal.output((primal_of[logits], primal_of[gradient], [primal_of[n] for n in kept]))

    rows: list[int | None] = []
    selectable = True
    for node in kept:
        value = node.meta["val"]
        sizes = [_multiple_of_batch(s, batch) for s in value.shape]
        rows.append(sizes[0] if sizes else None)
        selectable &= all(s is None for s in sizes[1:])
    graphs = []
    for part in (primal, tangent):
        # Placeholders made on the way must come first.
        for node in list(part.nodes):
            if node.op == "placeholder":
                first = next(n for n in part.nodes)
                if node is not first:
                    last = [n for n in part.nodes if n.op == "placeholder"]
                    ahead = last[last.index(node) - 1] if last.index(node) else None
                    if ahead is not None:
                        ahead.append(node)
        part.eliminate_dead_code()
        if part is tangent:
            _reuse_memory(part)
        graphs.append(fx.GraphModule(traced, part))
    return _Split(graphs[0], graphs[1], tuple(rows), selectable)


def _keep_rows(kept: list[Tensor], rows: tuple[int | None, ...], chosen: Tensor) -> list[Tensor]:
    result = []
    for tensor, times in zip(kept, rows, strict=True):
        if times is None:
            result.append(tensor)
        elif times == 1:
            result.append(tensor.index_select(0, chosen))
        else:
            # An image may own several consecutive rows: the heads of an attention, say.
            grouped = tensor.view(-1, times, *tensor.shape[1:]).index_select(0, chosen)
            result.append(grouped.flatten(0, 1))
    return result


@dataclass(frozen=True, eq=False)
class Traced:
    """A curvature operator for one network, image shape, dtype and device; any batch size.

    Attributes:
        name: of the operator that was traced.
    """

    name: str
    _split: _Split
    _layout: Callable[[Tensor], Tensor]

    def __call__(self, inputs: Tensor, target: Tensor) -> Linearisation:
        """Run the primal part on images `[B, ...]` with target classes `[B]`."""
        split = self._split
        with torch.no_grad():
            logits, gradient, kept = split.primal(self._layout(inputs), target)

        def product_of(kept: list[Tensor]) -> Callable[[Tensor], Tensor]:
            def product(v: Tensor) -> Tensor:
                with torch.no_grad():
                    result: Tensor = split.tangent(self._layout(v), *kept)
                return result

            return product

        def restrict(chosen: Tensor) -> Callable[[Tensor], Tensor]:
            return product_of(_keep_rows(kept, split.rows, chosen))

        return Linearisation(logits, gradient, product_of(kept), restrict if split.selectable else None)


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
        NotCapturable: with the reason.
    """

    def whole(x: Tensor, target: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        local = operator_(network, x, target)
        return local.logits, local.gradient, local.product(v)

    example = layout(inputs.new_empty(_EXAMPLE_BATCH, *inputs.shape[1:]))
    try:
        with differentiable_kernels():
            x = symbolic_batch(example)
            with x.fake_mode:  # type: ignore[attr-defined]
                target = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
                v = torch.empty_like(x)
            graph = make_fx(whole, tracing_mode="symbolic", decomposition_table=_MASKED, _allow_non_fake_inputs=True)(
                x, target, v
            )
        _simplify(graph.graph)
        _make_masks_early(graph.graph)
        for node in graph.graph.nodes:
            if isinstance(node.target, OpOverload) and node.target._schema.is_mutable:
                raise NotCapturable(f"its derivative writes in place ({node.target})")
        return Traced(name, _split(graph), layout)
    except NotCapturable:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise NotCapturable(f"{type(error).__name__}: {lines[0] if lines else ''}") from error
