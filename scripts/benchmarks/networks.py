"""The networks and the photographs that the benchmark runs on."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from caso.runner.data import photos
from caso.runner.models import MODELS, find_model

NAMES = ("efficientnet_lite0", "resnet50", "vit_b_16")


def _weights_at_hand(name: str) -> str:
    """`DEFAULT` where the weights need no download, else `none`."""
    if name == "efficientnet_lite0":
        return "DEFAULT"
    from torchvision.models import get_model_weights

    file = get_model_weights(name).DEFAULT.url.rsplit("/", 1)[-1]
    return "DEFAULT" if (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file() else "none"


def _plausible(network: nn.Module, images: Tensor) -> None:
    """Give random weights the photographs' running statistics, and confidences from 0.96 down to 0.12.

    A random network finds all photographs alike. Scaling its logits until it does not would make its largest
    eigenvalues hundreds of times those of a trained one; so the last layer is the smallest one that gives each
    photograph a class and a confidence of its own.
    """
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None
    head = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    features: list[Tensor] = []
    handle = head.register_forward_hook(lambda module, inputs, output: features.append(inputs[0].double()))
    with torch.no_grad():
        network.train()(images)
        features.clear()
        network.eval()(images)
        handle.remove()
        confidences = torch.linspace(0.96, 0.12, len(images), dtype=torch.float64)
        logits = torch.randn(len(images), head.out_features, dtype=torch.float64)
        for row, wanted in zip(logits, confidences, strict=True):
            top = int(row.argmax())
            row[top] = -torch.inf
            row[top] = wanted.logit() + row.logsumexp(0)
        centre, mean = features[0].mean(0), logits.mean(0)
        weight = (torch.linalg.pinv(features[0] - centre) @ (logits - mean)).mT
        head.weight.copy_(weight)
        head.bias.copy_(mean - weight @ centre)


def load(name: str, n_photos: int | None, weights: str | None) -> tuple[nn.Module, Tensor, list[str], str]:
    """A network in eval mode as a user has it, and the embedded photographs through its preprocessing.

    Args:
        name: one of `NAMES`.
        n_photos: how many photographs, None for all.
        weights: a state dict's file, None for what is at hand.

    Returns:
        the network, pixels `[N, 3, H, W]`, the photographs' names, and a word on the weights.
    """
    torch.manual_seed(0)
    chosen = weights or _weights_at_hand(name)
    family = name if name in MODELS else "torchvision"
    classifier = find_model(SimpleNamespace(family=family, name=name, weights=chosen, classes=None)).load()
    samples = list(photos(SimpleNamespace(names=None), 0))
    # Confident and unconfident photographs first, so that a few stand for all.
    order = ["coffee", "astronaut", "retina", "camera", "coins", "rocket", "chelsea"]
    samples.sort(key=lambda s: order.index(s.id) if s.id in order else len(order))
    images = torch.stack([classifier.preprocessing(s.read()) for s in samples])
    if chosen == "none":
        _plausible(classifier.network, images)
        word = "random weights, statistics and confidences fitted to the photographs"
    else:
        word = "ImageNet weights" if chosen == "DEFAULT" else f"weights of {Path(chosen).name}"
    return classifier.network.eval(), images[:n_photos], [s.id for s in samples][:n_photos], word


def channels_last(network: nn.Module) -> nn.Module:
    """A copy in the other memory layout."""
    return copy.deepcopy(network).to(memory_format=torch.channels_last)
