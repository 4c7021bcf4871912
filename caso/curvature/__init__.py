"""Hessians of the cross-entropy with respect to the pixels, as operators that are known by their products."""

from __future__ import annotations

from torch import Tensor

from caso.curvature.agreement import gauss_newton_if_exact
from caso.curvature.closed_form import closed_form
from caso.curvature.double_backward import double_backward
from caso.curvature.errors import NotDifferentiableError, clear_errors, with_clear_errors
from caso.curvature.gauss_newton import gauss_newton
from caso.curvature.operator import HessianOperator, hessian
from caso.curvature.quadratic_model import QuadraticModel
from caso.curvature.tracing import Operator, Traced
from caso.curvature.tracing import trace as _trace
from caso.network import Prepared
from caso.network.functional import NotCapturableError

__all__ = [
    "OPERATORS",
    "HessianOperator",
    "NotDifferentiableError",
    "QuadraticModel",
    "Traced",
    "exactness",
    "hessian",
    "quadratic_model",
    "resolve_operator",
    "trace",
]

OPERATORS: dict[str, Operator] = {
    "gauss_newton": gauss_newton,
    "double_backward": double_backward,
    "closed_form": closed_form,
}
"""Every operator by the name it has in configs and results."""


def resolve_operator(network: Prepared, name: str) -> str:
    """Resolve `auto` to an operator that is the Hessian for the network.

    `gauss_newton` where the graph's operations make it certain, or, where they leave it open, as long as it was double
    backward on every image tested (see `caso.curvature.agreement`). Else `double_backward`.
    """
    if name != "auto":
        return name
    gauss_newton_holds = network.agreement.holds if network.piecewise_linear is None else network.piecewise_linear
    return "gauss_newton" if gauss_newton_holds else "double_backward"


def exactness(network: Prepared, name: str) -> tuple[bool | None, str]:
    """Whether the operator of that name, or auto, certainly is the Hessian (None: not known), and the evidence."""
    evidence = "; ".join(part for part in (network.evidence, str(network.agreement)) if part)
    return resolve_operator(network, name) == "double_backward" or network.piecewise_linear, evidence


def quadratic_model(network: Prepared, inputs: Tensor, target: Tensor, name: str = "auto") -> QuadraticModel:
    """Model the loss around images to second order, by the operator of that name, without tracing.

    Args:
        network: from `caso.network.prepare`.
        inputs: `[B, ...]`.
        target: `[B]`; negative for the predicted class.
        name: a key of `OPERATORS`, or auto.

    Raises:
        NotDifferentiableError: the network has no gradient or no Hessian, with the operation that is at fault; the
            products of what is returned raise it, too.
    """
    inputs = network.layout(inputs)
    with clear_errors():
        if name == "auto" and network.undecided:
            model = gauss_newton_if_exact(network, inputs, target)
        else:
            model = OPERATORS[resolve_operator(network, name)](network, inputs, target)
    return with_clear_errors(model)


def trace(network: Prepared, inputs: Tensor, name: str = "auto") -> Traced:
    """Trace the operator of that name for images of the shape, dtype and device of `inputs`.

    Raises:
        NotCapturableError: the network was not captured, or its derivative cannot be.
    """
    name = resolve_operator(network, name)
    if not network.captured:
        raise NotCapturableError(network.evidence)
    return _trace(OPERATORS[name], name, network, inputs, network.layout)
