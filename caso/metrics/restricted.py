"""What of the loss's curvature is left where the network has fewer classes to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from caso.analysis.restricted import kept_classes, restricted_spectra
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score, require
from caso.metrics.surface import by_chunks, closed_form_holds
from caso.network import Prepared

_CLASSES = (
    " The softmax is that of k classes alone: the explained one and the most probable others; H = W (diag p - p p^T)"
    " W^T and g = W (p - e) with it, W the gradients of these logits. The score is that of the largest k. NaN where H"
    " or g is zero (one class) or the network is not piecewise linear."
)


@dataclass(frozen=True)
class _Restricted(Metric):
    """What metrics of the restricted softmax share.

    Attributes:
        counts: classes kept, at least 2 each; at most as many as the network has.
    """

    counts: tuple[int, ...] = (2, 5, 10, 100, 1000)

    family: ClassVar[str] = "curvature"
    higher_is_better: ClassVar[bool | None] = None
    source: ClassVar[str] = (
        "Singla et al. 2019, arXiv 1902.00407 (the role of the number of classes); keeping k of them is chosen here"
    )

    def __post_init__(self) -> None:
        """Check the parameters; a list of counts becomes a tuple."""
        object.__setattr__(self, "counts", tuple(self.counts))
        require(self, len(self.counts) > 0 and min(self.counts) >= 2, "counts", "numbers of classes, each at least 2")

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

            def work(network: Prepared, image: Tensor, target: Tensor) -> Tensor:
                return restricted_spectra(network, image, target, self.counts, case.gradient_chunks)

            spectra = case.share(("restricted", self.counts), lambda: by_chunks(case, work, alone=True))
            curve = torch.where(known, self._figures(spectra[..., 0], spectra[..., 1]), torch.nan)
        return Score(curve[:, -1], curve, torch.tensor(kept, dtype=torch.float64, device=curve.device))

    def _figures(self, values: Tensor, parts: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class RestrictedShare(_Restricted):
    """Share of the leading eigenvalue while the softmax has only some of the classes."""

    name: ClassVar[str] = "restricted_share"
    axes: ClassVar[tuple[str, ...]] = ("classes kept", "share of the leading eigenvalue")
    sentence: ClassVar[str] = "lambda_max(H) / trace(H)." + _CLASSES

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

    lambda2: float = 4.0

    name: ClassVar[str] = "restricted_distance"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 2.0)
    axes: ClassVar[tuple[str, ...]] = ("classes kept", "distance of the maps")
    sentence: ClassVar[str] = (
        "Euclidean distance between the maps a of CASO and b of CAFO, each of length 1, without a sparsity penalty:"
        " ((lambda2 + lambda_max(H)) I - H) a = g, and b = g / lambda2." + _CLASSES
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        require(self, self.lambda2 > 0, "lambda2", "a number > 0")

    def _figures(self, values: Tensor, parts: Tensor) -> Tensor:
        # Every vector here is a sum of eigenvectors: its length is that of its parts, weighted by the eigenvalues.
        def unit(part: Tensor) -> Tensor:
            length = (values * part.square()).sum(-1, keepdim=True).sqrt()
            return torch.where(length > 0, part / length.where(length > 0, 1), torch.nan)

        second = parts / (self.lambda2 + values.amax(-1, keepdim=True) - values)
        return (values * (unit(second) - unit(parts)).square()).sum(-1).sqrt()
