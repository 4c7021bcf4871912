"""The largest eigenvalue of symmetric matrices that are known by their products, with its eigenvector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.analysis.jacobian import Jacobian, softmax_gradient
from caso.curvature import quadratic_model
from caso.curvature.quadratic_model import softmax_covariance
from caso.linalg import combine, norms
from caso.network import Prepared
from caso.solvers.ritz import RitzPairs
from caso.solvers.subspace import Subspace

MOST = 60
"""Products at most."""


def leading_pair(product: Callable[[Tensor], Tensor], start: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Lanczos's method with full reorthogonalisation, for some matrices at once, in float64.

    Each matrix stops by itself, so that its result does not depend on the others. The eigenvalue found is the largest
    of those whose eigenvectors the start has a part of.

    Args:
        product: `[b, d]` to `[b, d]`, each row by its own matrix.
        start: `[b, d]`; where it is zero, a random vector that is the same for all.
        tolerance: of the residual `|H u - theta u|`, relative to the largest magnitude of an eigenvalue.

    Returns:
        eigenvalues `[b]` and unit eigenvectors `[b, d]`; NaN where products are not finite, or after `MOST` products.
    """
    start = start.double()
    size = start.shape[1]
    finite = torch.isfinite(start).all(1)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(start.device)
    start = torch.where((start == 0).all(1, keepdim=True), noise, start.nan_to_num(0, 0, 0))
    subspace = Subspace(start)
    value, vector = start.new_full((len(start),), torch.nan), torch.full_like(start, torch.nan)
    done, direction = ~finite, subspace.orthonormalise(start)
    for step in range(min(MOST, size)):
        image = product(direction).double()
        finite &= torch.isfinite(image).all(1)
        subspace.append(direction, image.nan_to_num(0, 0, 0))
        ritz = RitzPairs(subspace)
        accurate = norms(ritz.residual) <= tolerance * ritz.norm
        found = ~done & (accurate | (step + 1 == size))
        value = torch.where(found, ritz.lambda_max, value)
        vector = torch.where(found[:, None], combine(ritz.vectors[..., -1], subspace.basis), vector)
        done |= found | ~finite
        if bool(done.all()):
            break
        direction = subspace.orthonormalise(ritz.residual)
    return torch.where(finite, value, torch.nan), torch.where(finite[:, None], vector, torch.nan)


def leading_eigenvalue_and_cosine(network: Prepared, images: Tensor, targets: Tensor, tolerance: float) -> Tensor:
    """Largest eigenvalue of the loss's Hessian, and how parallel its eigenvector is to the gradient.

    Args:
        network: prepared.
        images: `[b, ...]`.
        targets: class whose loss is meant, `[b]`.
        tolerance: of `leading_pair`.

    Returns:
        eigenvalues and magnitudes of the cosine, `[b, 2]`; a cosine is NaN where Hessian or gradient is zero.
    """
    if network.piecewise_linear:
        jacobian = Jacobian(network, images)
        p = jacobian.logits.softmax(1)
        gradient = jacobian.vjp(-softmax_gradient(p, targets))

        def product(v: Tensor) -> Tensor:
            return jacobian.vjp(softmax_covariance(p, jacobian.jvp(v)))
    else:
        exact = quadratic_model(network, images, targets, "double_backward")
        gradient = exact.gradient.flatten(1)

        def product(v: Tensor) -> Tensor:
            return exact.hvp(v.to(images))

    value, vector = leading_pair(product, gradient, tolerance)
    gradient = gradient.double()
    length = gradient.norm(dim=1)
    cosine = (vector * gradient).sum(1).abs() / length.where(length > 0, 1)
    return torch.stack([value, torch.where((length > 0) & (value != 0), cosine.clamp(max=1), torch.nan)], 1)
