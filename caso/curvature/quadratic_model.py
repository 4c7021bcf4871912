"""The quadratic model of the loss around a batch of images: what every curvature operator gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.curvature.operator import HessianOperator


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """The cross-entropy of the explained class around a batch of images, `L(x + D) ~ L(x) + g'D + 1/2 D'HD`.

    Attributes:
        logits: `[B, K]`.
        gradient: `g`, shaped like the images `[B, ...]`.
        hessian: `H`; None to first order.
    """

    logits: Tensor
    gradient: Tensor
    hessian: HessianOperator | None

    @property
    def order(self) -> int:
        """1 without, 2 with a Hessian."""
        return 1 if self.hessian is None else 2

    def hvp(self, v: Tensor) -> Tensor:
        """`H v` of each image's direction, `[B, ...]` or `[B, d]`; zero to first order."""
        return torch.zeros_like(v) if self.hessian is None else self.hessian @ v

    def restrict(self, index: Tensor) -> QuadraticModel:
        """The model of the images `index` `[b]`, in that order."""
        hessian = None if self.hessian is None else self.hessian.restrict(index)
        return QuadraticModel(self.logits[index], self.gradient[index], hessian)


def cross_entropy_gradient(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax `p` `[B, K]` in float64, and the loss's gradient with respect to the logits, `p - e_target` `[B, K]`.

    A negative target stands for the predicted class, so that no forward pass is spent on finding it. In single
    precision, `1 - p` of a confident prediction would have lost its digits.
    """
    p = torch.softmax(logits.double(), -1)
    target = torch.where(target < 0, logits.argmax(-1), target)
    return p, p.scatter_add(1, target[:, None], torch.full_like(p[:, :1], -1.0)).to(logits.dtype)


def softmax_covariance(p: Tensor, t: Tensor) -> Tensor:
    """`(diag p - p p') t` for each image: the loss's Hessian with respect to the logits, times `t` `[B, K]`.

    In the precision of `p`, since what all logits have in common must cancel; given in that of `t`.
    """
    return (p * (t - (p * t).sum(-1, keepdim=True))).to(t.dtype)
