"""Gauss-Newton or double backward: decided by a test on the images where a network's graph leaves it open.

Double backward is right for whatever can be differentiated twice; through a user's own module, with its weights' share
of every convolution, it takes three to five times as long as Gauss-Newton, which is right for piecewise-linear networks
alone. That a network is piecewise linear around one image says nothing of the next one, so every image is tested: one
product of each operator with the same direction. The first image for which they differ by more than rounding settles
the matter, for that batch and for good. A test in float32 that rounding leaves open counts as a difference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.double_backward import double_backward
from caso.curvature.gauss_newton import gauss_newton
from caso.curvature.quadratic_model import QuadraticModel
from caso.linalg import like_images
from caso.network import Prepared


def tolerance(dtype: torch.dtype) -> float:
    """Relative difference of two products that rounding explains: a thousand roundings, 1e-4 in float32.

    On piecewise-linear networks of torchvision and timm the two products differ by 0 to 6e-5 in float32 (4e-15 in
    float64), unless the softmax is saturated. SiLU, GELU, softmax and the like make a difference of 1e-2 to 1.
    """
    return 1000 * torch.finfo(dtype).eps


def _direction(gradient: Tensor) -> Tensor:
    """For each image its gradient, where the solvers look, plus as much in a random direction, which misses nothing.

    The random part is the same for all images, so that none depends on its neighbours.
    """
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(gradient.shape[1:], generator=generator, dtype=torch.float64).to(gradient)
    size = like_images(torch.linalg.vector_norm(gradient.flatten(1), dim=1), gradient)
    return gradient + random * torch.where(size > 0, size, 1) / random.norm()


def _differences(exact: Tensor, other: Tensor) -> Tensor:
    """Of each image's products, as a fraction of the exact one; NaN where both are zero or not finite: `[B]`."""
    scale, size, apart = (
        torch.linalg.vector_norm(t.flatten(1), dim=1, dtype=torch.float64) for t in (exact, other, other - exact)
    )
    nothing = ((scale == 0) & (size == 0)) | (~scale.isfinite() & ~size.isfinite())
    return torch.where(nothing, torch.nan, torch.nan_to_num(apart / scale, nan=torch.inf))


def compare(network: Prepared, inputs: Tensor, target: Tensor) -> tuple[QuadraticModel, Tensor]:
    """Model the loss by `gauss_newton`, and compare one product of each image with that of `double_backward`.

    Args:
        network: any.
        inputs: `[B, ...]`.
        target: `[B]`; negative for the predicted class.

    Returns:
        the model, and the relative differences `[B]`; NaN where both products are zero or not finite.
    """
    exact = double_backward(network, inputs, target)
    direction = _direction(exact.gradient)
    product = exact.hvp(direction)
    del exact  # its graph, so that the two need not be in memory at once
    model = gauss_newton(network, inputs, target)
    return model, _differences(product, model.hvp(direction))


def gauss_newton_if_exact(network: Prepared, inputs: Tensor, target: Tensor) -> QuadraticModel:
    """Model the loss by `gauss_newton` where it agrees with `double_backward` on every image, else by the latter.

    Costs one gradient and one product of either. What is found goes into `network.agreement`.

    Args:
        network: one whose graph does not decide.
        inputs: `[B, ...]`.
        target: `[B]`; negative for the predicted class.
    """
    model, differences = compare(network, inputs, target)
    network.agreement.record(differences[~differences.isnan()].tolist(), tolerance(inputs.dtype))
    return model if network.agreement.holds else double_backward(network, inputs, target)
