"""Architectures to look at, with random weights that behave like trained ones."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """One of a library's image classifiers.

    Attributes:
        library: torchvision, its quantization, or timm.
        name: as the library calls it.
        size: height and width of the images, the smallest that shows the network at work.
        options: for the library's builder.
    """

    library: str
    name: str
    size: int = 64
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """Make it with random weights, in eval mode."""
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            if self.library == "timm":
                import timm

                return timm.create_model(self.name, pretrained=False, **self.options).eval()
            from torchvision import models

            source = models.quantization if self.library == "torchvision.quantization" else models
            return getattr(source, self.name)(weights=None, **self.options).eval()


def _of(library: str, size: int, names: str, **options: Any) -> list[Architecture]:
    return [Architecture(library, name, size, options) for name in names.split()]


ARCHITECTURES: list[Architecture] = [
    *_of("torchvision", 64, "resnet18 resnext50_32x4d densenet121 squeezenet1_1 mobilenet_v2"),
    *_of("torchvision", 64, "mnasnet0_5 shufflenet_v2_x0_5 regnet_x_400mf"),
    *_of("torchvision", 64, "googlenet", init_weights=False, aux_logits=False),
    *_of("torchvision", 64, "regnet_y_400mf mobilenet_v3_small efficientnet_b0 convnext_tiny"),
    *_of("torchvision", 64, "vit_b_32", image_size=64),
    *_of("torchvision", 64, "swin_v2_t"),
    *_of("timm", 64, "tf_efficientnet_lite0 resnet10t repvgg_a0 mobileone_s0 dla34 vovnet39a"),
    *_of("timm", 64, "mobilenetv4_conv_small legacy_seresnet18 ecaresnet26t regnety_002 ghostnet_100"),
    *_of("timm", 64, "mobilenetv3_small_050 tf_efficientnetv2_b0 convnext_atto convnextv2_atto nf_regnet_b0"),
    *_of("timm", 64, "mambaout_femto starnet_s1 poolformer_s12 edgenext_xx_small fastvit_t8"),
    *_of("timm", 64, "pvt_v2_b0 mobilenetv4_hybrid_medium"),
    *_of("timm", 64, "mixer_s16_224 gmlp_ti16_224 resmlp_12_224", img_size=64),
    *_of("timm", 64, "vit_tiny_patch16_224 deit_tiny_patch16_224", img_size=64),
    *_of("timm", 64, "swin_tiny_patch4_window7_224", img_size=64, window_size=2),
    *_of("timm", 56, "vit_small_patch14_dinov2 eva02_tiny_patch14_224", img_size=56, num_classes=1000),
    *_of("timm", 64, "vit_small_patch16_dinov3", img_size=64, num_classes=1000),
    *_of("torchvision.quantization", 64, "resnet18 mobilenet_v3_large", quantize=True),
]
"""Convolutional networks that are piecewise linear, others, attention and mixers, and quantised ones."""


@cache
def photographs(size: int) -> Tensor:
    """Eight photographs of scikit-image's wheel as pixels `[N, 3, size, size]` from 0 to 1."""
    from types import SimpleNamespace

    from PIL import Image

    from caso.runner.data import photos
    from caso.runner.models import ResizeAndCrop

    prepare = ResizeAndCrop(size, size, Image.Resampling.BILINEAR)
    return torch.stack([prepare(sample.read()) for sample in list(photos(SimpleNamespace(names=None), 0))[:8]])


class Fitted(nn.Module):
    """A network between a normalisation of the pixels and a scale of the logits."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network; its logits are not scaled yet."""
        super().__init__()
        self.network = network
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `[B, K]` of pixels `[B, 3, H, W]` from 0 to 1."""
        return self.scale * (self.network((pixels - 0.45) / 0.225) - self.shift)


def fitted(network: nn.Module, images: Tensor) -> nn.Module:
    """Give random weights running statistics of the images, and logits with a spread of confidences.

    Without this a random network finds all images alike, or is certain of everything: its Hessian says nothing.

    Args:
        network: with random weights; changed.
        images: pixels `[N, 3, H, W]` from 0 to 1.
    """
    whole = Fitted(network)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        whole(images)
        logits = whole.eval()(images)
        if not (logits - logits.mean(0)).any():  # a head of zeros, where training would start
            nn.init.normal_([m for m in network.modules() if isinstance(m, nn.Linear)][-1].weight)
            logits = whole(images)
        whole.shift = logits.mean(0)
        scales = torch.logspace(-3, 7, 500)
        tops = torch.stack([(s * (logits - whole.shift)).softmax(1).amax(1).median() for s in scales])
        whole.scale = scales[(tops - 0.5).abs().argmin()].clone()
    return whole.requires_grad_(True)


class _HardSigmoid(nn.Module):
    """In terms that PyTorch differentiates twice."""

    def forward(self, x: Tensor) -> Tensor:
        """Shaped like `x`."""
        return nn.functional.relu6(x + 3) / 6


def in_float64(network: nn.Module) -> nn.Module:
    """A copy in float64, where PyTorch has second derivatives of everything."""
    twin = copy.deepcopy(network).double()
    for module in list(twin.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(module, name, _HardSigmoid())
    return twin
