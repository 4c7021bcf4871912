"""Decide from a captured graph whether the network is piecewise linear in its input."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from typing import NamedTuple

from torch import fx
from torch.ops import aten

from caso.network.convolution import convolution

_ADDITIVE = {
    aten.add.Tensor, aten.sub.Tensor, aten.add.Scalar, aten.sub.Scalar, aten.rsub.Scalar, aten.cat.default,
    aten.stack.default, aten.maximum.default, aten.minimum.default, operator.getitem, aten.copy.default,
    aten.slice_scatter.default, aten.select_scatter.default,
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
    aten.dropout.default, aten.avg_pool1d.default, aten.avg_pool3d.default, aten._adaptive_avg_pool3d.default,
    aten.max_pool3d_with_indices.default, aten.upsample_bicubic2d.default, aten.upsample_bicubic2d.vec,
    aten._upsample_nearest_exact2d.default, aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default,
    aten.pixel_unshuffle.default, aten.reflection_pad1d.default, aten.replication_pad1d.default, aten.repeat.default,
    aten.cumsum.default, aten.index_select.default, aten.index.Tensor, aten._unsafe_index.Tensor, aten.gather.default,
    aten.im2col.default, aten.col2im.default, aten.unfold.default, aten.tril.default, aten.triu.default,
    aten.diagonal.default, aten.masked_fill.Scalar, aten.sort.default, aten.sort.stable, aten.topk.default,
    aten.kthvalue.default, aten.hardshrink.default, aten.softshrink.default, aten.grid_sampler_2d.default,
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
    aten.sym_size.int, aten.eq.Tensor, aten.ne.Tensor, aten.ceil.default, aten.trunc.default, aten.argmax.default,
    aten.argmin.default, aten.full_like.default, aten.new_full.default, aten.isnan.default, aten.logical_not.default,
}  # fmt: skip
"""Constant between jumps: what they give does not depend on the input to any order."""


_CURVED = {
    aten.silu.default, aten.gelu.default, aten.sigmoid.default, aten.tanh.default, aten.softplus.default,
    aten.elu.default, aten.mish.default, aten.hardswish.default, aten.log_sigmoid_forward.default, aten.glu.default,
    aten.exp.default, aten.expm1.default, aten.log.default, aten.log1p.default, aten.log2.default, aten.sqrt.default,
    aten.rsqrt.default, aten.reciprocal.default, aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar,
    aten.square.default, aten.erf.default, aten.sin.default, aten.cos.default, aten.atan.default, aten._softmax.default,
    aten._log_softmax.default, aten.logsumexp.default, aten.native_layer_norm.default, aten.native_group_norm.default,
    aten.var.correction, aten.var_mean.correction, aten.std.correction, aten.linalg_vector_norm.default,
    aten.norm.ScalarOpt_dim, aten.prod.default, aten.prod.dim_int, aten.cumprod.default, aten.div.Tensor,
    aten._cdist_forward.default,
} | _BILINEAR  # fmt: skip
"""Certainly curved: the bilinear ones and the quotient where more than one argument depends on the input."""


class Verdict(NamedTuple):
    """What a graph says of its network.

    Attributes:
        piecewise_linear: None where an operation is not known here.
        evidence: one phrase that says why.
    """

    piecewise_linear: bool | None
    evidence: str


@dataclass
class Agreement:
    """What tests on images said of a network whose graph does not decide: is Gauss-Newton double backward there?

    Attributes:
        images: how many were tested.
        difference: the largest of the products, as a fraction of double backward's.
        refuted: whether one was larger than rounding explains.
    """

    images: int = 0
    difference: float = 0.0
    refuted: bool = False

    @property
    def holds(self) -> bool:
        """Whether there were images, and the two agreed on all of them."""
        return self.images > 0 and not self.refuted

    def record(self, differences: Sequence[float], tolerance: float) -> None:
        """Add what a batch of images said; those that say nothing are left out."""
        self.images += len(differences)
        self.difference = max([self.difference, *differences])
        self.refuted = self.refuted or self.difference > tolerance

    def __str__(self) -> str:
        """One phrase, empty where nothing was tested."""
        if not self.images:
            return ""
        size = "a number that is not finite" if isinf(self.difference) else f"{self.difference:.0e} of its norm"
        where = "the image tested" if self.images == 1 else f"{self.images} images tested"
        if self.refuted:
            return f"Gauss-Newton's product differs from double backward's by {size} on {where}"
        return f"Gauss-Newton's product is double backward's within {size} on {where}"


def linearity(graph: fx.Graph) -> Verdict:
    """Find out whether a network is piecewise linear in its input, from its operations.

    Where it is, the input Hessian of the cross-entropy is exactly its Gauss-Newton form `W (diag p - p p^T) W^T` almost
    everywhere (Singla et al. 2019, arXiv 1902.00407). True and False are never guesses: one operation that is not
    listed here, and none that is certainly curved, leave it open.
    """
    varying: set[fx.Node] = set()
    unknown: str | None = None
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
        if _is_piecewise_linear(node, dependent, varying):
            continue
        if node.target in _CURVED:
            return Verdict(False, f"{node.target} is not piecewise linear")
        unknown = unknown or str(node.target)
    if unknown is None:
        return Verdict(True, "every operation is piecewise linear")
    return Verdict(None, f"{unknown} is not known to be piecewise linear")


def _is_piecewise_linear(node: fx.Node, dependent: list[fx.Node], varying: set[fx.Node]) -> bool:
    """Whether an operation certainly is, given which of its arguments depend on the network's input."""
    target = node.target
    if target in _ADDITIVE:
        return True
    if target in _UNARY or target is aten.div.Tensor:
        return dependent == [node.args[0]]
    if target in _BILINEAR:
        return len(dependent) == 1 and list(node.args).count(dependent[0]) == 1
    return target in (aten.where.self, aten.where.ScalarOther) and node.args[0] not in varying
