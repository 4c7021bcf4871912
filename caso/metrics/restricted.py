"""The loss's curvature where the network has fewer classes to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from caso.analysis.restricted import kept_classes, restricted_spectra
from caso.arguments import Allowed, Positive
from caso.metrics.case import Case
from caso.metrics.curvature import CurvatureMetric, closed_form_holds, evaluate
from caso.metrics.metric import Score

_CLASSES = (
    " The softmax is that of k classes alone: the explained one and the most probable others; H = W (diag p - p p^T)"
    " W^T and g = W (p - e) with it, W the gradients of these logits. The score is that of the largest k. NaN where H"
    " or g is zero (one class) or the network is not piecewise linear."
)

_Counts = Annotated[
    tuple[int, ...], Allowed("numbers of classes, each at least 2", lambda found: found and min(found) >= 2)
]


@dataclass(frozen=True)
class _Restricted(CurvatureMetric):
    """A figure of the Hessian where the softmax has only some of the classes.

    Attributes:
        counts: classes kept, at least 2 each; at most as many as the network has.
    """

    counts: _Counts = (2, 5, 10, 100, 1000)

    source = (
        "Singla et al. 2019, arXiv 1902.00407 (the role of the number of classes); keeping k of them is chosen here"
    )

    @property
    def passes(self) -> int:
        """One shared by all metrics, two for the gradients (the second of some copies), two to try a network."""
        return 5

    @property
    def backward_passes(self) -> int:
        """The gradients of all classes kept, as many as the network has at most; shared by both metrics."""
        return max(self.counts) + 6

    def _score(self, case: Case) -> Score:
        kept = kept_classes(self.counts, case.logits.shape[1])
        known = closed_form_holds(case)[:, None]
        curve = torch.full((len(case.images), len(kept)), torch.nan, dtype=torch.float64, device=case.images.device)
        if bool(known.any()):
            spectra = evaluate(
                case,
                ("restricted", self.counts),
                lambda network, image, target: restricted_spectra(
                    network, image, target, self.counts, case.gradient_chunks
                ),
                one_by_one=True,
            )
            curve = torch.where(known, self._figures(spectra[..., 0], spectra[..., 1]), torch.nan)
        return Score(curve[:, -1], curve, torch.tensor(kept, dtype=torch.float64, device=curve.device))

    def _figures(self, values: Tensor, parts: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class RestrictedShare(_Restricted):
    """Share of the leading eigenvalue while the softmax has only some of the classes."""

    name = "restricted_share"
    axes = ("classes kept", "share of the leading eigenvalue")
    sentence = "lambda_max(H) / trace(H)." + _CLASSES

    def _figures(self, values: Tensor, parts: Tensor) -> Tensor:
        trace = values.sum(-1)
        return torch.where(trace > 0, values.amax(-1) / trace.where(trace > 0, 1), torch.nan)


@dataclass(frozen=True)
class RestrictedDistance(_Restricted):
    """Distance between CASO's and CAFO's maps while the softmax has only some of the classes.

    Attributes:
        counts: classes kept, at least 2 each; at most as many as the network has.
        lambda2: weight of the quadratic penalty.
    """

    lambda2: Positive = 4.0

    name = "restricted_distance"
    range = (0.0, 2.0)
    axes = ("classes kept", "distance of the maps")
    sentence = (
        "Euclidean distance between the maps a of CASO and b of CAFO, each of length 1, without a sparsity penalty:"
        " ((lambda2 + lambda_max(H)) I - H) a = g, and b = g / lambda2." + _CLASSES
    )

    def _figures(self, values: Tensor, parts: Tensor) -> Tensor:
        # Every vector here is a sum of eigenvectors: its length is that of its parts, weighted by the eigenvalues.
        def unit(part: Tensor) -> Tensor:
            length = (values * part.square()).sum(-1, keepdim=True).sqrt()
            return torch.where(length > 0, part / length.where(length > 0, 1), torch.nan)

        second = parts / (self.lambda2 + values.amax(-1, keepdim=True) - values)
        return (values * (unit(second) - unit(parts)).square()).sum(-1).sqrt()
