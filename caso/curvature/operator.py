"""The Hessians of a batch of images as one linear operator, known by its products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""Maps directions `[B, ...]`, shaped like the images, to Hessian-vector products `[B, ...]`, image by image."""


@dataclass(frozen=True, eq=False)
class HessianOperator:
    """The Hessian of each image's loss with respect to its pixels: `B` symmetric matrices `[d, d]`, never formed.

    `H @ v` is the Hessian-vector product (HVP) of each image. Directions may be shaped like the images, `[B, ...]`, or
    flat, `[B, d]`; products come back in the same shape.

    Attributes:
        images: shape of the batch of images, `(B, ...)`.
        dtype: of the pixels, and of products.
        device: on which products are computed.
        product: computes products of directions shaped like the images.
        product_of: gives `product` for some of the images, by their index `[b]`; None where products of all images must
            be computed together.
        factors: `[B, K, d]`, whose Gram product `factors' factors` is the Hessian, where they were formed.
        relative_error: of a product in this precision, as a fraction of its norm, where it was measured.
    """

    images: torch.Size
    dtype: torch.dtype
    device: torch.device
    product: Product
    product_of: Callable[[Tensor], Product] | None = None
    factors: Tensor | None = None
    relative_error: float | None = None

    @property
    def shape(self) -> torch.Size:
        """`(B, d, d)`."""
        pixels = self.images[1:].numel()
        return torch.Size((self.images[0], pixels, pixels))

    def __matmul__(self, v: Tensor) -> Tensor:
        """The Hessian-vector product of each image's direction."""
        if v.shape == self.images:
            return self.product(v)
        return self.product(v.reshape(self.images)).reshape(v.shape)

    def restrict(self, index: Tensor) -> HessianOperator:
        """The Hessians of the images `index` `[b]`, in that order."""
        images = torch.Size((len(index), *self.images[1:]))
        factors = None if self.factors is None else self.factors[index]
        product = self._padded(index) if self.product_of is None else self.product_of(index)
        return HessianOperator(images, self.dtype, self.device, product, None, factors, self.relative_error)

    def _padded(self, index: Tensor) -> Product:
        """Products of some images by those of all: a retained autograd graph computes all whatever is asked of it."""

        def product(v: Tensor) -> Tensor:
            return self.product(v.new_zeros(self.images).index_copy(0, index, v))[index]

        return product


def hessian(
    gradient: Tensor,
    product: Product,
    product_of: Callable[[Tensor], Product] | None = None,
    factors: Tensor | None = None,
    relative_error: float | None = None,
) -> HessianOperator:
    """Make the operator of images like `gradient` `[B, ...]`; the others are the attributes of `HessianOperator`."""
    like = gradient.shape, gradient.dtype, gradient.device
    return HessianOperator(*like, product, product_of, factors, relative_error)
