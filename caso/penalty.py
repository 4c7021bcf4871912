"""The sparse penalty of the explanation problem: over single entries, or over groups of them.

    lambda1 |D|_1                                    single entries (Singla et al. 2019, arXiv 1902.00407)
    lambda1 sum over groups w_G |D_G|_2              groups, w_G = sqrt(|G|) (the group lasso: Yuan and Lin 2006)

With groups of one entry each, the second is the first. Whatever a solver needs of a penalty is a method here: its
proximal operator, that operator's generalised Jacobian, the subgradient of an optimality condition, and the values of
lambda1 at which parts leave the zero map. Every row of a batch `[B, d]` is one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

_ROUNDING = 1 + 4 * torch.finfo(torch.float64).eps


class Penalty(Protocol):
    """What solvers ask of a penalty. `lambda1` is `[B]` throughout, and maps are `[B, d]`."""

    def value(self, delta: Tensor) -> Tensor:
        """The penalty at lambda1 = 1, float64 `[B]`."""

    def threshold(self, y: Tensor, lambda1: Tensor) -> Tensor:
        """The proximal operator of `lambda1` times the penalty at `y` `[B, d]`: shrink towards zero, and stay there."""

    def jacobian(self, vectors: Tensor, thresholded: Tensor, lambda1: Tensor) -> Tensor:
        """An element of `threshold`'s generalised Jacobian, where `thresholded` is its value, times `vectors`.

        It is symmetric, with eigenvalues in [0, 1].

        Args:
            vectors: `[B, m, d]`.
            thresholded: what `threshold` gave, `[B, d]`.
            lambda1: at which it did.
        """

    def subgradient(self, delta: Tensor, pull: Tensor, lambda1: Tensor) -> Tensor:
        """Of `lambda1` times the penalty at `delta`, the subgradient that is nearest to `pull` `[B, d]`: `[B, d]`."""

    def entering(self, gradient: Tensor) -> Tensor:
        """The lambda1 at and above which each entry or group of a first-order map is zero, float64 `[B, parts]`."""

    def at_zeros(self, gradient: Tensor, zeros: int) -> Tensor:
        """The smallest lambda1 at which a first-order map has at least `zeros` zero entries, float64 `[B]`."""

    def restrict(self, images: Tensor | slice) -> Self:
        """The penalty of some of the images."""


def largest_lambda1(penalty: Penalty, gradient: Tensor) -> Tensor:
    """The lambda1 at and above which the first-order map of gradients `[B, d]` is zero, float64 `[B]`."""
    return penalty.entering(gradient).nan_to_num().amax(1)


@dataclass(frozen=True)
class Entries:
    """The L1 norm: every entry by itself."""

    def value(self, delta: Tensor) -> Tensor:
        """`|D|_1`."""
        return torch.linalg.vector_norm(delta, 1, dim=-1, dtype=torch.float64)

    def threshold(self, y: Tensor, lambda1: Tensor) -> Tensor:
        """Soft thresholding."""
        limit = lambda1.to(y.dtype)[:, None]
        return y - torch.maximum(torch.minimum(y, limit), -limit)

    def jacobian(self, vectors: Tensor, thresholded: Tensor, lambda1: Tensor) -> Tensor:
        """The projection on the support."""
        return vectors * (thresholded != 0)[:, None]

    def subgradient(self, delta: Tensor, pull: Tensor, lambda1: Tensor) -> Tensor:
        """`lambda1 sign D` on the support, elsewhere `pull` clipped to `lambda1`."""
        limit = lambda1.to(delta.dtype)[:, None]
        return torch.where(delta != 0, limit * delta.sign(), torch.clamp(pull, -limit, limit))

    def entering(self, gradient: Tensor) -> Tensor:
        """`|g|`."""
        return gradient.abs().double()

    def at_zeros(self, gradient: Tensor, zeros: int) -> Tensor:
        """That quantile of `|g|`."""
        if zeros == 0:
            return torch.zeros(len(gradient), dtype=torch.float64, device=gradient.device)
        return gradient.abs().nan_to_num().kthvalue(zeros, dim=1).values.double()

    def restrict(self, images: Tensor | slice) -> Entries:
        """Itself: it is the same for every image."""
        return self


@dataclass(frozen=True, eq=False)
class Groups:
    """The group lasso's norm, `sum over G of w_G |D_G|_2`. Entries of no group are zero in every map.

    Attributes:
        labels: the group of each entry, from 0 to the largest; `count` for entries of no group; `[B, d]`.
        sizes: entries in each group, 0 for groups that an image lacks, `[B, count]`.
    """

    labels: Tensor
    sizes: Tensor

    @staticmethod
    def of(labels: Tensor) -> Groups:
        """The groups of labels `[B, d]`, whole numbers; negative ones stand for no group."""
        count = int(labels.max().clamp_min(-1)) + 1
        labels = torch.where(labels < 0, count, labels)
        sizes = torch.zeros(len(labels), count + 1, dtype=torch.long, device=labels.device)
        sizes.scatter_add_(1, labels, torch.ones_like(labels))
        return Groups(labels, sizes[:, :count])

    @property
    def count(self) -> int:
        """Groups of the image that has most."""
        return self.sizes.shape[1]

    @property
    def weights(self) -> Tensor:
        """`w_G = sqrt(|G|)`, float64 `[B, count]`."""
        return self.sizes.double().sqrt()

    def sums(self, values: Tensor) -> Tensor:
        """Sums over the groups, float64: `[B, d]` to `[B, count]`."""
        total = torch.zeros(len(values), self.count + 1, dtype=torch.float64, device=values.device)
        return total.scatter_add_(1, self.labels, values.double())[:, :-1]

    def norms(self, values: Tensor) -> Tensor:
        """Euclidean norms of the groups, float64: `[B, d]` to `[B, count]`."""
        return self.sums(values.double().square()).sqrt()

    def spread(self, values: Tensor, outside: float = 0.0) -> Tensor:
        """Each group's value at all its entries, `[B, count]` to `[B, d]`; `outside` for entries of no group."""
        padded = torch.cat([values, torch.full_like(values[:, :1], outside)], 1)
        return padded.gather(1, self.labels)

    def value(self, delta: Tensor) -> Tensor:
        """`sum over G of w_G |D_G|`."""
        return (self.weights * self.norms(delta)).sum(1)

    def threshold(self, y: Tensor, lambda1: Tensor) -> Tensor:
        """Each group times `max(0, 1 - lambda1 w_G / |y_G|)`."""
        norm = self.norms(y)
        scale = (1 - lambda1.double()[:, None] * self.weights / norm).nan_to_num(0).clamp_min(0)
        return y * self.spread(scale.to(y.dtype))

    def jacobian(self, vectors: Tensor, thresholded: Tensor, lambda1: Tensor) -> Tensor:
        """`a I + (1 - a) u u'` for a group that is not zero, `u` its direction and `a = 1 - lambda1 w_G / |y_G|`."""
        norm = self.norms(thresholded)
        active = norm > 0
        limit = lambda1.double()[:, None] * self.weights
        kept = torch.where(active, norm / (norm + limit), 0)
        unit = thresholded * self.spread((1 / norm).where(active, 0).to(thresholded.dtype))
        shrunk = vectors * self.spread(kept.to(vectors.dtype))[:, None]
        for row in range(vectors.shape[1]):
            along = (torch.where(active, 1 - kept, 0) * self.sums(vectors[:, row] * unit)).to(vectors.dtype)
            shrunk[:, row] += self.spread(along) * unit
        return shrunk

    def subgradient(self, delta: Tensor, pull: Tensor, lambda1: Tensor) -> Tensor:
        """`lambda1 w_G D_G / |D_G|` on the support, elsewhere `pull` shortened to `lambda1 w_G`.

        For entries of no group, `pull` itself: nothing pulls them out of the zero map.
        """
        norm, limit = self.norms(delta), lambda1.double()[:, None] * self.weights
        along_delta = delta * self.spread((limit / norm).where(norm > 0, 0).to(delta.dtype))
        shortened = (limit / self.norms(pull)).nan_to_num(1).clamp_max(1).where(norm == 0, 0)
        return along_delta + pull * self.spread(shortened.to(pull.dtype), outside=1.0)

    def entering(self, gradient: Tensor) -> Tensor:
        """`|g_G| / w_G`; 0 for groups without entries."""
        return (self.norms(gradient) / self.weights).nan_to_num(0) * _ROUNDING

    def at_zeros(self, gradient: Tensor, zeros: int) -> Tensor:
        """The first of the groups' thresholds up to which so many entries lie."""
        values, order = self.entering(gradient.nan_to_num()).sort(dim=1)
        below = self.sizes.gather(1, order).cumsum(1) + (self.labels == self.count).sum(1, keepdim=True)
        column = (below < zeros).sum(1, keepdim=True).clamp_max(self.count - 1)
        return values.gather(1, column)[:, 0] if zeros else torch.zeros_like(values[:, 0])

    def at_kept(self, gradient: Tensor, keep: int) -> Tensor:
        """The smallest lambda1 at which a first-order map has at most `keep` groups, float64 `[B]`."""
        values = self.entering(gradient.nan_to_num()).sort(dim=1, descending=True).values
        return values[:, keep] if keep < self.count else torch.zeros_like(values[:, 0])

    def restrict(self, images: Tensor | slice) -> Groups:
        """The groups of some of the images."""
        return Groups(self.labels[images], self.sizes[images])


ENTRIES = Entries()
"""The penalty where no groups are given."""


def penalty_of(labels: Tensor | None) -> Entries | Groups:
    """The penalty over groups of labels `[B, d]`; over single entries for None, or where every group is one entry."""
    if labels is None:
        return ENTRIES
    groups = Groups.of(labels)
    single = bool((groups.sizes <= 1).all()) and not bool((groups.labels == groups.count).any())
    return ENTRIES if single else groups
