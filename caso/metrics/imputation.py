"""Noisy linear imputation: removed pixels become the weighted mean of their neighbours, plus noise.

Rong, Leemann, Borisov, Kasneci, Kasneci, "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML
2022, arXiv 2202.00449. A removed pixel is to equal the mean of its neighbours, 1/6 for each of the four direct ones and
1/12 for each of the four diagonal ones (over their sum, at the border); those that are removed themselves are unknowns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CHECK = 8
"""Iterations between two looks at the residuals; each look waits for the device."""


def neighbour_sum(x: Tensor) -> Tensor:
    """Weighted sum over the eight neighbours of each pixel of `[..., H, W]`; nothing lies beyond the border."""
    # 1/12 [1 2 1]' [1 2 1] without its centre: rows, then columns.
    rows = 2 * x
    rows[..., 1:] += x[..., :-1]
    rows[..., :-1] += x[..., 1:]
    total = 2 * rows
    total[..., 1:, :] += rows[..., :-1, :]
    total[..., :-1, :] += rows[..., 1:, :]
    return total.sub_(x, alpha=4).div_(12)


def impute(images: Tensor, removed: Tensor, tol: float = 1e-5, limit: int = 2000) -> Tensor:
    """Fill removed pixels in by linear interpolation, all images at once.

    The systems are sparse, symmetric and positive definite; conjugate gradients with a diagonal preconditioner solve
    them, in the images' precision, from a first guess by filling coarser and coarser copies in.

    Args:
        images: `[N, C, H, W]`.
        removed: which pixels are, `[N, 1, H, W]`, bool; not all of an image's.
        tol: largest residual of any pixel's equation, relative to the image's largest magnitude. In a wide hole the
            errors of the pixels are larger.
        limit: iterations at most.

    Returns:
        `[N, C, H, W]`, equal to the images where nothing is removed.
    """
    open_ = removed.to(images.dtype)
    weight = neighbour_sum(torch.ones_like(images[:1, :1])).clamp(min=torch.finfo(images.dtype).tiny)
    x = torch.where(removed, _guess(images, removed), images)
    # Where a pixel is removed: weight * x - neighbours = 0.
    scale = images.abs().amax((1, 2, 3), keepdim=True)
    residual = open_ * (neighbour_sum(x) - weight * x)
    direction = residual / weight
    old = (residual * direction).sum((2, 3), keepdim=True)
    for iteration in range(limit):
        if iteration % _CHECK == 0 and not bool((residual.abs() > tol * scale).any()):
            break
        product = open_ * (weight * direction - neighbour_sum(direction))
        curvature = (direction * product).sum((2, 3), keepdim=True)
        step = old / curvature.where(curvature > 0, 1)
        x += step * direction
        residual -= step * product
        scaled = residual / weight
        new = (residual * scaled).sum((2, 3), keepdim=True)
        direction = scaled + new / old.where(old > 0, 1) * direction
        old = new
    return x


def _guess(images: Tensor, removed: Tensor) -> Tensor:
    """Fill holes with the mean of the kept pixels around, from a copy of half the size, filled in the same way."""
    height, width = images.shape[2:]
    if height == width == 1 or not bool(removed.any()):
        return images
    kept = (~removed).to(images.dtype)
    padding = (0, width % 2 if width > 1 else 0, 0, height % 2 if height > 1 else 0)
    size = (min(2, height), min(2, width))
    weights = F.avg_pool2d(F.pad(kept, padding), size)
    means = F.avg_pool2d(F.pad(images * kept, padding), size) / weights.where(weights > 0, 1)
    coarse = _guess(means, weights == 0)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return torch.where(removed, smooth, images)
