"""How much a map changes when the image hardly does. These metrics explain again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caso.arguments import Count, Positive
from caso.metrics.attack import topk_attack
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score
from caso.metrics.noise import scaled_noise, uniform_noise
from caso.metrics.ranking import MEAN_RANKS
from caso.metrics.similarity import rank_correlation, topk_overlap

_AUTHORS = "as in the experiments of the authors of Singla et al. 2019, arXiv 1902.00407"
_OVERLAP = "Fraction of the k most relevant pixels that the maps of the image and of its {} copy have in common; "
_CORRELATION = "Spearman correlation between the pixels' relevances in the maps of the image and of its {} copy; "
_NOISE = "the noise is plus or minus epsilon times the pixel, clipped to [0, 1]"
_ATTACK = (
    "the attack takes sign-gradient steps that lower the share of the cross-entropy gradient's mass on the `attacked`"
    " most relevant pixels of the image's map, and never changes the predicted class"
)


@dataclass(frozen=True)
class _Stability(Metric):
    """Mean similarity of an image's map to the maps of perturbed copies.

    Subclasses state the perturbation or the similarity, and metrics combine one of each.

    Attributes:
        epsilon: size of the perturbation.
    """

    epsilon: Positive = 2 / 255

    family = "robustness"
    higher_is_better = True
    needs = ("explain",)

    def _score(self, case: Case) -> Score:
        similarities = [self._similarity(case.maps, maps) for maps in self._perturbed_maps(case)]
        return Score(torch.stack(similarities).mean(0))

    def _perturbed_maps(self, case: Case) -> list[Tensor]:
        raise NotImplementedError

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class _UnderNoise(_Stability):
    """Under noise of plus or minus epsilon times the pixel.

    Attributes:
        epsilon: size of the noise, relative to the pixel.
        samples: noisy copies whose similarities are averaged; each costs an explanation.
        seed: of the signs of the noise, which are the same for every image.
    """

    samples: Count = 1
    seed: int = 0

    source = _AUTHORS

    @property
    def explanations(self) -> int:
        """One a noisy copy, shared by the metrics with the same noise."""
        return self.samples

    def _perturbed_maps(self, case: Case) -> list[Tensor]:
        return [self._noisy_maps(case, seed) for seed in range(self.seed, self.seed + self.samples)]

    def _noisy_maps(self, case: Case, seed: int) -> Tensor:
        return case.remember(
            ("noise", self.epsilon, seed), lambda: case.explained(scaled_noise(case.images, self.epsilon, seed))
        )


@dataclass(frozen=True)
class _UnderAttack(_Stability):
    """Under the top-k attack.

    Attributes:
        epsilon: largest change of a pixel.
        steps: of the attack.
        attacked: pixels of the original map from which the attack drives the gradient map's mass; at most all.
        halve: where a step would change the predicted class, go back and on with half of it. Otherwise the image stops
            there, as in the authors' experiments: at once, and with a score of 1, where the first step would do that.
    """

    steps: Count = 20
    attacked: Count = 10_000
    halve: bool = True

    source = "Ghorbani, Abid, Zou 2019, arXiv 1710.10547, " + _AUTHORS

    @property
    def passes(self) -> int:
        """One for the image and one for each step, each with a gradient of a gradient; shared by both metrics."""
        return self.steps + 1

    def _perturbed_maps(self, case: Case) -> list[Tensor]:
        settings = (self.epsilon, self.steps, self.attacked, self.halve)
        return [case.remember(("attack", *settings), lambda: case.explained(topk_attack(case, *settings)))]


@dataclass(frozen=True)
class _TopKOverlap(_Stability):
    """By the most relevant pixels that two maps have in common.

    Attributes:
        k: pixels that are compared; at most all.
    """

    k: Count = 1000

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        return topk_overlap(a, b, self.k)


@dataclass(frozen=True)
class _RankCorrelation(_Stability):
    """By Spearman's correlation of the pixels' relevances."""

    range = (-1.0, 1.0)

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        return rank_correlation(a, b)


@dataclass(frozen=True)
class TopKOverlapUnderNoise(_TopKOverlap, _UnderNoise):
    """Fraction of the most relevant pixels that stay so under noise."""

    name = "topk_overlap_noise"
    sentence = _OVERLAP.format("noisy") + f"{_NOISE}; ties by position, row by row."


@dataclass(frozen=True)
class RankCorrelationUnderNoise(_RankCorrelation, _UnderNoise):
    """Spearman correlation of the pixels' relevances under noise."""

    name = "rank_correlation_noise"
    sentence = _CORRELATION.format("noisy") + f"{_NOISE}; {MEAN_RANKS}"


@dataclass(frozen=True)
class TopKOverlapUnderAttack(_TopKOverlap, _UnderAttack):
    """Fraction of the most relevant pixels that stay so under attack."""

    name = "topk_overlap_attack"
    sentence = _OVERLAP.format("attacked") + f"{_ATTACK}."


@dataclass(frozen=True)
class RankCorrelationUnderAttack(_RankCorrelation, _UnderAttack):
    """Spearman correlation of the pixels' relevances under attack."""

    name = "rank_correlation_attack"
    sentence = _CORRELATION.format("attacked") + f"{_ATTACK}; {MEAN_RANKS}"


@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """Largest relative change of the map in a small cube around the image.

    Attributes:
        radius: half the cube's side, in units of the pixels. Copies are not clipped to [0, 1].
        samples: copies, uniform in the cube; each costs an explanation.
        seed: of the draws, which are the same for every image.
    """

    radius: Positive = 0.02
    samples: Count = 10
    seed: int = 0

    name = "max_sensitivity"
    family = "robustness"
    higher_is_better = False
    range = (0.0, None)
    source = "Yeh et al. 2019, arXiv 1901.09392, as in Captum's sensitivity_max"
    sentence = (
        "Largest Euclidean distance between the maps of the image and of copies drawn uniformly from a cube around it,"
        " over the norm of the image's map (over 1 where that is zero)."
    )
    needs = ("explain",)

    @property
    def explanations(self) -> int:
        """One a copy."""
        return self.samples

    def _score(self, case: Case) -> Score:
        maps = case.maps.flatten(1).double()
        size = maps.norm(dim=1)
        worst = torch.zeros_like(size)
        for draw in uniform_noise(case.images, self.samples, self.seed):
            copies = case.images + (self.radius * (2 * draw - 1)).to(case.images)
            distance = (case.explained(copies).flatten(1).double() - maps).norm(dim=1)
            worst = torch.maximum(worst, distance / size.where(size > 0, 1))
        return Score(worst)
