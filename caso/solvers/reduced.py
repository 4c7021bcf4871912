"""The whole problem in as many unknowns as the Hessian's approximation has directions.

With `H ~ W' diag(s) W` (`W` `[m, d]`, signs `s`), the optimality conditions read `D = soft(g + W'z, lambda1) / l2` with
`z = diag(s) W D`, that is, `F(z) = z - diag(s) W soft(g + W'z, lambda1) / l2 = 0`: m equations which touch no network.
`soft` is the penalty's proximal operator, piecewise linear for single entries. For groups, too, its Jacobian is
symmetric with eigenvalues in [0, 1], which is all that is used here. (For the principle: Becker and Fadili, "A
quasi-Newton proximal splitting method", 2012.)
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from caso.linalg import dots, norms
from caso.penalty import Penalty
from caso.solvers.nystrom import NystromApproximation


@dataclass
class Iterate:
    """A point `z` of each image, and what has been computed there.

    Attributes:
        z: `[B, m]`.
        residual: `F(z)`, `[B, m]`.
        residual_norm: `[B]`.
        lambda1: `[B]`.
        thresholded: `soft(g + W'z, lambda1)`, `[B, d]`: the map times `l2`.
        projections: its inner products with `HV`, `[B, m]`.
    """

    z: Tensor
    residual: Tensor
    residual_norm: Tensor
    lambda1: Tensor
    thresholded: Tensor
    projections: Tensor

    def replaced(self, other: Iterate, where: Tensor) -> Iterate:
        """Taken from `other` for the images `where` `[B]`."""
        pairs = ((getattr(other, one.name), getattr(self, one.name)) for one in fields(self))
        return Iterate(*(torch.where(where.view(-1, *[1] * (new.dim() - 1)), new, old) for new, old in pairs))


@dataclass(frozen=True)
class ReducedProblem:
    """`F(z) = 0` for a batch. Vectors of pixels stay in the network's dtype, what is summed over them is float64.

    For a positive semidefinite approximation, `F` is the gradient of the strongly convex `merit`. Otherwise that has a
    saddle; `F` is strongly monotone all the same.

    Attributes:
        gradient: `g`, `[B, d]`.
        approximation: of the Hessian.
        l2: effective lambda2, `[B]`.
        penalty: that lambda1 is the weight of.
    """

    gradient: Tensor
    approximation: NystromApproximation
    l2: Tensor
    penalty: Penalty

    def restrict(self, images: slice) -> ReducedProblem:
        """The problem of some images, without copies."""
        approximation, penalty = self.approximation.restrict(images), self.penalty.restrict(images)
        return ReducedProblem(self.gradient[images], approximation, self.l2[images], penalty)

    def at(self, z: Tensor, lambda1: Tensor) -> Iterate:
        """Evaluate `F` for all images: leaving some out would copy the products of the others.

        Args:
            z: `[B, m]`.
            lambda1: `[B]`.
        """
        target = self.gradient + self.approximation.combine(z)
        thresholded = self.penalty.threshold(target, lambda1)
        projections = dots(self.approximation.products, thresholded[:, None])[..., 0]
        residual = z - self.approximation.reduce(projections) / self.l2[:, None]
        return Iterate(z, residual, torch.linalg.vector_norm(residual, dim=1), lambda1, thresholded, projections)

    def merit(self, iterate: Iterate) -> tuple[Tensor, Tensor]:
        """`|z|^2 / 2 - |soft(g + W'z, lambda1)|^2 / (2 l2)`, and its rounding, `[B]`."""
        plus, minus = (iterate.z**2).sum(1) / 2, norms(iterate.thresholded) ** 2 / (2 * self.l2)
        return plus - minus, 4 * torch.finfo(iterate.thresholded.dtype).eps * (plus + minus)

    def rounding(self, iterate: Iterate) -> Tensor:
        """What rounding leaves of `|F|` at a solution, `[B]`."""
        eps = torch.finfo(iterate.thresholded.dtype).eps
        return eps * self.approximation.norm.sqrt() * norms(iterate.thresholded) / self.l2

    def jacobian(self, iterate: Iterate, images: slice) -> Tensor:
        """Elements of the generalised Jacobian of `F` for some images, `I - diag(s) W P W' / l2`: `[b, m, m]`.

        `P` is one of the proximal operator's; for single entries, the projection on the support.
        """
        part = self.restrict(images)
        products, mix, signs = (getattr(part.approximation, name) for name in ("products", "mix", "signs"))
        projected = part.penalty.jacobian(products, iterate.thresholded[images], iterate.lambda1[images])
        identity = torch.eye(mix.shape[1], dtype=mix.dtype, device=mix.device)
        gram, scale = dots(projected, products), (signs / part.l2[:, None])[..., None]
        if len(mix) == 1:  # a processor is faster with matrices than with batches of one
            return (identity - scale[0] * (mix[0] @ gram[0] @ mix[0].mT))[None]
        return identity - scale * (mix @ gram @ mix.mT)

    def contracting_step(self) -> Tensor:
        """Length `[B]` of a step along `-F(z)` that comes nearer to the solution whatever `|F|` does."""
        return 1 / (1 + self.approximation.lowest / self.l2) ** 2
