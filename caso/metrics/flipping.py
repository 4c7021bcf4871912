"""Pixel flipping and the area over the perturbation curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.curves import counts_of_steps, probabilities
from caso.metrics.metric import Metric, Score, require
from caso.metrics.ranking import places
from caso.metrics.substrates import SUBSTRATES


@dataclass(frozen=True)
class PixelFlipping(Metric):
    """Mean probability while whole pixels are flipped, the most relevant first.

    Attributes:
        steps: in which all pixels are flipped; at most as many as pixels.
        substrate: what pixels become: black, mean, blur or noise.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    steps: int = 64
    substrate: str = "black"
    of: str = "target"
    seed: int = 0

    name: ClassVar[str] = "pixel_flipping"
    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    source: ClassVar[str] = "Bach, Binder, Montavon, Klauschen, Müller, Samek, PLoS ONE 10(7), 2015"
    axes: ClassVar[tuple[str, ...]] = ("fraction of pixels flipped", "probability")
    sentence: ClassVar[str] = (
        "Mean over the steps of the softmax probability of the class, after all channels of the most relevant pixels"
        " are set to the substrate, until all are; relevance is the sum of the map's magnitudes over the channels, ties"
        " by position, row by row."
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.steps >= 1, "steps", "at least 1")
        require(self, self.substrate in SUBSTRATES, "substrate", "one of " + ", ".join(SUBSTRATES))
        require(self, self.of in ("predicted", "target"), "of", "predicted or target")

    @property
    def passes(self) -> int:
        """One for each step; one more, shared by all metrics, for the untouched image."""
        return self.steps + 1

    def _score(self, case: Case) -> Score:
        counts = counts_of_steps(case.pixels, self.steps)[1:]
        after = case.substrate(self.substrate, self.seed)
        curve = probabilities(case, case.places, counts, case.images, after, case.classes(self.of))
        return Score(curve.mean(1), curve, (counts.double() / case.pixels).to(curve.device))


@dataclass(frozen=True)
class PerturbationCurve(Metric):
    """Area over the perturbation curve: mean drop of the probability while relevant regions are perturbed.

    Attributes:
        region: side of the square regions, in pixels; those at the right and lower border may be smaller.
        steps: regions that are perturbed, the most relevant first; at most as many as there are.
        substrate: what regions become: black, mean, blur or noise.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    region: int = 9
    steps: int = 100
    substrate: str = "noise"
    of: str = "predicted"
    seed: int = 0

    name: ClassVar[str] = "aopc"
    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    source: ClassVar[str] = "Samek, Binder, Montavon, Bach, Müller 2015, arXiv 1509.06321"
    axes: ClassVar[tuple[str, ...]] = ("regions perturbed", "probability")
    sentence: ClassVar[str] = (
        "Mean over k = 0 to `steps` of the softmax probability of the class for the image, minus that after its k most"
        " relevant regions are set to the substrate; a region's relevance is the sum of the map's magnitudes in it,"
        " ties by position, row by row."
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.region >= 1, "region", "at least 1")
        require(self, self.steps >= 1, "steps", "at least 1")
        require(self, self.substrate in SUBSTRATES, "substrate", "one of " + ", ".join(SUBSTRATES))
        require(self, self.of in ("predicted", "target"), "of", "predicted or target")

    @property
    def passes(self) -> int:
        """One for each point of the curve; one more, shared by all metrics, for the untouched image."""
        return self.steps + 2

    def _score(self, case: Case) -> Score:
        order = _places_of_regions(case.mass.view(-1, *case.images.shape[2:]), self.region)
        counts = torch.arange(min(self.steps, int(order.max()) + 1) + 1)
        after = case.substrate(self.substrate, self.seed)
        curve = probabilities(case, order, counts, case.images, after, case.classes(self.of))
        return Score((curve[:, :1] - curve).mean(1), curve, counts.double().to(curve.device))


def _places_of_regions(mass: Tensor, region: int) -> Tensor:
    """For each pixel of `[B, H, W]` the place of its region in the order of falling sums: `[B, H * W]`."""
    height, width = mass.shape[1:]
    padded = F.pad(mass, (0, -width % region, 0, -height % region))
    sums = padded.unflatten(2, (-1, region)).unflatten(1, (-1, region)).sum((2, 4))
    order = places(sums.flatten(1)).view_as(sums)
    pixels = order.repeat_interleave(region, 1).repeat_interleave(region, 2)
    return pixels[:, :height, :width].flatten(1)
