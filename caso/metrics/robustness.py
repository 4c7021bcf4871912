"""How much a map changes when the image hardly does. These metrics explain again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from caso.metrics.attack import scaled_noise, topk_attack
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score, require
from caso.metrics.similarity import rank_correlation, topk_overlap

_AUTHORS = "as in the experiments of the authors of Singla et al. 2019, arXiv 1902.00407"


@dataclass(frozen=True)
class _UnderNoise(Metric):
    """Similarity under noise of plus or minus epsilon times the pixel.

    Attributes:
        epsilon: size of the noise, relative to the pixel.
        samples: noisy copies whose similarities are averaged; each costs an explanation.
        seed: of the signs of the noise, which are the same for every image.
    """

    epsilon: float = 2 / 255
    samples: int = 1
    seed: int = 0

    family: ClassVar[str] = "robustness"
    higher_is_better: ClassVar[bool] = True
    source: ClassVar[str] = _AUTHORS
    needs: ClassVar[tuple[str, ...]] = ("explain",)

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.epsilon > 0, "epsilon", "a number > 0")
        require(self, self.samples >= 1, "samples", "at least 1")

    @property
    def explanations(self) -> int:
        """One a noisy copy, shared by the metrics with the same noise."""
        return self.samples

    def _noisy_maps(self, case: Case, seed: int) -> Tensor:
        return case.remember(
            ("noise", self.epsilon, seed), lambda: _explained(case, scaled_noise(case.images, self.epsilon, seed))
        )

    def _score(self, case: Case) -> Score:
        seeds = range(self.seed, self.seed + self.samples)
        return Score(torch.stack([self._similarity(case.maps, self._noisy_maps(case, seed)) for seed in seeds]).mean(0))

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class TopKOverlapUnderNoise(_UnderNoise):
    """Fraction of the most relevant pixels that stay so under noise; parameters of `_UnderNoise`, and k.

    Attributes:
        k: pixels that are compared; at most all.
    """

    k: int = 1000

    name: ClassVar[str] = "topk_overlap_noise"
    sentence: ClassVar[str] = (
        "Fraction of the k most relevant pixels that the maps of the image and of its noisy copy have in common; the"
        " noise is plus or minus epsilon times the pixel, clipped to [0, 1]; ties by position, row by row."
    )

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        return topk_overlap(a, b, self.k)


@dataclass(frozen=True)
class RankCorrelationUnderNoise(_UnderNoise):
    """Spearman correlation of the pixels' relevances under noise; parameters of `_UnderNoise`."""

    name: ClassVar[str] = "rank_correlation_noise"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    sentence: ClassVar[str] = (
        "Spearman correlation between the pixels' relevances in the maps of the image and of its noisy copy; the noise"
        " is plus or minus epsilon times the pixel, clipped to [0, 1]; ties share their mean rank; constant maps"
        " correlate 1 with each other and 0 with others."
    )

    def _similarity(self, a: Tensor, b: Tensor) -> Tensor:
        return rank_correlation(a, b)


@dataclass(frozen=True)
class _UnderAttack(Metric):
    """Similarity under the top-k attack.

    Attributes:
        epsilon: largest change of a pixel.
        steps: of the attack.
        attacked: pixels of the original map from which the attack drives the gradient map's mass; at most all.
        halve: where a step would change the predicted class, go back and on with half of it. Otherwise the image stops
            there, as in the authors' experiments: at once, and with a score of 1, where the first step would do that.
    """

    epsilon: float = 2 / 255
    steps: int = 20
    attacked: int = 10_000
    halve: bool = True

    family: ClassVar[str] = "robustness"
    higher_is_better: ClassVar[bool] = True
    source: ClassVar[str] = "Ghorbani, Abid, Zou 2019, arXiv 1710.10547, " + _AUTHORS
    needs: ClassVar[tuple[str, ...]] = ("explain",)

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.epsilon > 0, "epsilon", "a number > 0")
        require(self, self.steps >= 1, "steps", "at least 1")
        require(self, self.attacked >= 1, "attacked", "at least 1")

    @property
    def passes(self) -> int:
        """One for the image and one for each step, each with a gradient of a gradient; shared by both metrics."""
        return self.steps + 1

    @property
    def explanations(self) -> int:
        """That of the attacked image, shared by both metrics."""
        return 1

    def _attacked_maps(self, case: Case) -> Tensor:
        return case.remember(
            ("attack", self.epsilon, self.steps, self.attacked, self.halve),
            lambda: _explained(case, topk_attack(case, self.epsilon, self.steps, self.attacked, self.halve)),
        )


