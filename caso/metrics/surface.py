"""What the metrics of curvature share: networks prepared once, images in chunks, whether the closed form holds."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from caso.curvature.agreement import compare, tolerance
from caso.metrics.case import Case, Network
from caso.network import Prepared, fingerprint, prepare
from caso.network.capture import differentiable_kernels

Work = Callable[[Prepared, Tensor, Tensor], Tensor]
"""From a network, some images `[b, C, H, W]` and their targets `[b]` to figures `[b, ...]`."""

_READY: WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], Prepared]] = WeakKeyDictionary()
"""Capturing takes seconds, and a run's network meets a case for every batch."""


class _Function(nn.Module):
    def __init__(self, function: Network) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def ready(network: Network, images: Tensor) -> Prepared:
    """The network in the form in which curvature is computed; a plain function runs as it is."""
    if not isinstance(network, nn.Module):
        return Prepared(_Function(network), False, None, "a function, not a module")
    known = (*fingerprint(network), images.dtype, images.device, images.shape[1:])
    found = _READY.get(network)
    if found is None or found[0] != known:
        found = _READY[network] = known, prepare(network, images)
    return found[1]


def by_chunks(case: Case, work: Work, alone: bool = False) -> Tensor:
    """Figures of every image of a case, a chunk at a time, with autograd on. Half precision becomes float32.

    Args:
        case: of B images.
        work: on a chunk.
        alone: one image at a time.
    """

    def some(rows: slice) -> Tensor:
        # Copies: what was made in inference mode cannot enter autograd.
        images = case.images[rows].detach().clone()
        return work(network, images.to(torch.promote_types(images.dtype, torch.float32)), case.targets[rows].clone())

    with torch.inference_mode(False), torch.enable_grad(), differentiable_kernels():
        dtype = torch.promote_types(case.images.dtype, torch.float32)
        network = ready(case.network, torch.empty_like(case.images, dtype=dtype))
        if alone:
            return torch.cat([some(slice(row, row + 1)) for row in range(len(case.images))])
        return torch.cat(case.gradient_chunks.map(some, len(case.images)))


def closed_form_holds(case: Case) -> Tensor:
    """For which images the Hessian certainly is that of a piecewise-linear network, `[B]`.

    The operations of most networks decide for all images. Where they do not (the network cannot be captured as a
    graph, say), it is tried on each image, as for `curvature=auto`.
    """

    def work(network: Prepared, images: Tensor, targets: Tensor) -> Tensor:
        if network.piecewise_linear is not None:
            return torch.full((len(images),), network.piecewise_linear, device=images.device)
        return ~(compare(network, images, targets)[1] > tolerance(images.dtype))

    return case.share("closed form holds", lambda: by_chunks(case, work))
