"""The exact Hessian of any twice differentiable network, by reverse mode over reverse mode."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.errors import refuse_once_differentiable
from caso.curvature.operator import hessian
from caso.curvature.quadratic_model import QuadraticModel, cross_entropy_gradient


def double_backward(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> QuadraticModel:
    """Model the loss with `H v = d/dx (g(x)'v)`, the way of the paper's released code.

    Exact for every network that can be differentiated twice; `H` may be indefinite where the network is not piecewise
    linear.

    Args:
        network: pixels `[B, ...]` to logits `[B, K]`.
        inputs: `[B, ...]`.
        target: class of each image `[B]`; negative for the predicted one.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        _, grad_logits = cross_entropy_gradient(logits, target)
        (gradient,) = torch.autograd.grad(logits, inputs, grad_logits, create_graph=True, materialize_grads=True)
    if not getattr(network, "captured", False):  # a graph has no functions of the user's
        refuse_once_differentiable(gradient)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(gradient, inputs, v, retain_graph=True, materialize_grads=True)[0]

    return QuadraticModel(logits.detach(), gradient.detach(), hessian(gradient, product))
