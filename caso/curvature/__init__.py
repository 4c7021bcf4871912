"""Hessians of the cross-entropy with respect to the pixels, as products with vectors."""

from __future__ import annotations

from torch import Tensor

from caso.curvature.closed_form import closed_form
from caso.curvature.double_backward import double_backward
from caso.curvature.gauss_newton import gauss_newton
from caso.curvature.linearisation import Linearisation
from caso.curvature.tracing import Operator, Traced
from caso.curvature.tracing import trace as _trace
from caso.network import Prepared
from caso.network.functional import NotCapturableError

__all__ = ["OPERATORS", "Linearisation", "Traced", "choose", "linearise", "trace"]

OPERATORS: dict[str, Operator] = {
    "gauss_newton": gauss_newton,
    "double_backward": double_backward,
    "closed_form": closed_form,
}
"""Every operator by the name it has in configs and results."""


def choose(network: Prepared, name: str) -> str:
    """Resolve `auto` to an operator that is exact for the network: `gauss_newton` where that is certain."""
    if name != "auto":
        return name
    return "gauss_newton" if network.piecewise_linear else "double_backward"


def linearise(network: Prepared, inputs: Tensor, target: Tensor, name: str = "auto") -> Linearisation:
    """Linearise the loss around images, by the operator of that name, without tracing.

    Args:
        network: from `caso.network.prepare`.
        inputs: `[B, ...]`.
        target: `[B]`.
        name: a key of `OPERATORS`, or auto.
    """
    return OPERATORS[choose(network, name)](network, network.layout(inputs), target)


def trace(network: Prepared, inputs: Tensor, name: str = "auto") -> Traced:
    """Trace the operator of that name for images of the shape, dtype and device of `inputs`.

    Raises:
        NotCapturableError: the network was not captured, or its derivative cannot be.
    """
    name = choose(network, name)
    if not network.captured:
        raise NotCapturableError(network.evidence)
    return _trace(OPERATORS[name], name, network, inputs, network.layout)
