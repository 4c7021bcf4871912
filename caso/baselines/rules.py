"""Methods that Captum computes with hooks on the network's modules. What hooks cannot reach is an error here."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from caso.arguments import require
from caso.baselines.baseline import CaptumMethod
from caso.baselines.modules import ClampedReLU, TwoReLUs, last_convolution, nonlinearities, replace_relu6


@dataclass(kw_only=True, eq=False)
class GuidedBackprop(CaptumMethod):
    """Gradient without negative signals at ReLUs. Springenberg, Dosovitskiy, Brox, Riedmiller 2014, arXiv 1412.6806.

    ReLUs (and ReLU6s) must be modules.
    """

    name = "guided_backprop"

    def _prepared(self, network: nn.Module, image: Tensor) -> nn.Module:
        replace_relu6(network, ClampedReLU)
        calls, outside = nonlinearities(network, image, (nn.ReLU,))
        outside &= {"relu", "hardtanh"}
        self._refuse(bool(outside), f"{', '.join(sorted(outside))} runs outside nn.ReLU and nn.ReLU6 modules")
        self._refuse(not calls, "it has no nn.ReLU or nn.ReLU6 modules")
        return network

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import GuidedBackprop as Method

        return Method(network).attribute(images, target=targets)


@dataclass(kw_only=True, eq=False)
class GradCAM(CaptumMethod):
    """Weighted activations of a late convolution. Selvaraju et al. 2016, arXiv 1610.02391.

    Enlarged bilinearly to the image; every channel of the map is the same.

    Attributes:
        layer: dotted name of the module; None for the convolution that runs last with more than one position.
    """

    layer: str | None = None

    name = "gradcam"

    def _prepared(self, network: nn.Module, image: Tensor) -> nn.Module:
        if self.layer is None:
            found = last_convolution(network, image)
            self._refuse(found is None, "it has no nn.Conv2d with more than one position; name a layer")
            assert found is not None
            self._layer = found
            return network
        modules = dict(network.named_modules())
        require(
            self.layer in modules, f"{self.name}: layer", self.layer, "the dotted name of one of the model's modules"
        )
        self._layer = modules[self.layer]
        return network

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import LayerGradCam as Method

        maps = Method(network, self._layer).attribute(images, target=targets, relu_attributions=True)
        fits = isinstance(maps, Tensor) and maps.dim() == 4
        self._refuse(not fits, "the layer's output is not one tensor [B, C, H, W]")
        return F.interpolate(maps, size=images.shape[2:], mode="bilinear", align_corners=False).expand_as(images)


@dataclass(kw_only=True, eq=False)
class DeepLift(CaptumMethod):
    """DeepLIFT's rescale rule against a black image. Shrikumar, Greenside, Kundaje 2017, arXiv 1704.02685.

    Non-linear functions must be modules that Captum knows (or ReLU6), each used once.
    """

    name = "deeplift"

    @property
    def gradients(self) -> float:
        """That of the image and that of the black one."""
        return 2.0

    def _prepared(self, network: nn.Module, image: Tensor) -> nn.Module:
        from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

        replace_relu6(network, TwoReLUs)
        calls, outside = nonlinearities(network, image, tuple(SUPPORTED_NON_LINEAR))
        known = "modules that it knows (" + ", ".join(kind.__name__ for kind in SUPPORTED_NON_LINEAR) + ", ReLU6)"
        self._refuse(bool(outside), f"{', '.join(sorted(outside))} runs outside {known}")
        again = sorted(name for name, count in calls.items() if count > 1)
        self._refuse(bool(again), f"a module is used more than once ({', '.join(again)})")
        return network

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        from captum.attr import DeepLift as Method

        return Method(network).attribute(images, target=targets)
