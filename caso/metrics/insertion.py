"""Insertion and deletion: Petsiuk, Das, Saenko, "RISE", 2018, arXiv 1806.07421."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.curves import area, counts_of_steps, probabilities
from caso.metrics.metric import Metric, Score, require
from caso.metrics.substrates import SUBSTRATES


@dataclass(frozen=True)
class _Changing(Metric):
    """What insertion and deletion share.

    Attributes:
        steps: in which all pixels are changed; at most as many as pixels.
        substrate: what is there instead of pixels: black, mean, blur or noise.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    steps: int = 224
    substrate: str = "mean"
    of: str = "predicted"
    seed: int = 0

    family: ClassVar[str] = "faithfulness"
    source: ClassVar[str] = "Petsiuk, Das, Saenko 2018, arXiv 1806.07421"

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.steps >= 1, "steps", "at least 1")
        require(self, self.substrate in SUBSTRATES, "substrate", "one of " + ", ".join(SUBSTRATES))
        require(self, self.of in ("predicted", "target"), "of", "predicted or target")

    @property
    def passes(self) -> int:
        """One for each point of the curve; one more, shared by all metrics, for the untouched image."""
        return self.steps + 2

    def _changing(self, case: Case, before: Tensor, after: Tensor) -> Score:
        counts = counts_of_steps(case.pixels, self.steps)
        x = (counts.double() / case.pixels).to(case.images.device)
        curve = probabilities(case, case.places, counts, before, after, case.classes(self.of))
        return Score(area(curve, x), curve, x)


@dataclass(frozen=True)
class Insertion(_Changing):
    """Area under the probability while the most relevant pixels are put into a blurred image first.

    Parameters are those of `Deletion`; the substrate is a blur by default, as in the source.
    """

    substrate: str = "blur"

    name: ClassVar[str] = "insertion"
    higher_is_better: ClassVar[bool] = True
    axes: ClassVar[tuple[str, ...]] = ("fraction of pixels inserted", "probability")
    sentence: ClassVar[str] = (
        "Area, by the trapezoidal rule over the fraction of pixels, under the softmax probability of the class while"
        " the image's pixels replace the substrate's, the most relevant first; relevance is the sum of the map's"
        " magnitudes over the channels, ties by position, row by row."
    )

    def _score(self, case: Case) -> Score:
        return self._changing(case, case.substrate(self.substrate, self.seed), case.images)


@dataclass(frozen=True)
class Deletion(_Changing):
    """Area under the probability while the most relevant pixels are taken out of the image first.

    Attributes:
        steps: in which all pixels are changed; at most as many as pixels.
        substrate: what is there instead of pixels: black, mean, blur or noise. The source deletes to zeros of the
            normalised image, which is the mean colour of a data set; as normalisation belongs to the network here,
            the image's own mean colour stands for it.
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of substrate=noise.
    """

    name: ClassVar[str] = "deletion"
    higher_is_better: ClassVar[bool] = False
    axes: ClassVar[tuple[str, ...]] = ("fraction of pixels deleted", "probability")
    sentence: ClassVar[str] = (
        "Area, by the trapezoidal rule over the fraction of pixels, under the softmax probability of the class while"
        " the substrate's pixels replace the image's, the most relevant first; relevance is the sum of the map's"
        " magnitudes over the channels, ties by position, row by row."
    )

    def _score(self, case: Case) -> Score:
        return self._changing(case, case.images, case.substrate(self.substrate, self.seed))
