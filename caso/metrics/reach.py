"""How far the expansion of the loss predicts it: the radius up to which its error stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from caso.arguments import Count, CountOrZero, Fraction, NotNegative, one_of
from caso.curvature import quadratic_model
from caso.curvature.first_order import first_order
from caso.linalg import like_images, norms
from caso.metrics.case import Case
from caso.metrics.curvature import prepared
from caso.metrics.metric import Metric, Score
from caso.network.capture import differentiable_kernels
from caso.smoothing import noisy_copies

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
        """One a step, which both orders share, and with direction=regions for each region; the image's, the model's."""
        return self.steps + 1 + (1 + self.second_order) * max(1, self.samples)

    @property
    def backward_passes(self) -> int:
        """One for the gradient, and to second order two for a product with the Hessian (for each region)."""
        return (1 + 2 * self.second_order) * max(1, self.samples)

    def _score(self, case: Case) -> Score:
        fractions = torch.logspace(-5, 0, self.steps, dtype=torch.float64, device=case.images.device)
        ways = self._ways(case)
        slopes, curvatures = self._expansion(case, ways)
        predicted = fractions * slopes[..., None] + fractions**2 / 2 * curvatures[..., None]
        # The true changes are most of the cost, and those of either order are the same.
        share = case.remember if self.direction == "map" else case.share
        true = share((self.direction, self.steps), lambda: _changes_of_the_loss(case, ways, fractions))
        found = [self._reached(case, *of, fractions) for of in zip(ways, predicted, true, strict=True)]
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

    def _expansion(self, case: Case, ways: list[Tensor]) -> Tensor:
        """Directional derivatives of the loss along the ways, or their means over noisy copies: `[2, n, B]`.

        First derivatives, and (to second order) second ones. Copies go through the network as further images do, so
        that never more of them than of images are differentiated at once.
        """
        dtype = torch.promote_types(case.images.dtype, torch.float32)
        batch, copies = len(case.images), max(1, self.samples)
        quadratic = quadratic_model if self.second_order else first_order

        def along(rows: slice) -> Tensor:
            origin = torch.arange(rows.start, rows.stop, device=case.images.device) % batch
            model = quadratic(network, network.layout(images[rows]), case.targets[origin].clone())
            found = []
            for way in ways:
                v = way[origin].detach().clone().to(dtype)
                product = model.hvp(v) if self.second_order else torch.zeros_like(v)
                found.append(torch.stack([_dots(model.gradient, v), _dots(product, v)]))
            return torch.stack(found, 1).detach()

        with torch.inference_mode(False), torch.enable_grad(), differentiable_kernels():
            # A copy: what was made in inference mode cannot enter autograd.
            images = case.images.detach().clone().to(dtype)
            network = prepared(case.network, torch.empty_like(images))
            if self.samples:
                images = noisy_copies(images, self.samples, self.stddev, self.seed).flatten(0, 1)
            derivatives = torch.cat(case.gradient_chunks.map(along, copies * batch), 2)
        return derivatives.unflatten(2, (copies, batch)).mean(2)

    def _reached(
        self, case: Case, way: Tensor, predicted: Tensor, true: Tensor, fractions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Radius `[B]` along a way, and relative errors `[B, S]`; NaN where the way has no length."""
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


def _changes_of_the_loss(case: Case, ways: list[Tensor], fractions: Tensor) -> Tensor:
    """True changes of the loss at fractions `[S]` of each way: `[n, B, S]`."""
    start, steps = _loss(case.logits, case.targets), len(fractions)
    changes = []
    for way in ways:

        def copies(image: Tensor, step: Tensor, way: Tensor = way) -> Tensor:
            return case.images[image] + like_images(fractions[step], way).to(way.dtype) * way[image]

        logits = case.logits_of_copies(copies, steps)
        changes.append(_loss(logits, case.targets[:, None].expand(-1, steps)) - start[:, None])
    return torch.stack(changes)


def _dots(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each image's two tensors, in float64: `[B]`."""
    return (a.double() * b.double()).flatten(1).sum(1)


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
