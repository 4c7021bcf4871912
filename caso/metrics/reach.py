"""How far the expansion of the loss predicts it: the radius up to which its error stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from caso.arguments import Count, CountOrZero, Fraction, NotNegative, one_of
from caso.curvature import QuadraticModel, quadratic_model
from caso.curvature.first_order import first_order
from caso.linalg import like_images, norms
from caso.metrics.case import Case
from caso.metrics.curvature import prepared
from caso.metrics.metric import Metric, Score
from caso.network import Prepared
from caso.network.capture import differentiable_kernels
from caso.smoothing import noisy_copies, smoothed

_SENTENCE = (
    "Root mean square change of the pixels, in grey levels of 255, up to which {} of the change of the cross-entropy of"
    " the explained class is within `tolerance` of the true change: of `steps` step sizes, spaced geometrically from"
    " 1/100 000 to 1 of the way, the largest before the first at which it is not; 0 where it is at none, or there is no"
    " direction. The way is to a blurred image (direction=blur; direction=regions: within each region alone, and the"
    " median over them), or as long, along the map (direction=map). Pixels may leave [0, 1]."
)
_LEVELS = 255
_ROUNDING = 8
"""Units in the last place of the largest logit: changes below are rounding."""


@dataclass(frozen=True)
class _Radius(Metric):
    """The radius up to which an expansion of the loss predicts it.

    Attributes:
        direction: map, blur or regions.
        tolerance: of the prediction's relative error.
        steps: step sizes.
        samples: noisy copies over which gradient and Hessian are means; 0 for those of the image itself.
        stddev: of the noise, as a fraction of the image's range.
        seed: of the noise.
    """

    second_order: ClassVar[bool]

    direction: Annotated[str, one_of("map", "blur", "regions")] = "map"
    tolerance: Fraction = 0.2
    steps: Count = 31
    samples: CountOrZero = 0
    stddev: NotNegative = 0.15
    seed: int = 0

    family = "reach"
    higher_is_better = None
    range = (0.0, None)
    axes = ("fraction of the way", "relative error of the prediction")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Regions, with direction=regions."""
        return ("regions",) if self.direction == "regions" else ()

    @property
    def passes(self) -> int:
        """One a step, one for the image, and the expansion's; with direction=regions the steps for each region."""
        return self.steps + 2 + (1 + self.second_order) * self.samples + (self.second_order and not self.samples)

    @property
    def backward_passes(self) -> int:
        """One for the gradient, and to second order two for a product with the Hessian (a region)."""
        return (1 + 2 * self.second_order) * max(1, self.samples)

    def _score(self, case: Case) -> Score:
        ways = list(self._ways(case))
        slopes, curvatures = self._expansion(case, ways)
        fractions = torch.logspace(-5, 0, self.steps, dtype=torch.float64, device=case.images.device)
        found = [
            self._along(case, way, slope, curvature, fractions)
            for way, slope, curvature in zip(ways, slopes, curvatures, strict=True)
        ]
        radii, errors = torch.stack([radius for radius, _ in found]), torch.stack([error for _, error in found])
        # Without a direction (a map of zeros, say) nothing is predicted.
        return Score(radii.nanmedian(0).values.nan_to_num(0), errors.nanmedian(0).values.nan_to_num(0), fractions)

    def _ways(self, case: Case) -> list[Tensor]:
        """Whole ways from the images, each `[B, C, H, W]`."""
        blurred = case.substrate("blur") - case.images
        if self.direction == "blur":
            return [blurred]
        if self.direction == "map":
            length = norms(blurred.flatten(1)) / norms(case.maps.flatten(1))
            return [case.maps * like_images(length.nan_to_num(0, 0, 0), case.maps).to(case.maps.dtype)]
        assert case.regions is not None
        return [blurred * (case.regions == label)[:, None] for label in range(int(case.regions.max()) + 1)]

    def _expansion(self, case: Case, ways: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Directional derivatives of the loss along the ways: `[n, B]` each, first and (to second order) second."""
        dtype = torch.promote_types(case.images.dtype, torch.float32)

        def chunk(rows: slice) -> Tensor:
            # Copies: what was made in inference mode cannot enter autograd.
            images, targets = case.images[rows].detach().clone().to(dtype), case.targets[rows].clone()
            model = self._model(network, images, targets, case.gradient_chunks.size or 1)
            found = []
            for way in ways:
                v = way[rows].detach().clone().to(dtype)
                product = model.hvp(v) if self.second_order else torch.zeros_like(v)
                found.append(
                    torch.stack([(of.double() * v.double()).flatten(1).sum(1) for of in (model.gradient, product)])
                )
            return torch.stack(found, 2)

        with torch.inference_mode(False), torch.enable_grad(), differentiable_kernels():
            network = prepared(case.network, torch.empty_like(case.images, dtype=dtype))
            slopes, curvatures = torch.cat(case.gradient_chunks.map(chunk, len(case.images)), 1).detach()
        return slopes.T, curvatures.T

    def _model(self, network: Prepared, images: Tensor, targets: Tensor, at_once: int) -> QuadraticModel:
        """The quadratic model of the loss at images, or the mean of its noisy copies, so many in one pass."""

        def of(images: Tensor, targets: Tensor) -> QuadraticModel:
            model = quadratic_model if self.second_order else first_order
            return model(network, network.layout(images), targets)

        if not self.samples:
            return of(images, targets)
        copies = noisy_copies(images, self.samples, self.stddev, self.seed)
        with torch.no_grad():
            logits = network(network.layout(images))
        return smoothed(of, copies, logits, targets, max(1, at_once // len(images)))

    def _along(
        self, case: Case, way: Tensor, slope: Tensor, curvature: Tensor, fractions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Radius `[B]` along a way, and relative errors `[B, S]`; NaN where the way has no length."""

        def copies(image: Tensor, step: Tensor) -> Tensor:
            return case.images[image] + like_images(fractions[step], way).to(way.dtype) * way[image]

        loss = self._loss(case.logits, case.targets)
        logits = case.logits_of_copies(copies, self.steps)
        true = self._loss(logits, case.targets[:, None].expand(-1, self.steps)) - loss[:, None]
        predicted = fractions * slope[:, None] + fractions**2 / 2 * curvature[:, None]
        off = (true - predicted).abs()
        noise = _ROUNDING * torch.finfo(case.logits.dtype).eps * case.logits.double().abs().amax(1)
        within = off <= self.tolerance * true.abs() + noise[:, None]
        steps = within.long().cumprod(1).sum(1)
        reached = torch.where(steps > 0, fractions[(steps - 1).clamp_min(0)], 0.0)
        flat = way.flatten(1)
        changed = (flat != 0).sum(1)
        size = _LEVELS * norms(flat) / changed.clamp_min(1).double().sqrt()
        radius = torch.where(changed > 0, reached * size, torch.nan)
        error = off / true.abs().clamp_min(torch.finfo(torch.float64).tiny)
        return radius, torch.where((changed > 0)[:, None], error.clamp_max(1e6), torch.nan)

    @staticmethod
    def _loss(logits: Tensor, targets: Tensor) -> Tensor:
        return -logits.double().log_softmax(-1).gather(-1, targets[..., None])[..., 0]


@dataclass(frozen=True)
class ValidRadius(_Radius):
    """How far the second-order expansion, on which the maps rest, predicts the loss."""

    second_order = True
    name = "valid_radius"
    source = "chosen here"
    sentence = _SENTENCE.format("the second-order prediction `g'v + v'Hv / 2`")


@dataclass(frozen=True)
class FirstOrderRadius(_Radius):
    """How far the gradient alone predicts the loss."""

    second_order = False
    name = "first_order_radius"
    source = "chosen here"
    sentence = _SENTENCE.format("the first-order prediction `g'v`")
