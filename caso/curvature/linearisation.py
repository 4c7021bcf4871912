"""What every curvature operator gives: the loss around a batch of images, to second order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linearisation:
    """The cross-entropy of the target class around a batch of images, to second order in their pixels.

    Attributes:
        logits: `[B, K]`.
        gradient: of the loss, shaped like the images `[B, ...]`.
        product: maps directions `[B, ...]` to Hessian-vector products `[B, ...]`, image by image.
        restrict: gives `product` for a selection of the images, by their rows `[b]`.
        factors: `[B, K, d]` whose Gram product `factors' factors` is the Hessian, where the operator forms them.
        rounding: error of the products as a fraction of their size, where it was measured.
    """

    logits: Tensor
    gradient: Tensor
    product: Callable[[Tensor], Tensor]
    restrict: Callable[[Tensor], Callable[[Tensor], Tensor]] | None = None
    factors: Tensor | None = None
    rounding: float | None = None

    def select(self, rows: Tensor) -> Linearisation:
        """The same for the images in `rows` `[b]` alone, in that order."""
        factors = None if self.factors is None else self.factors[rows]
        if self.restrict is not None:
            product = self.restrict(rows)
            return Linearisation(self.logits[rows], self.gradient[rows], product, None, factors, self.rounding)
        whole, every = self.gradient, self.product

        def padded(v: Tensor) -> Tensor:
            # A retained autograd graph computes all its images whatever is asked of it.
            return every(torch.zeros_like(whole).index_copy(0, rows, v))[rows]

        return Linearisation(self.logits[rows], self.gradient[rows], padded, None, factors, self.rounding)


def residual_of_target(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax `p` `[B, K]` in float64, and the loss's gradient with respect to the logits, `p - e_target` `[B, K]`.

    A negative target stands for the predicted class, so that no forward pass is spent on finding it. In single
    precision, `1 - p` of a confident prediction would have lost its digits.
    """
    p = torch.softmax(logits.double(), -1)
    target = torch.where(target < 0, logits.argmax(-1), target)
    return p, p.scatter_add(1, target[:, None], torch.full_like(p[:, :1], -1.0)).to(logits.dtype)


def softmax_covariance(p: Tensor, t: Tensor) -> Tensor:
    """`(diag p - p p^T) t` for each image: the loss's Hessian with respect to the logits, times `t` `[B, K]`.

    In the precision of `p`, for what all logits have in common must cancel; given in that of `t`.
    """
    return (p * (t - (p * t).sum(-1, keepdim=True))).to(t.dtype)
