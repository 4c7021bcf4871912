"""Infidelity: Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (In)fidelity and Sensitivity of Explanations", 2019."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score, require


@dataclass(frozen=True)
class Infidelity(Metric):
    """How badly the best multiple of a map predicts what noise does to the probability.

    Attributes:
        samples: noisy copies an image.
        stddev: of their Gaussian noise, in units of the pixels. Copies are not clipped to [0, 1].
        of: the class whose probability is followed: predicted (for the untouched image) or target.
        seed: of the noise; the draws are the same for every image.
    """

    samples: int = 64
    stddev: float = 0.1
    of: str = "target"
    seed: int = 0

    name: ClassVar[str] = "infidelity"
    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    source: ClassVar[str] = "Yeh et al. 2019, arXiv 1901.09392, normalised as in Captum's infidelity(normalize=True)"
    sentence: ClassVar[str] = (
        "Mean over Gaussian noise I of (b I'A - (f(x) - f(x - I)))^2, with A the map, f the softmax probability of the"
        " class, and b the factor that makes it smallest (0 for a map that is zero)."
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        require(self, self.samples >= 1, "samples", "at least 1")
        require(self, self.stddev > 0, "stddev", "a number > 0")
        require(self, self.of in ("predicted", "target"), "of", "predicted or target")

    @property
    def passes(self) -> int:
        """One for each noisy copy; one more, shared by all metrics, for the untouched image."""
        return self.samples + 1

    def _score(self, case: Case) -> Score:
        noise = _noise(case.images, self.samples, self.stddev, self.seed)

        def copies(rows: slice) -> Tensor:
            index = torch.arange(rows.start, rows.stop, device=noise.device)
            return case.images[index // self.samples] - noise[index % self.samples]

        classes = case.classes(self.of)
        logits = case.run(copies, len(case.images) * self.samples)
        chosen = classes.repeat_interleave(self.samples)[:, None]
        noisy = logits.double().softmax(1).gather(1, chosen).view(-1, self.samples)
        drop = case.logits.double().softmax(1).gather(1, classes[:, None]) - noisy
        # A peak of 1: squares of tiny maps would underflow; the factor b makes up for it.
        maps = case.maps.flatten(1).nan_to_num(0, 0, 0)
        peak = maps.abs().amax(1, keepdim=True)
        predicted = (maps / peak.where(peak > 0, 1)).double() @ noise.flatten(1).double().T
        square = predicted.square().sum(1)
        factor = (predicted * drop).sum(1) / square.where(square > 0, 1)
        return Score((factor[:, None] * predicted - drop).square().mean(1))


def _noise(images: Tensor, samples: int, stddev: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(samples, *images.shape[1:], generator=generator, dtype=torch.float64)
    return (stddev * noise).to(images)
