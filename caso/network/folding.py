"""Fold batch normalisation into convolutions, on the captured graph and so for any module style."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.ops import aten

from caso.network.convolution import convolution
from caso.network.functional import NotCapturableError

_BATCH_NORMS: dict[Any, int | None] = {
    aten._native_batch_norm_legit_no_training.default: None,
    aten.native_batch_norm.default: 5,
    aten._native_batch_norm_legit.default: 5,
    aten.cudnn_batch_norm.default: 5,
    aten.miopen_batch_norm.default: 5,
}
"""Evaluation-mode batch normalisations, with the position of their `training` flag."""


def _constant(module: fx.GraphModule, node: object) -> Tensor | None:
    if node is None:
        return None
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        raise NotCapturableError("a batch normalisation whose statistics depend on the input")
    value: Tensor = operator.attrgetter(str(node.target))(module)
    return value.detach()


def _insert(module: fx.GraphModule, before: fx.Node, name: str, value: Tensor) -> fx.Node:
    module.register_buffer(name, value)
    with module.graph.inserting_before(before):
        return module.graph.get_attr(name)


def fold_batch_norm(module: fx.GraphModule) -> None:
    """Replace each batch normalisation by what it is in evaluation: an affine map of each channel.

    Behind a convolution that nobody else reads, the affine map goes into its weights; elsewhere it becomes a product
    and a sum. Sums are formed in float64, so folding itself adds no rounding but the final one.

    Raises:
        NotCapturableError: a batch normalisation uses the statistics of its batch.
    """
    for index, node in enumerate(list(module.graph.nodes)):
        if node.target not in _BATCH_NORMS:
            continue
        scale, shift, dtype = _affine_map(module, node)
        source = node.args[0]
        alone = source.target is aten.convolution.default and len(source.users) == 1 and not source.args[6]
        if alone and source.args[1].op == "get_attr":
            _fold_into_convolution(module, source, scale, shift, index)
            replacement = source
        else:
            replacement = _multiply_and_add(module, node, scale.to(dtype), shift.to(dtype), index)
        (result,) = (u for u in node.users if u.target is operator.getitem and u.args[1] == 0)
        result.replace_all_uses_with(replacement)
        for user in list(node.users):
            module.graph.erase_node(user)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _affine_map(module: fx.GraphModule, node: Any) -> tuple[Tensor, Tensor, torch.dtype]:
    """Factor and term of each channel in float64, `[C]`, and the dtype of the statistics."""
    flag = _BATCH_NORMS[node.target]
    if flag is not None and node.args[flag]:
        raise NotCapturableError("a batch normalisation uses the statistics of its batch")
    gamma, beta, mean, variance = (_constant(module, argument) for argument in node.args[1:5])
    assert mean is not None
    assert variance is not None
    scale = (variance.double() + node.args[-1]).rsqrt()
    scale = scale if gamma is None else scale * gamma.double()
    shift = -mean.double() * scale
    return scale, shift if beta is None else beta.double() + shift, mean.dtype


def _fold_into_convolution(module: fx.GraphModule, node: Any, scale: Tensor, shift: Tensor, index: int) -> None:
    """Scale and shift the outputs of a convolution by its weight and bias."""
    weight, bias = (_constant(module, argument) for argument in node.args[1:3])
    assert weight is not None
    folded = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    offset = shift if bias is None else shift + bias.double() * scale
    node.update_arg(1, _insert(module, node, f"folded_weight_{index}", folded.to(weight.dtype)))
    node.update_arg(2, _insert(module, node, f"folded_bias_{index}", offset.to(weight.dtype)))


def _multiply_and_add(module: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor, index: int) -> fx.Node:
    """Scale and shift what a batch normalisation reads, by nodes of their own in front of it."""
    source: Any = node.args[0]
    shape = (1, -1, *[1] * (source.meta["val"].dim() - 2))
    factor = _insert(module, node, f"norm_scale_{index}", scale.view(shape))
    term = _insert(module, node, f"norm_shift_{index}", shift.view(shape))
    with module.graph.inserting_before(node):
        product = module.graph.call_function(aten.mul.Tensor, (source, factor))
        total = module.graph.call_function(aten.add.Tensor, (product, term))
    product.meta, total.meta = dict(source.meta), dict(source.meta)
    return total


def use_input_only_convolutions(module: fx.GraphModule, channels_last: bool) -> None:
    """Give convolutions input-only derivatives, and lay their weights out as their inputs will be."""
    for index, node in enumerate(list(module.graph.nodes)):
        if node.target is not aten.convolution.default:
            continue
        weight_node = node.args[1]
        if not isinstance(weight_node, fx.Node) or weight_node.op != "get_attr":
            continue  # weights that depend on the input, as in dynamic convolutions, keep their full derivatives
        node.target = convolution
        weight = _constant(module, weight_node)
        if channels_last and weight is not None and weight.dim() == 4:
            laid_out = weight.contiguous(memory_format=torch.channels_last)
            node.update_arg(1, _insert(module, node, f"laid_out_weight_{index}", laid_out))
