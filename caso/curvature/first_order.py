"""The gradient alone: first-order explanations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.errors import clear_errors
from caso.curvature.quadratic_model import QuadraticModel, cross_entropy_gradient


def first_order(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> QuadraticModel:
    """Model the loss to first order, without a Hessian. One gradient.

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
        _, grad_logits = cross_entropy_gradient(logits.detach(), target)
        (gradient,) = torch.autograd.grad(logits, inputs, grad_logits, materialize_grads=True)
    return QuadraticModel(logits.detach(), gradient, None)
