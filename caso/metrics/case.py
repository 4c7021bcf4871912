"""The input of a metric: images with their maps, and what metrics share of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from caso.memory import Chunks, forward_batch
from caso.metrics.ranking import pixel_mass, ranks
from caso.metrics.substrates import substrate
from caso.network.capture import pays_channels_last
from caso.penalty import Groups

Network = Callable[[Tensor], Tensor]
Explain = Callable[[Tensor, Tensor], Tensor]
"""Maps `[B, C, H, W]` of images `[B, C, H, W]` and their targets `[B]`."""

_T = TypeVar("_T")


@dataclass(eq=False)
class Case:
    """A batch of images with their maps, and what metrics share of them.

    Attributes:
        network: pixels in [0, 1] to logits, `[B, C, H, W]` to `[B, K]`; in evaluation mode, normalisation inside.
        images: `[B, C, H, W]` in [0, 1].
        maps: signed, shaped like the images.
        targets: class explained, `[B]`.
        explain: the method that made the maps, for metrics that must explain again; else None.
        explain_with: the same method for another network: gives an `explain`; else None.
        regions: labels of the pixels, `[B, H, W]`, -1 for none, where maps are scored region by region; else None.
        chunks: images in one forward pass, halved where memory runs out. Cases that share it also share the size that
            was found to fit.
    """

    network: Network
    images: Tensor
    maps: Tensor
    targets: Tensor
    explain: Explain | None = None
    explain_with: Callable[[Network], Explain] | None = None
    regions: Tensor | None = None
    chunks: Chunks = field(default_factory=lambda: Chunks(None))

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: shapes do not fit.
        """
        if self.images.dim() != 4 or not len(self.images):
            raise ValueError(f"images of shape {tuple(self.images.shape)}: must be a batch [B, C, H, W] of B >= 1")
        if self.maps.shape != self.images.shape:
            raise ValueError(
                f"maps of shape {tuple(self.maps.shape)}: must be shaped like the images {tuple(self.images.shape)}"
            )
        if self.targets.shape != (len(self.images),):
            raise ValueError(f"targets of shape {tuple(self.targets.shape)}: must be one class an image")
        if self.regions is not None and self.regions.shape != (len(self.images), *self.images.shape[2:]):
            raise ValueError(f"regions of shape {tuple(self.regions.shape)}: must be one label a pixel [B, H, W]")
        self.chunks.size = self.chunks.size or forward_batch(self.images.device)
        self._of_maps: dict[object, Any] = {}
        self._of_images: dict[object, Any] = {}

    def with_maps(
        self,
        maps: Tensor,
        explain: Explain | None = None,
        explain_with: Callable[[Network], Explain] | None = None,
    ) -> Case:
        """The same images with other maps: those of another method, or of another value of lambda1.

        Both share what does not depend on the maps: the images' logits, and substitutes for pixels.

        Args:
            maps: shaped like the images.
            explain: the method that made them; else None.
            explain_with: the same method for another network; else None.
        """
        other = Case(self.network, self.images, maps, self.targets, explain, explain_with, self.regions, self.chunks)
        other._of_images = self._of_images
        return other

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.images.shape[2] * self.images.shape[3]

    @cached_property
    def finite(self) -> Tensor:
        """Whether a map holds no NaN and no infinity, `[B]`. Scores of other maps are NaN."""
        return torch.isfinite(self.maps).flatten(1).all(1)

    @cached_property
    def mass(self) -> Tensor:
        """Sum of a map's magnitudes over the channels, `[B, H * W]`, in float64."""
        return pixel_mass(self.maps)

    @cached_property
    def ranks(self) -> Tensor:
        """Rank of each pixel in the order of falling mass, from 0, `[B, H * W]`; ties by position, row by row.

        With regions, all pixels of a region have the rank of the middle one, so that the region changes as a whole once
        half of it is due; regions come in the order of their mean mass, and pixels of none after all others.
        """
        if self.regions is None:
            return ranks(self.mass)
        order = self.region_ranks
        areas = torch.zeros(len(order), self._groups.count + 1, dtype=torch.long, device=order.device)
        areas.scatter_add_(1, order, torch.ones_like(order))
        first = areas.cumsum(1) - areas
        return (first + areas // 2).gather(1, order)

    @cached_property
    def _groups(self) -> Groups:
        assert self.regions is not None
        return Groups.of(self.regions.flatten(1))

    @property
    def region_counts(self) -> Tensor:
        """How many regions each image has, `[B]`."""
        return (self._groups.sizes > 0).sum(1)

    @cached_property
    def region_ranks(self) -> Tensor:
        """For each pixel the rank of its region in the order of falling mean mass, ties by label: `[B, H * W]`.

        Pixels of no region come after all regions of all images.
        """
        groups = self._groups
        means = torch.where(groups.sizes > 0, groups.sums(self.mass) / groups.sizes, -torch.inf)
        return groups.spread(ranks(means), outside=groups.count)

    @cached_property
    def gradient_chunks(self) -> Chunks:
        """Images in one pass that keeps its activations for gradients of gradients."""
        return Chunks(max(1, (self.chunks.size or 1) // 4))

    @property
    def logits(self) -> Tensor:
        """Of the images, `[B, K]`."""
        return self.share("logits", lambda: self._run(lambda rows: self.images[rows], len(self.images)))

    @property
    def predicted(self) -> Tensor:
        """Class with the largest logit, `[B]`."""
        return self.logits.argmax(1)

    def classes(self, of: str) -> Tensor:
        """The classes that a metric follows, `[B]`: those "predicted" for the images, or those explained ("target")."""
        return self.predicted if of == "predicted" else self.targets

    def probabilities(self, logits: Tensor, of: str) -> Tensor:
        """Softmax probabilities, in float64, of the classes that a metric follows: `[B, S, K]` to `[B, S]`."""
        index = torch.arange(len(logits), device=logits.device)
        return logits.double().softmax(2)[index, :, self.classes(of)]

    def substrate(self, name: str, seed: int = 0) -> Tensor:
        """Substitutes for removed pixels, `[B, C, H, W]`; see `caso.metrics.substrates`."""
        return self.share((name, seed), lambda: substrate(name, self.images, seed))

    def logits_of_copies(self, copies: Callable[[Tensor, Tensor], Tensor], count: int) -> Tensor:
        """Logits of altered copies of every image, which are made a chunk at a time: `[B, count, K]`.

        Args:
            copies: makes n copies, on the device, from the indices of their images `[n]` and their numbers `[n]`.
            count: copies an image, numbered from 0.
        """
        batch = len(self.images)

        def chunk(rows: slice) -> Tensor:
            # Number by number, not image by image: ROAD's systems of like size converge together.
            index = torch.arange(rows.start, rows.stop, device=self.images.device)
            return copies(index % batch, index // batch)

        return self._run(chunk, batch * count).unflatten(0, (count, batch)).transpose(0, 1)

    def explained(self, images: Tensor, targets: Tensor | None = None) -> Tensor:
        """Maps by the same method of other images, or of other classes; for metrics that need `explain`."""
        assert self.explain is not None
        return self.explain(images, self.targets if targets is None else targets).detach()

    def _run(self, images: Callable[[slice], Tensor], count: int) -> Tensor:
        """Logits `[count, K]` of images that are made a chunk at a time, by slices of `range(count)`."""
        with torch.no_grad():
            return torch.cat(self.chunks.map(lambda rows: self.network(self._laid_out(images(rows))), count))

    def _laid_out(self, images: Tensor) -> Tensor:
        """The same images in the memory layout that the network is fastest in."""
        network = self.network
        if isinstance(network, nn.Module) and pays_channels_last(network, images):
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def share(self, key: object, compute: Callable[[], _T]) -> _T:
        """Compute something that does not depend on the maps once for all maps of the same images and classes."""
        return _once(self._of_images, key, compute)

    def remember(self, key: object, compute: Callable[[], _T]) -> _T:
        """Compute something that several metrics need only once."""
        return _once(self._of_maps, key, compute)


def _once(results: dict[object, Any], key: object, compute: Callable[[], _T]) -> _T:
    if key not in results:
        results[key] = compute()
    result: _T = results[key]
    return result
