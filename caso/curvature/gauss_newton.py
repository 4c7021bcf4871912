"""The Hessian of a piecewise-linear network: one push-forward, one pull-back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.errors import refuse_once_differentiable
from caso.curvature.linearisation import Linearisation, residual_of_target, softmax_covariance


def gauss_newton(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> Linearisation:
    """Linearise with `H = J^T (diag p - p p^T) J`, `J` the Jacobian of the logits.

    Exact where the network is piecewise linear (the paper's closed form, Singla et al. 2019, arXiv 1902.00407, never
    formed), positive semidefinite everywhere. `J v` is the adjoint of the pull-back `c -> J^T c`, so that reverse mode
    alone serves. A product costs about one gradient.

    Args:
        network: pixels `[B, ...]` to logits `[B, K]`.
        inputs: `[B, ...]`.
        target: class of each image `[B]`.

    Returns:
        the loss to second order around `inputs`.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        p, slope = residual_of_target(logits.detach(), target)
        # The pull-back of the loss's slope is the gradient; being linear in the slope, it also gives the push-forward.
        cotangent = slope.requires_grad_()
        (pulled,) = torch.autograd.grad(logits, inputs, cotangent, create_graph=True, materialize_grads=True)
    if not getattr(network, "captured", False):  # a graph has no functions of the user's
        refuse_once_differentiable(pulled)

    def product(v: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, cotangent, v, retain_graph=True, materialize_grads=True)
        cotangents = softmax_covariance(p, pushed)
        return torch.autograd.grad(logits, inputs, cotangents, retain_graph=True, materialize_grads=True)[0]

    return Linearisation(logits.detach(), pulled.detach(), product)
