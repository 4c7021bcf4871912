"""The gradient alone: first-order explanations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.errors import clear_errors
from caso.curvature.linearisation import Linearisation, residual_of_target


def first_order(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> Linearisation:
    """Linearise to first order: the Hessian counts as zero. One gradient.

    Args:
        network: pixels `[B, ...]` to logits `[B, K]`.
        inputs: `[B, ...]`.
        target: class of each image `[B]`; negative for the predicted one.

    Raises:
        NotDifferentiableError: the network has no gradient.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad(), clear_errors():
        logits = network(inputs)
        _, slope = residual_of_target(logits.detach(), target)
        (gradient,) = torch.autograd.grad(logits, inputs, slope, materialize_grads=True)
    return Linearisation(logits.detach(), gradient, torch.zeros_like, lambda rows: torch.zeros_like)
