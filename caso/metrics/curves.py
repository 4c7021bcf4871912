"""The probability of a class while an image is taken apart, or put together, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.metrics.case import Case


def counts_of_steps(pixels: int, steps: int) -> Tensor:
    """How many pixels are changed after each of `steps` equal steps, from 0 to all: `[S + 1]`.

    Steps that would change nothing are left out, so that there are at most as many as pixels.
    """
    steps = min(steps, pixels)
    return torch.arange(steps + 1) * pixels // steps


def probabilities(case: Case, places: Tensor, counts: Tensor, before: Tensor, after: Tensor, classes: Tensor) -> Tensor:
    """Probability of each image's class after some of its pixels are changed, in float64: `[B, S]`.

    The copies are made on the device, a chunk at a time, across images and steps.

    Args:
        case: of B images.
        places: place of each pixel in the order in which pixels change, `[B, H * W]`.
        counts: how many are changed, `[S]`.
        before: what pixels are at first, `[B, C, H, W]`.
        after: what they are changed to, `[B, C, H, W]`.
        classes: `[B]`.
    """
    steps = len(counts)
    height, width = case.images.shape[2:]
    counts = counts.to(places.device)

    def copies(rows: slice) -> Tensor:
        index = torch.arange(rows.start, rows.stop, device=places.device)
        image, step = index // steps, index % steps
        changed = (places[image] < counts[step, None]).view(-1, 1, height, width)
        return torch.where(changed, after[image], before[image])

    logits = case.run(copies, len(before) * steps)
    chosen = classes.repeat_interleave(steps)[:, None]
    return logits.double().softmax(1).gather(1, chosen).view(-1, steps)


def area(curve: Tensor, x: Tensor) -> Tensor:
    """Area under curves `[B, S]` by the trapezoidal rule: `[B]`."""
    return torch.trapezoid(curve, x.to(curve), dim=1)
