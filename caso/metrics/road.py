"""ROAD, remove and debias: Rong, Leemann, Borisov, Kasneci, Kasneci, ICML 2022, arXiv 2202.00449."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from caso.arguments import Allowed, NotNegative, one_of
from caso.metrics.case import Case
from caso.metrics.imputation import impute
from caso.metrics.metric import Followed, Metric, Score
from caso.metrics.noise import normal_noise
from caso.metrics.ranking import RELEVANCE

_SENTENCE = (
    "Mean over the fractions of the softmax probability of the class (measure=probability), or of whether it is still"
    " the predicted one (measure=accuracy), after that fraction of the pixels, {} first, is replaced by noisy linear"
    " imputation; " + RELEVANCE
)

_Fractions = Annotated[
    tuple[float, ...],
    Allowed("at least one number, each between 0 and 1", lambda found: found and all(0 < one < 1 for one in found)),
]
_Measure = Annotated[str, one_of("probability", "accuracy")]


@dataclass(frozen=True)
class _Road(Metric):
    """ROAD in either order.

    Attributes:
        fractions: of the pixels that are removed, each between 0 and 1; the number of pixels is rounded down.
        noise: standard deviation of the noise that is added to imputed pixels.
        measure: probability of the class, or accuracy: 1 where it is still predicted, else 0.
        of: the class that is followed: predicted (for the untouched image) or target.
        seed: of the noise; the draws are the same for every image and fraction.
    """

    most_relevant_first: ClassVar[bool]

    fractions: _Fractions = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    noise: NotNegative = 0.01
    measure: _Measure = "probability"
    of: Followed = "predicted"
    seed: int = 0

    family = "faithfulness"
    source = "Rong, Leemann, Borisov, Kasneci, Kasneci 2022, arXiv 2202.00449"
    axes = ("fraction of pixels removed", "probability, or accuracy")

    @property
    def passes(self) -> int:
        """One for each fraction; one more, shared by all metrics, for the untouched image."""
        return len(self.fractions) + 1

    def _score(self, case: Case) -> Score:
        ranks = case.ranks if self.most_relevant_first else case.pixels - 1 - case.ranks
        counts = torch.tensor([int(fraction * case.pixels) for fraction in self.fractions], device=ranks.device)
        noise = normal_noise(case.images, 1, self.noise, self.seed)

        def copies(image: Tensor, step: Tensor) -> Tensor:
            removed = (ranks[image] < counts[step, None]).view(-1, 1, *case.images.shape[2:])
            return impute(case.images[image], removed) + removed * noise

        logits = case.logits_of_copies(copies, len(counts))
        if self.measure == "accuracy":
            # A network that gives NaN predicts nothing.
            same = (logits.argmax(2) == case.classes(self.of)[:, None]).double()
            curve = torch.where(logits.isnan().any(2), torch.nan, same)
        else:
            curve = case.probabilities(logits, self.of)
        return Score(curve.mean(1), curve, torch.tensor(self.fractions, dtype=torch.float64, device=curve.device))


@dataclass(frozen=True)
class RoadMostRelevantFirst(_Road):
    """Mean probability while the most relevant pixels are removed."""

    most_relevant_first = True
    name = "road_morf"
    higher_is_better = False
    sentence = _SENTENCE.format("the most relevant")


@dataclass(frozen=True)
class RoadLeastRelevantFirst(_Road):
    """Mean probability while the least relevant pixels are removed, in the reverse order."""

    most_relevant_first = False
    name = "road_lerf"
    higher_is_better = True
    sentence = _SENTENCE.format("the least relevant")
