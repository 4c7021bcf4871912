"""How far cheaper forms of the Hessian are from the exact one, on a network, dtype and image."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature import quadratic_model
from caso.network import Prepared


def relative_difference(network: Prepared, images: Tensor, targets: Tensor, operator: str) -> Tensor:
    """Difference of an operator's product with the gradient from that by double backward, over the latter's norm.

    Args:
        network: prepared.
        images: `[b, ...]`.
        targets: explained classes, `[b]`.
        operator: a key of `caso.curvature.OPERATORS`.

    Returns:
        float64 `[b]`; NaN where the exact product is zero.
    """
    exact = quadratic_model(network, images, targets, "double_backward")
    gradient = exact.gradient.flatten(1).double()
    length = gradient.norm(dim=1, keepdim=True)
    v = (gradient / length.where(length > 0, 1)).to(images)
    truth = exact.hvp(v).double()
    other = quadratic_model(network, images, targets, operator).hvp(v).double()
    size = truth.norm(dim=1)
    return torch.where(size > 0, (other - truth).norm(dim=1) / size.where(size > 0, 1), torch.nan)
