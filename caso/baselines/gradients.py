"""Methods that Captum computes from plain passes through the network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from caso.arguments import Count, NotNegative, require
from caso.baselines.baseline import CaptumMethod
from caso.smoothing import noisy_copies

_FORWARD = 1 / 3
"""Cost of a forward pass in gradients (a forward and a backward pass, which takes about twice as long)."""


def _saliency(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    from captum.attr import Saliency

    return Saliency(network).attribute(images, target=targets, abs=False)


@dataclass(kw_only=True, eq=False)
class Gradient(CaptumMethod):
    """Signed gradient of the class's logit. Simonyan, Vedaldi, Zisserman 2013, arXiv 1312.6034."""

    name = "gradient"

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        return _saliency(network, images, targets)


@dataclass(kw_only=True, eq=False)
class InputXGradient(CaptumMethod):
    """Gradient times image. Shrikumar, Greenside, Shcherbina, Kundaje 2016, arXiv 1605.01713."""

    name = "input_x_gradient"

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import InputXGradient as Method

        return Method(network).attribute(images, target=targets)


@dataclass(kw_only=True, eq=False)
class IntegratedGradients(CaptumMethod):
    """Image times the mean gradient on the way from a black one. Sundararajan, Taly, Yan 2017, arXiv 1703.01365.

    Attributes:
        n_steps: points on the way.
    """

    n_steps: Count = 50

    name = "integrated_gradients"

    @property
    def gradients(self) -> float:
        """One a point."""
        return float(self.n_steps)

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import IntegratedGradients as Method

        at_once = copies * len(images)
        method = Method(network)
        return method.attribute(images, target=targets, n_steps=self.n_steps, internal_batch_size=at_once)


@dataclass(kw_only=True, eq=False)
class SmoothGrad(CaptumMethod):
    """Mean gradient of noisy copies. Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, arXiv 1706.03825.

    The noise is that of smooth CASO and CAFO: the same draws for every image, scaled by its own range.

    Attributes:
        n_samples: copies.
        stddev: of the noise, as a fraction of the image's largest minus smallest value.
        seed: of the noise.
    """

    n_samples: Count = 16
    stddev: NotNegative = 0.15
    seed: int = 0

    name = "smoothgrad"

    @property
    def gradients(self) -> float:
        """One a copy."""
        return float(self.n_samples)

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        noisy = noisy_copies(images, self.n_samples, self.stddev, self.seed)
        total = torch.zeros_like(images)
        for part in noisy.split(copies):
            maps = _saliency(network, part.flatten(0, 1), targets.repeat(len(part)))
            total += maps.view_as(part).sum(0)
        return total / self.n_samples


@dataclass(kw_only=True, eq=False)
class Occlusion(CaptumMethod):
    """Drop of the class's logit under a black square. Zeiler, Fergus 2013, arXiv 1311.2901.

    Attributes:
        window: side of the square, in pixels; at most that of the image.
        stride: pixels between two squares; at most `window`.
    """

    window: Count = 32
    stride: int = 16
    _gradients: float = field(default=math.nan, init=False, repr=False)

    name = "occlusion"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(1 <= self.stride <= self.window, f"{self.name}: stride", self.stride, "at least 1 and at most window")

    @property
    def gradients(self) -> float:
        """A forward pass a square and one for the image, each a third of a gradient; for the size explained last."""
        return self._gradients

    def _prepared(self, network: nn.Module, image: Tensor) -> nn.Module:
        squares = 1
        for side in image.shape[2:]:
            squares *= 1 + math.ceil((side - min(self.window, side)) / self.stride)
        self._gradients = _FORWARD * (squares + 1)
        return network

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import Occlusion as Method

        channels, *sides = images.shape[1:]
        windows = [min(self.window, side) for side in sides]
        strides = [min(self.stride, window) for window in windows]
        with torch.no_grad():
            return Method(network).attribute(
                images,
                sliding_window_shapes=(channels, *windows),
                strides=(channels, *strides),
                target=targets,
                perturbations_per_eval=copies,
            )
