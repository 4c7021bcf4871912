"""How far cheaper forms of the Hessian are from the exact one, on this network, dtype and image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from caso.analysis.difference import relative_difference
from caso.metrics.case import Case
from caso.metrics.curvature import CurvatureMetric, evaluate
from caso.metrics.metric import Score


@dataclass(frozen=True)
class _Difference(CurvatureMetric):
    """Relative difference of an operator's product with the gradient from the exact one."""

    operator: ClassVar[str]
    one_by_one: ClassVar[bool] = False

    range = (0.0, None)
    source = "chosen here, after Singla et al. 2019, arXiv 1902.00407"

    @property
    def passes(self) -> int:
        """One for each operator."""
        return 2

    @property
    def backward_passes(self) -> int:
        """A gradient and a product by each operator."""
        return 7

    def _score(self, case: Case) -> Score:
        difference = evaluate(
            case,
            self.name,
            lambda network, images, targets: relative_difference(network, images, targets, self.operator),
            one_by_one=self.one_by_one,
        )
        return Score(difference)


@dataclass(frozen=True)
class GaussNewtonDifference(_Difference):
    """Relative difference of the Gauss-Newton product from the exact one."""

    operator = "gauss_newton"
    name = "gauss_newton_difference"
    sentence = (
        "|G v - H v| / |H v| with v the gradient of the loss, of length 1, H v by double backward and"
        " G v = J^T (diag p - p p^T) J v by one push-forward and one pull-back, both in the dtype of the run; NaN where"
        " H v is zero."
    )


@dataclass(frozen=True)
class ClosedFormDifference(_Difference):
    """Relative difference of the explicit closed form's product from the exact one."""

    operator = "closed_form"
    one_by_one = True
    name = "closed_form_difference"
    sentence = (
        "|C v - H v| / |H v| with v the gradient of the loss, of length 1, H v by double backward and"
        " C v = W (diag p - p p^T) W^T v with the gradients W of all logits in memory, both in the dtype of the run;"
        " NaN where H v is zero. A backward pass a class of the network comes on top of what is stated."
    )