@dataclass(frozen=True)
class TopKOverlapUnderAttack(_UnderAttack):
    """Fraction of the most relevant pixels that stay so under attack; parameters of `_UnderAttack`, and k.

    Attributes:
        k: pixels that are compared; at most all.
    """

    k: int = 1000

    name: ClassVar[str] = "topk_overlap_attack"
    sentence: ClassVar[str] = (
        "Fraction of the k most relevant pixels that the maps of the image and of its attacked copy have in common; the"
        " attack takes sign-gradient steps that lower the share of the cross-entropy gradient's mass on the `attacked`"
        " most relevant pixels of the image's map, and never changes the predicted class."
    )

    def _score(self, case: Case) -> Score:
        return Score(topk_overlap(case.maps, self._attacked_maps(case), self.k))


@dataclass(frozen=True)
class RankCorrelationUnderAttack(_UnderAttack):
    """Spearman correlation of the pixels' relevances under attack; parameters of `_UnderAttack`."""

    name: ClassVar[str] = "rank_correlation_attack"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    sentence: ClassVar[str] = (
        "Spearman correlation between the pixels' relevances in the maps of the image and of its attacked copy; the"
        " attack takes sign-gradient steps that lower the share of the cross-entropy gradient's mass on the `attacked`"
        " most relevant pixels of the image's map, and never changes the predicted class; ties share their mean"
        " rank; constant maps correlate 1 with each other and 0 with others."
    )

    def _score(self, case: Case) -> Score:
        return Score(rank_correlation(case.maps, self._attacked_maps(case)))


@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """Largest relative change of the map in a small cube around the image.

    Attributes:
        radius: half the cube's side, in units of the pixels. Copies are not clipped to [0, 1].
        samples: copies, uniform in the cube; each costs an explanation.
        seed: of the draws, which are the same for every image.
    """

    radius: float = 0.02
    samples: int = 10
    seed: int = 0

    name: ClassVar[str] = "max_sensitivity"
    family: ClassVar[str] = "robustness"
    higher_is_better: ClassVar[bool] = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    source: ClassVar[str] = "Yeh et al. 2019, arXiv 1901.09392, as in Captum's sensitivity_max"
    sentence: ClassVar[str] = (
        "Largest Euclidean distance between the maps of the image and of copies drawn uniformly from a cube around it,"
        " over the norm of the image's map (over 1 where that is zero)."
    )
    needs: ClassVar[tuple[str, ...]] = ("explain",)

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.radius > 0, "radius", "a number > 0")
        require(self, self.samples >= 1, "samples", "at least 1")

    @property
    def explanations(self) -> int:
        """One a copy."""
        return self.samples

    def _score(self, case: Case) -> Score:
        generator = torch.Generator().manual_seed(self.seed)
        maps = case.maps.flatten(1).double()
        size = maps.norm(dim=1)
        worst = torch.zeros_like(size)
        for _ in range(self.samples):
            draw = torch.rand(1, *case.images.shape[1:], generator=generator, dtype=torch.float64)
            copy = case.images + (self.radius * (2 * draw - 1)).to(case.images)
            distance = (_explained(case, copy).flatten(1).double() - maps).norm(dim=1)
            worst = torch.maximum(worst, distance / size.where(size > 0, 1))
        return Score(worst)


def _explained(case: Case, images: Tensor) -> Tensor:
    """Maps of other images, explaining the same classes."""
    assert case.explain is not None
    return case.explain(images, case.targets).detach()
