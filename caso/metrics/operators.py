"""How far cheaper forms of the Hessian are from the exact one, on this network, dtype and image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from caso.analysis.difference import relative_difference
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score
from caso.metrics.surface import by_chunks
from caso.network import Prepared


@dataclass(frozen=True)
class _Difference(Metric):
    """Relative difference of an operator's product with the gradient from the exact one."""

    operator: ClassVar[str]
    alone: ClassVar[bool] = False

    family: ClassVar[str] = "curvature"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    @property
    def passes(self) -> int:
        """One for each operator."""
        return 2

    @property
    def backward_passes(self) -> int:
        """A gradient and a product by each operator."""
        return 7

    def _score(self, case: Case) -> Score:
        def difference(network: Prepared, images: Tensor, targets: Tensor) -> Tensor:
            return relative_difference(network, images, targets, self.operator)

        return Score(by_chunks(case, difference, self.alone))


@dataclass(frozen=True)
class GaussNewtonDifference(_Difference):
    """Relative difference of the Gauss-Newton product from the exact one."""

    operator: ClassVar[str] = "gauss_newton"
    name: ClassVar[str] = "gauss_newton_difference"
    source: ClassVar[str] = "chosen here, after Singla et al. 2019, arXiv 1902.00407"
    sentence: ClassVar[str] = (
        "|G v - H v| / |H v| with v the gradient of the loss, of length 1, H v by double backward and"
        " G v = J^T (diag p - p p^T) J v by one push-forward and one pull-back, both in the dtype of the run; NaN where"
        " H v is zero."
    )


@dataclass(frozen=True)
class ClosedFormDifference(_Difference):
    """Relative difference of the explicit closed form's product from the exact one."""

    operator: ClassVar[str] = "closed_form"
    alone: ClassVar[bool] = True
    name: ClassVar[str] = "closed_form_difference"
    source: ClassVar[str] = "chosen here, after Singla et al. 2019, arXiv 1902.00407"
    sentence: ClassVar[str] = (
        "|C v - H v| / |H v| with v the gradient of the loss, of length 1, H v by double backward and"
        " C v = W (diag p - p p^T) W^T v with the gradients W of all logits in memory, both in the dtype of the run;"
        " NaN where H v is zero. A backward pass a class of the network comes on top of what is stated."
    )
