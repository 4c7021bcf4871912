"""Divide the traced graph of a curvature operator into a primal and a tangent part, and remove what neither needs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.ops import aten

from caso.network.functional import NotCapturableError


def _relu_pull(cotangent: Tensor, kept: Tensor, threshold: float) -> Tensor:
    return cotangent * (kept > threshold)


def _hardtanh_pull(cotangent: Tensor, kept: Tensor, low: float, high: float) -> Tensor:
    return cotangent * ((kept > low) & (kept < high))


MASKED: dict[Any, Callable[..., Any]] = {
    aten.threshold_backward.default: _relu_pull,
    aten.hardtanh_backward.default: _hardtanh_pull,
}
"""Derivatives that read only on which side a unit is: written so that a mask is kept, not the activation."""

_REPEATED = {aten.gt.Scalar, aten.lt.Scalar, aten.bitwise_and.Tensor, aten.logical_and.default}


def simplify(graph: fx.Graph) -> None:
    """Drop identities, additions of zero, and the second copy of each mask."""
    graph.eliminate_dead_code()
    seen: dict[object, fx.Node] = {}
    for node in list(graph.nodes):
        same: fx.Node | None = None
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default  # strides may differ from those that were traced
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


def make_masks_early(graph: fx.Graph) -> None:
    """Form each mask as soon as its activation is known, so that the activation need not wait for the way back."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.target in _REPEATED:
            latest = max(node.all_input_nodes, key=order.__getitem__)
            latest.append(node)
            order[node] = order[latest]


