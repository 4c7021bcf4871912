"""The probability of a class while an image's pixels change: insertion, deletion, pixel flipping and AOPC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from caso.arguments import Count
from caso.metrics.case import Case
from caso.metrics.metric import Followed, Metric, Score
from caso.metrics.ranking import RELEVANCE, ranks
from caso.metrics.substrates import Substrate

_AREA = (
    "Area, by the trapezoidal rule over the fraction of pixels, under the softmax probability of the class while {},"
    " the most relevant first; " + RELEVANCE
)


@dataclass(frozen=True)
class _ProbabilityCurve(Metric):
    """A figure of the curve of a class's probability while pixels change, the most relevant first.

    Attributes:
        steps: in which pixels change; at most as many as there are pixels.
        substrate: what removed pixels become: black, mean, blur or noise.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    steps: Count = 224
    substrate: Substrate = "mean"
    of: Followed = "predicted"
    seed: int = 0

    family = "faithfulness"

    @property
    def passes(self) -> int:
        """One for each point of the curve; one more, shared by all metrics, for the untouched image."""
        return self.steps + 2

    def _substitutes(self, case: Case) -> Tensor:
        return case.substrate(self.substrate, self.seed)

    def _probabilities(self, case: Case, ranks: Tensor, counts: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Probability of each image's class after some of its pixels have changed, in float64: `[B, S]`.

        Args:
            case: of B images.
            ranks: of each pixel in the order in which pixels change, `[B, H * W]`.
            counts: how many have changed, `[S]`.
            before: what pixels are at first, `[B, C, H, W]`.
            after: what they change to, `[B, C, H, W]`.
        """
        counts = counts.to(ranks.device)

        def copies(image: Tensor, step: Tensor) -> Tensor:
            changed = (ranks[image] < counts[step, None]).view(-1, 1, *before.shape[2:])
            return torch.where(changed, after[image], before[image])

        return case.probabilities(case.logits_of_copies(copies, len(counts)), self.of)

    def _area(self, case: Case, before: Tensor, after: Tensor) -> Score:
        counts = _counts(case.pixels, self.steps)
        x = (counts.double() / case.pixels).to(before.device)
        curve = self._probabilities(case, case.ranks, counts, before, after)
        return Score(torch.trapezoid(curve, x, dim=1), curve, x)


@dataclass(frozen=True)
class Insertion(_ProbabilityCurve):
    """Area under the probability while the most relevant pixels are put into a blurred image first."""

    substrate: Substrate = "blur"

    name = "insertion"
    higher_is_better = True
    source = "Petsiuk, Das, Saenko 2018, arXiv 1806.07421"
    axes = ("fraction of pixels inserted", "probability")
    sentence = _AREA.format("the image's pixels replace the substrate's")

    def _score(self, case: Case) -> Score:
        return self._area(case, self._substitutes(case), case.images)


@dataclass(frozen=True)
class Deletion(_ProbabilityCurve):
    """Area under the probability while the most relevant pixels are taken out of the image first.

    The source deletes to zeros of the normalised image, which is the mean colour of a data set. As normalisation
    belongs to the network here, the image's own mean colour stands for it.
    """

    name = "deletion"
    higher_is_better = False
    source = Insertion.source
    axes = ("fraction of pixels deleted", "probability")
    sentence = _AREA.format("the substrate's pixels replace the image's")

    def _score(self, case: Case) -> Score:
        return self._area(case, case.images, self._substitutes(case))


@dataclass(frozen=True)
class PixelFlipping(_ProbabilityCurve):
    """Mean probability while whole pixels are flipped, the most relevant first."""

    steps: Count = 64
    substrate: Substrate = "black"
    of: Followed = "target"

    name = "pixel_flipping"
    higher_is_better = False
    source = "Bach, Binder, Montavon, Klauschen, Müller, Samek, PLoS ONE 10(7), 2015"
    axes = ("fraction of pixels flipped", "probability")
    sentence = (
        "Mean over the steps of the softmax probability of the class, after all channels of the most relevant pixels"
        " are set to the substrate, until all are; " + RELEVANCE
    )

    @property
    def passes(self) -> int:
        """One for each step; one more, shared by all metrics, for the untouched image."""
        return self.steps + 1

    def _score(self, case: Case) -> Score:
        counts = _counts(case.pixels, self.steps)[1:]
        curve = self._probabilities(case, case.ranks, counts, case.images, self._substitutes(case))
        return Score(curve.mean(1), curve, (counts.double() / case.pixels).to(curve.device))


@dataclass(frozen=True)
class PerturbationCurve(_ProbabilityCurve):
    """Area over the perturbation curve: mean drop of the probability while relevant regions are perturbed.

    Attributes:
        steps: regions that are perturbed, the most relevant first; at most as many as there are.
        region: side of the square regions, in pixels; those at the right and lower border may be smaller.
    """

    steps: Count = 100
    substrate: Substrate = "noise"
    region: Count = 9

    name = "aopc"
    higher_is_better = True
    range = (-1.0, 1.0)
    source = "Samek, Binder, Montavon, Bach, Müller 2015, arXiv 1509.06321"
    axes = ("regions perturbed", "probability")
    sentence = (
        "Mean over k = 0 to `steps` of the softmax probability of the class for the image, minus that after its k most"
        " relevant regions are set to the substrate; a region's relevance is the sum of the map's magnitudes in it,"
        " ties by position, row by row."
    )

    def _score(self, case: Case) -> Score:
        order = _region_ranks(case.mass.view(-1, *case.images.shape[2:]), self.region)
        counts = torch.arange(min(self.steps, int(order.max()) + 1) + 1)
        curve = self._probabilities(case, order, counts, case.images, self._substitutes(case))
        return Score((curve[:, :1] - curve).mean(1), curve, counts.double().to(curve.device))


def _counts(pixels: int, steps: int) -> Tensor:
    """How many pixels have changed after each of `steps` equal steps, from 0 to all: `[S + 1]`.

    Steps that would change nothing are left out, so that there are at most as many as pixels.
    """
    steps = min(steps, pixels)
    return torch.arange(steps + 1) * pixels // steps


def _region_ranks(mass: Tensor, region: int) -> Tensor:
    """For each pixel of `[B, H, W]` the rank of its region in the order of falling sums: `[B, H * W]`."""
    height, width = mass.shape[1:]
    padded = F.pad(mass, (0, -width % region, 0, -height % region))
    sums = padded.unflatten(2, (-1, region)).unflatten(1, (-1, region)).sum((2, 4))
    order = ranks(sums.flatten(1)).view_as(sums)
    pixels = order.repeat_interleave(region, 1).repeat_interleave(region, 2)
    return pixels[:, :height, :width].flatten(1)
