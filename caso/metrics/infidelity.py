"""Infidelity: Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (In)fidelity and Sensitivity of Explanations", 2019."""

from __future__ import annotations

from dataclasses import dataclass

from caso.arguments import Count, Positive
from caso.metrics.case import Case
from caso.metrics.metric import Followed, Metric, Score
from caso.metrics.noise import normal_noise


@dataclass(frozen=True)
class Infidelity(Metric):
    """How badly the best multiple of a map predicts what noise does to the probability.

    Attributes:
        samples: noisy copies an image.
        stddev: of their Gaussian noise, in units of the pixels. Copies are not clipped to [0, 1].
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of the noise; the draws are the same for every image.
    """

    samples: Count = 64
    stddev: Positive = 0.1
    of: Followed = "target"
    seed: int = 0

    name = "infidelity"
    family = "faithfulness"
    higher_is_better = False
    source = "Yeh et al. 2019, arXiv 1901.09392, normalised as in Captum's infidelity(normalize=True)"
    sentence = (
        "Mean over Gaussian noise I of (b I'A - (f(x) - f(x - I)))^2, with A the map, f the softmax probability of the"
        " class, and b the factor that makes it smallest (0 for a map that is zero)."
    )

    @property
    def passes(self) -> int:
        """One for each noisy copy; one more, shared by all metrics, for the untouched image."""
        return self.samples + 1

    def _score(self, case: Case) -> Score:
        noise = normal_noise(case.images, self.samples, self.stddev, self.seed)
        noisy = case.logits_of_copies(lambda image, draw: case.images[image] - noise[draw], self.samples)
        drop = case.probabilities(case.logits[:, None], self.of) - case.probabilities(noisy, self.of)
        # A peak of 1: squares of tiny maps would underflow; the factor b makes up for it.
        maps = case.maps.flatten(1).nan_to_num(0, 0, 0)
        peak = maps.abs().amax(1, keepdim=True)
        predicted = (maps / peak.where(peak > 0, 1)).double() @ noise.flatten(1).double().T
        square = predicted.square().sum(1)
        factor = (predicted * drop).sum(1) / square.where(square > 0, 1)
        return Score((factor[:, None] * predicted - drop).square().mean(1))