def use_masks_as_numbers(graph: fx.Graph) -> None:
    """On the CPU, let products read masks in their own dtype.

    A product with a mask of bytes converts it, which takes several times as long as the product, in every product with
    the Hessian.
    """
    for node in list(graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.dtype is not torch.bool or value.device.type != "cpu":
            continue
        numbers: dict[torch.dtype, fx.Node] = {}
        for user in [user for user in node.users if user.target is aten.mul.Tensor]:
            dtype = user.meta["val"].dtype
            if dtype.is_floating_point:
                if dtype not in numbers:
                    numbers[dtype] = _number(graph, node, value.to(dtype))
                user.replace_input_with(node, numbers[dtype])
    graph.eliminate_dead_code()


def _number(graph: fx.Graph, mask: fx.Node, value: Tensor) -> fx.Node:
    """A node that holds a mask as zeros and ones like `value`; where possible by the derivative it was written for."""
    bounds = _bounds(mask)
    with graph.inserting_after(mask):
        if bounds is None or bounds[0].meta["val"].dtype != value.dtype:
            node = graph.call_function(aten._to_copy.default, (mask,), {"dtype": value.dtype})
        else:
            source, *limits = bounds
            derivative = aten.threshold_backward if len(limits) == 1 else aten.hardtanh_backward
            ones = graph.call_function(aten.ones_like.default, (source,))
            ones.meta = {"val": value}
            with graph.inserting_after(ones):
                node = graph.call_function(derivative.default, (ones, source, *limits))
    node.meta = {"val": value}
    return node


def _bounds(mask: fx.Node) -> tuple[Any, ...] | None:
    """Of a mask `x > low`, x and low; of `(x > low) & (x < high)`, x, low and high."""
    if mask.target is aten.gt.Scalar:
        return mask.args
    if mask.target is not aten.bitwise_and.Tensor:
        return None
    above, below = cast("tuple[fx.Node, fx.Node]", mask.args)
    if above.target is not aten.gt.Scalar or below.target is not aten.lt.Scalar or above.args[0] is not below.args[0]:
        return None
    return (*above.args, below.args[1])


_FRESH = {
    aten.convolution.default, aten.mul.Tensor, aten.add.Tensor, aten.mul_.Tensor, aten.add_.Tensor, aten.mm.default,
    aten.bmm.default, aten.addmm.default,
}  # fmt: skip
"""Operations whose result is memory of its own."""

_REARRANGED = {aten.permute.default, aten.reshape.default, aten.t.default, aten.transpose.int}
"""Operations whose result may be their argument's memory."""

_IN_PLACE = {aten.mul.Tensor: aten.mul_.Tensor, aten.add.Tensor: aten.add_.Tensor}


def reuse_memory(graph: fx.Graph) -> None:
    """Let products and sums overwrite a factor that nobody else reads: large allocations cost more than arithmetic."""
    for node in graph.nodes:
        if node.target not in _IN_PLACE or node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
            continue
        first, second = node.args
        value = node.meta["val"]
        for own, other in ((first, second), (second, first)):
            known = own.meta.get("val")
            alike = known is not None and str(known.shape) == str(value.shape) and known.dtype == value.dtype
            if alike and own is not other and _is_unshared(own):
                node.target, node.args = _IN_PLACE[node.target], (own, other)
                break


def _is_unshared(node: fx.Node) -> bool:
    """Whether a result is memory of its own that one other node reads."""
    while node.target in _REARRANGED and len(node.users) == 1:
        node = cast(fx.Node, node.args[0])  # the others are sizes
    return node.target in _FRESH and len(node.users) == 1


def _multiple_of_batch(size: object, batch: object) -> int | None:
    """`k` where `size` is `k` times the symbolic batch size, else None."""
    if not isinstance(size, torch.SymInt):
        return None
    ratio = size.node.expr / batch.node.expr  # type: ignore[attr-defined]
    return int(ratio) if ratio.is_integer else None


@dataclass(frozen=True, eq=False)
class Split:
    """The two parts of an operator.

    Attributes:
        primal: `(inputs, target)` to `(logits, gradient, kept tensors)`.
        tangent: `(direction, *kept)` to the Hessian-vector product.
        by_image: for each kept tensor whether its rows are the images.
        selectable: whether every kept tensor is either by image or the same for all.
    """

    primal: fx.GraphModule
    tangent: fx.GraphModule
    by_image: tuple[bool, ...]
    selectable: bool

    def select(self, kept: list[Tensor], rows: Tensor) -> list[Tensor]:
        """What the tangent part needs of the images `rows` `[b]` alone."""
        return [t.index_select(0, rows) if own else t for t, own in zip(kept, self.by_image, strict=True)]


class _Parts:
    """Where each node of the traced graph belongs."""

    def __init__(self, graph: fx.Graph) -> None:
        self.inputs, self.target, self.direction = (n for n in graph.nodes if n.op == "placeholder")
        self.batch = self.inputs.meta["val"].shape[0]
        self.of_images, self.of_direction = {self.inputs, self.target}, {self.direction}
        for node in graph.nodes:
            for reached in (self.of_images, self.of_direction):
                if any(a in reached for a in node.all_input_nodes):
                    reached.add(node)

    def is_size(self, node: fx.Node) -> bool:
        return isinstance(node.meta.get("val"), torch.SymInt)

    def is_kept(self, node: fx.Node) -> bool:
        """Whether the tangent part, reading this node, must have been given it."""
        return node in self.of_images and node not in self.of_direction and not self.is_size(node)


def _tangent(graph: fx.Graph, parts: _Parts, product: fx.Node) -> tuple[fx.Graph, list[fx.Node]]:
    kept: dict[fx.Node, None] = {}
    waiting, seen = [product], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if parts.is_kept(node):
            kept[node] = None
        elif not parts.is_size(node):
            waiting += node.all_input_nodes
    tangent = fx.Graph()
    copies = {parts.direction: tangent.placeholder("direction")}
    copies |= {node: tangent.placeholder(f"kept_{i}") for i, node in enumerate(kept)}

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies:
            if parts.is_size(node):
                times = _multiple_of_batch(node.meta["val"], parts.batch)
                if times is None:
                    raise NotCapturableError("a size depends on the batch in a way that is not a multiple")
                size = tangent.call_function(aten.sym_size.int, (copies[parts.direction], 0))
                copies[node] = size if times == 1 else tangent.call_function(operator.mul, (size, times))
            else:
                copies[node] = tangent.node_copy(node, copied)
        return copies[node]

    for node in graph.nodes:  # in order, so that no recursion is deep
        if node in seen and node in parts.of_direction and node is not parts.direction:
            copied(node)
    tangent.output(copied(product))
    return tangent, list(kept)


def split(traced: fx.GraphModule) -> Split:
    """Divide the graph of `(inputs, target, direction) -> (logits, gradient, product)`.

    What does not depend on the direction goes into the primal part; of that, the tangent part is given what it reads,
    but for constants, which it has itself, and sizes, which it takes from the direction.

    Raises:
        NotCapturableError: a size depends on the batch size in an unforeseen way.
    """
    graph = traced.graph
    simplify(graph)
    make_masks_early(graph)
    use_masks_as_numbers(graph)
    parts = _Parts(graph)
    output = next(n for n in reversed(graph.nodes) if n.op == "output")
    logits, gradient, product = output.args[0]
    tangent, kept = _tangent(graph, parts, product)
    tangent.eliminate_dead_code()
    reuse_memory(tangent)

    primal = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "output" and node not in parts.of_direction:
            copies[node] = primal.node_copy(node, lambda n: copies[n])
    primal.output((copies[logits], copies[gradient], [copies[n] for n in kept]))
    primal.eliminate_dead_code()
    reuse_memory(primal)

    by_image, selectable = [], True
    for node in kept:
        sizes = [isinstance(s, torch.SymInt) for s in node.meta["val"].shape]
        own = bool(sizes) and sizes[0] and _multiple_of_batch(node.meta["val"].shape[0], parts.batch) == 1
        by_image.append(own)
        # Anything else that knows the batch size, such as heads merged with images, stays whole.
        selectable &= not any(sizes[own:])
    return Split(fx.GraphModule(traced, primal), fx.GraphModule(traced, tangent), tuple(by_image), selectable)
