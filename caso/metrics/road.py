"""ROAD, remove and debias: Rong, Leemann, Borisov, Kasneci, Kasneci, ICML 2022, arXiv 2202.00449."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.imputation import impute
from caso.metrics.metric import Metric, Score, require

_SENTENCE = (
    "Mean over the fractions of the softmax probability of the class (measure=probability), or of whether it is still"
    " the predicted one (measure=accuracy), after that fraction of the pixels, {} first, is replaced by noisy linear"
    " imputation; relevance is the sum of the map's magnitudes over the channels, ties by position, row by row."
)


@dataclass(frozen=True)
class _Road(Metric):
    """What both orders share.

    Attributes:
        fractions: of the pixels that are removed, each between 0 and 1; the number of pixels is rounded down.
        noise: standard deviation of the noise that is added to imputed pixels.
        measure: probability of the class, or accuracy: 1 where it is still predicted, else 0.
        of: the class that is followed: predicted (for the untouched image) or target.
        seed: of the noise; the draws are the same for every image and fraction.
    """

    fractions: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    noise: float = 0.01
    measure: str = "probability"
    of: str = "predicted"
    seed: int = 0

    family: ClassVar[str] = "faithfulness"
    source: ClassVar[str] = "Rong, Leemann, Borisov, Kasneci, Kasneci 2022, arXiv 2202.00449"
    axes: ClassVar[tuple[str, ...]] = ("fraction of pixels removed", "probability, or accuracy")

    def __post_init__(self) -> None:
        """Check the parameters; a list of fractions becomes a tuple."""
        object.__setattr__(self, "fractions", tuple(self.fractions))
        fine = len(self.fractions) > 0 and all(0 < fraction < 1 for fraction in self.fractions)
        require(self, fine, "fractions", "at least one number, each between 0 and 1")
        require(self, self.noise >= 0, "noise", "a number >= 0")
        require(self, self.measure in ("probability", "accuracy"), "measure", "probability or accuracy")
        require(self, self.of in ("predicted", "target"), "of", "predicted or target")

    @property
    def passes(self) -> int:
        """One for each fraction; one more, shared by all metrics, for the untouched image."""
        return len(self.fractions) + 1

    def _removing(self, case: Case, places: Tensor) -> Score:
        images, batch = case.images, len(case.images)
        counts = torch.tensor([int(fraction * case.pixels) for fraction in self.fractions], device=images.device)
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(1, *images.shape[1:], generator=generator, dtype=torch.float64)
        noise = (self.noise * noise).to(images)

        def copies(rows: slice) -> Tensor:
            # Fraction by fraction, not image by image: systems of like size converge together.
            index = torch.arange(rows.start, rows.stop, device=images.device)
            image, step = index % batch, index // batch
            removed = (places[image] < counts[step, None]).view(-1, 1, *images.shape[2:])
            return impute(images[image], removed) + removed * noise

        logits = case.run(copies, batch * len(counts))
        classes = case.classes(self.of).repeat(len(counts))
        if self.measure == "accuracy":
            # A network that gives NaN predicts nothing.
            found = torch.where(logits.isnan().any(1), torch.nan, (logits.argmax(1) == classes).double())
        else:
            found = logits.double().softmax(1).gather(1, classes[:, None])[:, 0]
        curve = found.view(len(counts), batch).T
        return Score(curve.mean(1), curve, torch.tensor(self.fractions, dtype=torch.float64, device=curve.device))


@dataclass(frozen=True)
class RoadMostRelevantFirst(_Road):
    """Mean probability while the most relevant pixels are removed; parameters as in `_Road`'s attributes."""

    name: ClassVar[str] = "road_morf"
    higher_is_better: ClassVar[bool] = False
    sentence: ClassVar[str] = _SENTENCE.format("the most relevant")

    def _score(self, case: Case) -> Score:
        return self._removing(case, case.places)


@dataclass(frozen=True)
class RoadLeastRelevantFirst(_Road):
    """Mean probability while the least relevant pixels are removed, in the reverse order."""

    name: ClassVar[str] = "road_lerf"
    higher_is_better: ClassVar[bool] = True
    sentence: ClassVar[str] = _SENTENCE.format("the least relevant")

    def _score(self, case: Case) -> Score:
        return self._removing(case, case.pixels - 1 - case.places)
