"""Perturbed copies of images on which the maps of robust methods stay what they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from caso.memory import is_out_of_memory
from caso.metrics.case import Case, Network


def scaled_noise(images: Tensor, epsilon: float, seed: int) -> Tensor:
    """Images with noise of plus or minus `epsilon` times the pixel, clipped to [0, 1].

    Args:
        images: `[B, C, H, W]`.
        epsilon: size of the noise, relative to the pixel.
        seed: of the signs, which are the same for every image.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = 2 * torch.randint(2, (1, *images.shape[1:]), generator=generator) - 1
    return (images * (1 + epsilon * signs.to(images))).clamp(0, 1)


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
    wanted = (case.places < min(k, case.pixels)).double()

    def work(rows: slice) -> Tensor:
        # Copies: what was made in inference mode cannot enter autograd.
        images, targets = case.images[rows].detach().clone(), case.targets[rows].clone()
        return _attack(case.network, images, targets, wanted[rows].clone(), epsilon, steps, halve)

    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        return torch.cat(case.gradient_chunks.map(work, len(case.images)))


def _attack(
    network: Network, images: Tensor, targets: Tensor, wanted: Tensor, epsilon: float, steps: int, halve: bool
) -> Tensor:
    def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(condition[:, None, None, None], a, b)

    logits, least, slope = _share(network, images, targets, wanted)
    predicted, best, base = logits.argmax(1), images, images
    size = torch.full_like(images[:, :1, :1, :1], epsilon / steps)
    for _ in range(steps):
        trial = (base - size * slope.sign()).clamp(0, 1)
        logits, share, steeper = _share(network, trial, targets, wanted)
        allowed = logits.argmax(1) == predicted
        better = allowed & (share < least)
        least, best = torch.where(better, share, least), where(better, trial, best)
        base, slope = where(allowed, trial, base), where(allowed, steeper, slope)
        size = where(allowed, size, size / 2 if halve else torch.zeros_like(size))
    return best


def _share(network: Network, images: Tensor, targets: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, the share of the gradient map's mass on the wanted pixels, and its gradient; share 0 of a zero map."""
    images = images.detach().requires_grad_(True)
    logits = network(images)
    loss = F.cross_entropy(logits, targets, reduction="sum")
    try:
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
        mass = gradient.abs().sum(1).flatten(1).double()
        total = mass.sum(1)
        share = (mass * wanted).sum(1) / total.where(total > 0, 1)
        (slope,) = torch.autograd.grad(share.sum(), images)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(f"top-k attack: the network's gradient has no derivative ({error})") from error
    return logits.detach(), share.detach(), slope
