"""The top-k attack: images changed a little, so that their gradient maps change much."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from caso.memory import is_out_of_memory
from caso.metrics.case import Case, Network
from caso.metrics.ranking import ranks

_Share = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def topk_attack(case: Case, epsilon: float, steps: int, k: int, halve: bool) -> Tensor:
    """Images whose gradient map has less of its mass where the original map had most.

    Ghorbani, Abid, Zou, "Interpretation of Neural Networks is Fragile", AAAI 2019, arXiv 1710.10547: steps of sign
    gradient down the share of the gradient map's mass that lies on the `k` most relevant pixels of the case's maps. The
    gradient map is that of the cross-entropy of the explained class with respect to the pixels; its mass is the sum of
    magnitudes over the channels. The predicted class never changes. Of the steps the one with the least share is
    returned.

    Args:
        case: with the network, images, maps and targets.
        epsilon: largest change of a pixel.
        steps: of at most `epsilon / steps` each. Each costs a forward pass and a gradient of a gradient.
        k: pixels of the original map; at most all of them.
        halve: where a step would change the predicted class, go back and on with half of it; else the image stops.

    Returns:
        `[B, C, H, W]` in [0, 1].

    Raises:
        ValueError: the network's gradient has no derivative.
    """
    relevant = (ranks(case.mass) < min(k, case.pixels)).double()

    def chunk(rows: slice) -> Tensor:
        # Copies: what was made in inference mode cannot enter autograd.
        images, targets = case.images[rows].detach().clone(), case.targets[rows].clone()
        share = partial(_share, case.network, targets, relevant[rows].clone())
        return _attack(share, images, epsilon, steps, halve)

    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        return torch.cat(case.gradient_chunks.map(chunk, len(case.images)))


def _attack(share: _Share, images: Tensor, epsilon: float, steps: int, halve: bool) -> Tensor:
    """Descend the share by sign gradients, without a change of the predicted class; return the images of the least."""

    def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(condition[:, None, None, None], a, b)

    logits, least, gradient = share(images)
    predicted, best, base = logits.argmax(1), images, images
    size = torch.full_like(images[:, :1, :1, :1], epsilon / steps)
    for _ in range(steps):
        trial = (base - size * gradient.sign()).clamp(0, 1)
        logits, value, trial_gradient = share(trial)
        allowed = logits.argmax(1) == predicted
        better = allowed & (value < least)
        least, best = torch.where(better, value, least), where(better, trial, best)
        base, gradient = where(allowed, trial, base), where(allowed, trial_gradient, gradient)
        size = where(allowed, size, size / 2 if halve else torch.zeros_like(size))
    return best


def _share(network: Network, targets: Tensor, relevant: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, the share of the gradient map's mass on the relevant pixels (0 of a zero map), and its gradient."""
    images = images.detach().requires_grad_(True)
    logits = network(images)
    loss = F.cross_entropy(logits, targets, reduction="sum")
    try:
        (gradient_map,) = torch.autograd.grad(loss, images, create_graph=True)
        mass = gradient_map.abs().sum(1).flatten(1).double()
        total = mass.sum(1)
        share = (mass * relevant).sum(1) / total.where(total > 0, 1)
        (gradient,) = torch.autograd.grad(share.sum(), images)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(f"top-k attack: the network's gradient has no derivative ({error})") from error
    return logits.detach(), share.detach(), gradient
