"""A convolution whose derivatives of every order are convolutions, and nothing else.

PyTorch's double backward of a convolution also forms the products that lead to the weights, group by group; for a
depthwise convolution that is hundreds of small kernels. Explaining pixels never needs them: with respect to its input a
convolution is linear, its adjoint is the transposed convolution, and the adjoint of that is the convolution again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _Convolution(torch.autograd.Function):
    """`aten::convolution`, differentiable with respect to its input alone."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        output_padding: Sequence[int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = stride, padding, dilation, transposed, groups
        ctx.size = inputs.shape[2:]
        return torch.ops.aten.convolution(
            inputs, weight, bias, stride, padding, dilation, transposed, output_padding, groups
        )

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        (cotangent,) = cotangents
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, transposed, groups = ctx.geometry
        output_padding = [0] * len(ctx.size)
        if not transposed:
            # A stride that does not divide the size leaves rows that no output saw: the adjoint writes zeros there.
            output_padding = [
                size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
                for size, out, s, p, d, k in zip(
                    ctx.size, cotangent.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
                )
            ]
        adjoint = _Convolution.apply(
            cotangent, weight, None, stride, padding, dilation, not transposed, output_padding, groups
        )
        return adjoint, *[None] * 8


def convolution(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Convolve as `torch.ops.aten.convolution` does, with derivatives with respect to `inputs` only.

    Args:
        inputs: `[B, C, *size]`.
        weight: `[out, C / groups, *kernel]`; receives no gradient.
        bias: `[out]` or None; receives no gradient.
        stride: one number per spatial dimension.
        padding: one number per spatial dimension.
        dilation: one number per spatial dimension.
        transposed: whether this is the adjoint of a convolution.
        output_padding: rows added on the far side, for a transposed convolution.
        groups: number of channel groups.

    Returns:
        `[B, out, *new size]`.
    """
    if _is_pointwise(weight, stride, padding, transposed, groups) and inputs.device.type == "cpu":
        return _pointwise(inputs, weight, bias)
    result: Tensor = _Convolution.apply(
        inputs, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )
    return result


def _is_pointwise(weight: Tensor, stride: Sequence[int], padding: Sequence[int], transposed: bool, groups: int) -> bool:
    """Whether a convolution over two dimensions mixes channels alone, each pixel by itself."""
    single = weight.dim() == 4 and tuple(weight.shape[2:]) == (1, 1)
    return single and not transposed and groups == 1 and set(stride) == {1} and set(padding) == {0}


def _pointwise(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Mix channels by one matrix product, whose adjoint is another: the CPU's transposed convolutions take longer.

    In channels_last layout nothing is copied.
    """
    return F.linear(inputs.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
