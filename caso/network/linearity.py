"""Decide from a captured graph whether the network is piecewise linear in its input."""

from __future__ import annotations

import operator

from torch import fx
from torch.ops import aten

from caso.network.convolution import convolution

_ADDITIVE = {
    aten.add.Tensor, aten.sub.Tensor, aten.add.Scalar, aten.sub.Scalar, aten.rsub.Scalar, aten.cat.default,
    aten.stack.default, aten.maximum.default, aten.minimum.default, operator.getitem,
}  # fmt: skip
"""Piecewise linear in all their arguments together."""

_UNARY = {
    aten.neg.default, aten.mul.Scalar, aten.div.Scalar, aten.mean.dim, aten.mean.default, aten.sum.default,
    aten.sum.dim_IntList, aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.t.default,
    aten.transpose.int, aten.permute.default, aten.expand.default, aten.slice.Tensor, aten.select.int,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.constant_pad_nd.default,
    aten.reflection_pad2d.default, aten.replication_pad2d.default, aten.clone.default, aten.alias.default,
    aten.detach.default, aten._to_copy.default, aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default,
    aten.adaptive_avg_pool2d.default, aten.upsample_nearest2d.default, aten.upsample_bilinear2d.default,
    aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec, aten.pixel_shuffle.default, aten.flip.default,
    aten.roll.default, aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, aten.unbind.int,
    aten.channel_shuffle.default, aten.native_channel_shuffle.default, aten.as_strided.default,
    aten.relu.default, aten.hardtanh.default, aten.relu6.default, aten.clamp.default, aten.clamp_min.default,
    aten.clamp_max.default, aten.leaky_relu.default, aten.threshold.default, aten.abs.default,
    aten.hardsigmoid.default, aten.max_pool2d_with_indices.default, aten.max_pool2d.default,
    aten.adaptive_max_pool2d.default, aten.amax.default, aten.amin.default, aten.max.dim, aten.min.dim,
    aten.dropout.default,
}  # fmt: skip
"""Piecewise linear in their first argument, the others being constants."""

_BILINEAR = {
    aten.mul.Tensor, aten.mm.default, aten.bmm.default, aten.matmul.default, aten.addmm.default, aten.linear.default,
    aten.convolution.default, convolution, aten._prelu_kernel.default, aten.dot.default, aten.mv.default,
    aten.baddbmm.default,
}  # fmt: skip
"""Linear while only one factor depends on the input."""

_CONSTANT = {
    aten.gt.Scalar, aten.ge.Scalar, aten.lt.Scalar, aten.le.Scalar, aten.gt.Tensor, aten.ge.Tensor, aten.lt.Tensor,
    aten.le.Tensor, aten.eq.Scalar, aten.ne.Scalar, aten.sign.default, aten.floor.default, aten.round.default,
    aten.zeros_like.default, aten.ones_like.default, aten.new_zeros.default, aten.new_ones.default,
    aten.sym_size.int,
}  # fmt: skip
"""Constant between jumps: what they give does not depend on the input to any order."""


def why_not_piecewise_linear(graph: fx.Graph) -> str | None:
    """Look for the first operation that is not piecewise linear in the network's input.

    Where there is none, the input Hessian of the cross-entropy is exactly its Gauss-Newton form
    `W (diag p - p p^T) W^T` almost everywhere (Singla et al. 2019, arXiv 1902.00407).

    Returns:
        None for a network that is certainly piecewise linear, else the operation that stands against it. An operation
        unknown here counts against, so the answer None is never a guess.
    """
    varying: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            varying.add(node)
            continue
        if node.op != "call_function" or node.target in _CONSTANT:
            continue
        dependent = [a for a in node.all_input_nodes if a in varying]
        if not dependent:
            continue
        varying.add(node)
        target = node.target
        if target in _ADDITIVE:
            continue
        if target in _UNARY and dependent == [node.args[0]]:
            continue
        if target in _BILINEAR and len(dependent) == 1 and list(node.args).count(dependent[0]) == 1:
            continue
        if target is aten.div.Tensor and dependent == [node.args[0]]:
            continue
        if target in (aten.where.self, aten.where.ScalarOther) and node.args[0] not in varying:
            continue
        return str(target)
    return None
