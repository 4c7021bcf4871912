"""Batched linear algebra on vectors of pixels: every row of a batch `[B, d]` belongs to one image.

Vectors stay in the network's dtype; whatever is summed over pixels is float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_BLOCK = 1024
"""Pixels whose products are summed in the working precision, before float64 takes over."""


def dots(a: Tensor, b: Tensor) -> Tensor:
    """All inner products of each image's vectors, in float64: `[B, m, d]` and `[B, k, d]` to `[B, m, k]`.

    Sums over blocks in the working precision, then in float64. Plain float32 sums over 150 000 pixels lose two digits
    that the reduced problem, whose condition is `lambda2_effective / lambda2`, needs.
    """
    if a.dtype == torch.float64:
        return a @ b.mT
    cut = a.shape[2] // _BLOCK * _BLOCK
    if a.device.type != "cpu":
        # Blocks are copied, which costs less there than asking for each image's product by itself.
        a_blocks, b_blocks = (t[..., :cut].unflatten(2, (-1, _BLOCK)).transpose(1, 2) for t in (a, b))
        return (a_blocks @ b_blocks.mT).double().sum(1) + (a[..., cut:] @ b[..., cut:].mT).double()
    total = torch.empty(a.shape[0], a.shape[1], b.shape[1], dtype=torch.float64, device=a.device)
    for out, x, y in zip(total, a, b, strict=True):
        # Views, so that nothing is copied: [blocks, m, block] and [blocks, k, block].
        x_blocks, y_blocks = (t[:, :cut].unflatten(1, (-1, _BLOCK)).transpose(0, 1) for t in (x, y))
        out.copy_(torch.bmm(x_blocks, y_blocks.mT).double().sum(0))
        if cut < a.shape[2]:
            out += (x[:, cut:] @ y[:, cut:].mT).double()
    return total


def together(batch: Tensor) -> Iterator[slice]:
    """The images of a batch `[B, ...]` whose vectors are best worked on at once.

    On a processor one after the other, so that each one's vectors stay in the cache. On other devices all: what counts
    there is how often they are asked to do something.
    """
    step = 1 if batch.device.type == "cpu" else max(1, len(batch))
    return (slice(first, first + step) for first in range(0, len(batch), step))


def norms(v: Tensor) -> Tensor:
    """Euclidean norm of each row of `[B, d]`, in float64: `[B]`."""
    return torch.linalg.vector_norm(v, dim=-1, dtype=torch.float64)


def largest_entries(v: Tensor) -> Tensor:
    """Largest magnitude in each row of `[B, d]`: `[B]`, NaN where there is one; one pass, and no mask of `[B, d]`."""
    return torch.linalg.vector_norm(v, torch.inf, dim=-1)


def combine(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Linear combinations `[B, m]` of each image's vectors `[B, m, d]`: `[B, d]`, in the vectors' dtype."""
    return (coefficients.to(vectors.dtype)[:, None] @ vectors)[:, 0]


def like_images(per_image: Tensor, images: Tensor) -> Tensor:
    """View a number for each image, `[B]`, such that it broadcasts against `images` `[B, ...]`."""
    return per_image.view(-1, *[1] * (images.dim() - 1))


def any_of(*masks: Tensor) -> list[bool]:
    """Whether each of several masks of one shape holds anywhere; a device is waited for once."""
    found: list[bool] = torch.stack(masks).flatten(1).any(1).tolist()
    return found
