"""IROF, iterative removal of features: Rieger and Hansen 2020, arXiv 2003.08747."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.metric import Followed, Metric, Score
from caso.metrics.substrates import Substrate


@dataclass(frozen=True)
class Irof(Metric):
    """Area over the curve of the class's probability, relative to the image's, while whole regions are removed.

    Attributes:
        substrate: what removed pixels become: black, mean, blur or noise.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    substrate: Substrate = "mean"
    of: Followed = "target"
    seed: int = 0

    name = "irof"
    family = "regions"
    higher_is_better = True
    range = (None, 1.0)
    source = "Rieger, Hansen 2020, arXiv 2003.08747"
    axes = ("fraction of regions removed", "probability over the image's")
    needs = ("regions",)
    sentence = (
        "Mean over k = 0 to the number of regions of 1 minus the softmax probability of the class after the k most"
        " relevant regions are set to the substrate, over that of the image; a region's relevance is the mean of the"
        " map's magnitudes in it, ties by label."
    )

    @property
    def passes(self) -> int:
        """One for each region and one for the image: how many there are, only images tell; 61 for some sixty."""
        return 61

    def _score(self, case: Case) -> Score:
        order, counts = case.region_ranks, case.region_counts
        most = int(counts.max())
        substitutes = case.substrate(self.substrate, self.seed)

        def copies(image: Tensor, step: Tensor) -> Tensor:
            # An image with fewer regions stays whole-removed for the steps beyond.
            removed = (order[image] < step[:, None]).view(-1, 1, *case.images.shape[2:])
            return torch.where(removed, substitutes[image], case.images[image])

        probabilities = case.probabilities(case.logits_of_copies(copies, most + 1), self.of)
        relative = probabilities / probabilities[:, :1]
        steps = torch.arange(most + 1, device=relative.device)
        present = steps <= counts[:, None]
        values = torch.where(present, 1 - relative, 0).sum(1) / (counts + 1)
        # On one axis for all images: the curve at equal fractions of each image's regions.
        fractions = steps.double() / max(most, 1)
        nearest = (fractions * counts[:, None]).round().long()
        return Score(values, relative.gather(1, nearest), fractions)
