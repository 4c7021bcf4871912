"""The paper's closed form, written out: every class's gradient, in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.operator import Product, hessian
from caso.curvature.quadratic_model import QuadraticModel, cross_entropy_gradient


def closed_form(network: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor) -> QuadraticModel:
    """Model the loss with the explicit `H = W (diag p - p p') W'`, `W` the gradients of the logits.

    The form of Singla et al. 2019 (arXiv 1902.00407), exact for piecewise-linear networks. It takes K backward passes
    and `K * d` numbers an image (600 MB for ImageNet's 1000 classes at 224 x 224 in float32); afterwards products are
    cheap. `gauss_newton` gives the same products without it.

    Args:
        network: pixels `[B, ...]` to logits `[B, K]`.
        inputs: `[B, ...]`.
        target: class of each image `[B]`; negative for the predicted one.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
    batch, classes = logits.shape
    factors = torch.empty(batch, classes, inputs[0].numel(), dtype=inputs.dtype, device=inputs.device)
    for k in range(classes):
        (row,) = torch.autograd.grad(logits[:, k].sum(), inputs, retain_graph=True, materialize_grads=True)
        factors[:, k] = row.flatten(1)
    logits = logits.detach()
    p, grad_logits = cross_entropy_gradient(logits, target)
    p = p.to(inputs.dtype)
    gradient = torch.einsum("bkd,bk->bd", factors, grad_logits).view_as(inputs)
    # diag p - p p' = S S' with S = (diag sqrt p) - p (sqrt p)': the factors are the columns of W S.
    factors -= torch.einsum("bkd,bk->bd", factors, p)[:, None]
    factors *= p.sqrt()[..., None]

    def product_of(index: Tensor | slice) -> Product:
        chosen = factors[index]

        def product(v: Tensor) -> Tensor:
            t = torch.einsum("bkd,bd->bk", chosen, v.flatten(1))
            return torch.einsum("bkd,bk->bd", chosen, t).view_as(v)

        return product

    return QuadraticModel(logits, gradient, hessian(gradient, product_of(slice(None)), product_of, factors))
