"""The Hessian of a piecewise-linear network: one push-forward, one pull-back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.errors import refuse_once_differentiable
from caso.curvature.operator import hessian
from caso.curvature.quadratic_model import QuadraticModel, cross_entropy_gradient, softmax_covariance


def gauss_newton(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> QuadraticModel:
    """Model the loss with `H = J' (diag p - p p') J`, `J` the Jacobian of the logits.

    Exact where the network is piecewise linear (the paper's closed form, Singla et al. 2019, arXiv 1902.00407, never
    formed), positive semidefinite everywhere. `J v` is the adjoint of the pull-back `c -> J'c`, so that reverse mode
    alone serves. A product costs about one gradient.

    Args:
        network: pixels `[B, ...]` to logits `[B, K]`.
        inputs: `[B, ...]`.
        target: class of each image `[B]`; negative for the predicted one.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        p, grad_logits = cross_entropy_gradient(logits.detach(), target)
        # The pull-back of the loss's gradient is g; being linear in its cotangent, it also gives the push-forward.
        cotangent = grad_logits.requires_grad_()
        (gradient,) = torch.autograd.grad(logits, inputs, cotangent, create_graph=True, materialize_grads=True)
    if not getattr(network, "captured", False):  # a graph has no functions of the user's
        refuse_once_differentiable(gradient)

    def product(v: Tensor) -> Tensor:
        (jvp,) = torch.autograd.grad(gradient, cotangent, v, retain_graph=True, materialize_grads=True)
        pulled_back = softmax_covariance(p, jvp)
        return torch.autograd.grad(logits, inputs, pulled_back, retain_graph=True, materialize_grads=True)[0]

    return QuadraticModel(logits.detach(), gradient.detach(), hessian(gradient, product))
