"""Make a captured graph free of mutation, so that it can be differentiated, split and reordered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import fx
from torch._ops import OpOverload
from torch.ops import aten


class NotCapturableError(Exception):
    """The network cannot be represented as one graph; the message says why."""


@contextmanager
def errors_as_reasons() -> Iterator[None]:
    """Within, whatever the user's code raises under tracing becomes the reason of a `NotCapturableError`.

    The network then runs as it is; if it is wrong, it says so itself.
    """
    try:
        yield
    except NotCapturableError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise NotCapturableError(f"{type(error).__name__}: {lines[0] if lines else ''}") from error


def _is_view(node: fx.Node) -> bool:
    """Whether the node's result may share memory with its first argument."""
    return (
        isinstance(node.target, OpOverload)
        and any(r.alias_info is not None for r in node.target._schema.returns)
        and bool(node.args)
        and isinstance(node.args[0], fx.Node)
    )


def _root(node: fx.Node) -> fx.Node:
    while _is_view(node) and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node


def _same_shape(first: fx.Node, second: fx.Node) -> bool:
    a, b = first.meta.get("val"), second.meta.get("val")
    return a is not None and b is not None and str(a.shape) == str(b.shape)


def make_functional(graph: fx.Graph) -> None:
    """Replace every in-place operation of `graph` by its out-of-place equivalent.

    What is used after the mutation then reads that one's result. That is right as long as nobody reads the mutated
    memory through another view afterwards, which is checked.

    Raises:
        NotCapturableError: a mutation is seen through another view, or has no out-of-place equivalent.
    """
    for node in list(graph.nodes):
        if not isinstance(node.target, OpOverload) or not node.target._schema.is_mutable:
            continue
        mutated = node.args[0]
        order = {n: i for i, n in enumerate(graph.nodes)}
        root = _root(mutated)
        for other in graph.nodes:
            shares = order[other] < order[node] and other is not mutated and _root(other) is root
            if shares and any(order[u] > order[node] for u in other.users):
                raise NotCapturableError(f"{node.target} writes to memory that is read through another view")
        name, overload = node.target._schema.name.split("::")[1], node.target._overloadname
        packet = getattr(aten, name.removesuffix("_"), None)
        if packet is None or overload not in packet.overloads():
            raise NotCapturableError(f"{node.target} has no out-of-place equivalent")
        mutated.replace_all_uses_with(node, delete_user_cb=lambda user, at=order, here=node: at[user] > at[here])
        node.target = getattr(packet, overload)
    for node in list(graph.nodes):
        # Average pooling to one pixel restates its strides in channels_last; the values are its input's.
        if node.target is aten.as_strided.default and _same_shape(node, node.args[0]):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default  # strides may differ from those that were traced
    graph.eliminate_dead_code()
