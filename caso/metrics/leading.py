"""The leading eigenvalue of the loss's Hessian at an image: its share of the spectrum, and its eigenvector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.analysis.eigenpair import MOST, leading_eigenvalue_and_cosine
from caso.analysis.trace import hessian_trace
from caso.arguments import Count, Fraction
from caso.metrics.case import Case
from caso.metrics.curvature import CurvatureMetric, closed_form_holds, evaluate
from caso.metrics.metric import Score

_HESSIAN = (
    " H is the Hessian, with respect to the pixels, of the cross-entropy of the explained class; its leading"
    " eigenvector is that of its largest eigenvalue, by Lanczos's method from the gradient."
)


@dataclass(frozen=True)
class LeadingShare(CurvatureMetric):
    """Share of the leading eigenvalue of the loss's Hessian in the sum of all.

    Attributes:
        classes: most probable classes that enter the trace exactly; each costs a backward pass.
        samples: classes drawn for all others, stratified and in proportion to their probabilities; each costs a
            backward pass. Networks of no more classes than both together have none drawn.
        seed: of the draws.
        tolerance: of the eigenpair's residual, relative to the eigenvalue.
    """

    classes: Count = 32
    samples: Count = 16
    seed: int = 0
    tolerance: Fraction = 1e-3

    name = "leading_share"
    source = "Singla et al. 2019, arXiv 1902.00407 (H is about of rank one); the figure is chosen here"
    sentence = (
        "lambda_max(H) / trace(H), with trace(H) = sum over classes k of p_k |w_k - w|^2, w_k the gradient of logit k,"
        " p the softmax and w = sum p_k w_k: the most probable classes exactly, the others by an unbiased sample; at"
        " most 1. NaN where H is zero or the network is not piecewise linear." + _HESSIAN
    )

    @property
    def passes(self) -> int:
        """One for the trace and one for the eigenvalue, which is shared; two to try a network that is not known."""
        return 4

    @property
    def backward_passes(self) -> int:
        """One a class, and two a step of Lanczos's method, which takes 3 to 15 of them as a rule."""
        return self.classes + self.samples + 2 * MOST + 10

    def _score(self, case: Case) -> Score:
        known = closed_form_holds(case)
        if not bool(known.any()):
            return Score(torch.full(known.shape, torch.nan, dtype=torch.float64, device=known.device))
        draws = (self.classes, self.samples, self.seed)
        trace = evaluate(
            case, ("trace", *draws), lambda network, images, targets: hessian_trace(network, images, *draws)
        )
        largest = _leading(case, self.tolerance)[:, 0]
        known = known & (trace > 0)
        return Score(torch.where(known, (largest / trace.where(known, 1)).clamp(0, 1), torch.nan))


@dataclass(frozen=True)
class LeadingCosine(CurvatureMetric):
    """How parallel the leading eigenvector of the loss's Hessian is to its gradient.

    Attributes:
        tolerance: of the eigenpair's residual, relative to the eigenvalue.
    """

    tolerance: Fraction = 1e-3

    name = "leading_cosine"
    source = "Singla et al. 2019, arXiv 1902.00407"
    sentence = (
        "Absolute value of the cosine of the angle between the leading eigenvector of H and the gradient of the loss;"
        " NaN where H or the gradient is zero." + _HESSIAN
    )

    @property
    def passes(self) -> int:
        """One, shared with `leading_share`."""
        return 1

    @property
    def backward_passes(self) -> int:
        """Two a step of Lanczos's method, which takes 3 to 15 of them as a rule; shared with `leading_share`."""
        return 2 * MOST + 2

    def _score(self, case: Case) -> Score:
        return Score(_leading(case, self.tolerance)[:, 1])


def _leading(case: Case, tolerance: float) -> Tensor:
    """Largest eigenvalue, and the magnitude of the cosine between its eigenvector and the gradient: `[B, 2]`."""
    return evaluate(
        case,
        ("leading pair", tolerance),
        lambda network, images, targets: leading_eigenvalue_and_cosine(network, images, targets, tolerance),
    )
