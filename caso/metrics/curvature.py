"""What the metrics of curvature share: networks prepared once, images in chunks, whether the closed form holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from caso.curvature.agreement import compare, tolerance
from caso.memory import Chunks
from caso.metrics.case import Case, Network
from caso.metrics.metric import Metric
from caso.network import Prepared, fingerprint, prepare
from caso.network.capture import differentiable_kernels

Work = Callable[[Prepared, Tensor, Tensor], Tensor]
"""From a network, some images `[b, C, H, W]` and their targets `[b]` to figures `[b, ...]`."""

_PREPARED: WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], Prepared]] = WeakKeyDictionary()
"""Capturing takes seconds, and a run's network meets a case for every batch."""


@dataclass(frozen=True)
class CurvatureMetric(Metric):
    """A measure of the loss's Hessian at the image: the same for all maps of an image, and neither direction better."""

    family = "curvature"
    higher_is_better = None


class _Function(nn.Module):
    def __init__(self, function: Network) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def prepared(network: Network, images: Tensor) -> Prepared:
    """The network in the form in which curvature is computed; a plain function runs as it is."""
    if not isinstance(network, nn.Module):
        return Prepared(_Function(network), False, None, "a function, not a module")
    key = (*fingerprint(network), images.dtype, images.device, images.shape[1:])
    found = _PREPARED.get(network)
    if found is None or found[0] != key:
        found = _PREPARED[network] = key, prepare(network, images)
    return found[1]


def evaluate(case: Case, key: object, work: Work, one_by_one: bool = False) -> Tensor:
    """Compute figures of every image of a case, a chunk at a time, with autograd on. Half precision becomes float32.

    They are computed once for all maps of the images.

    Args:
        case: of B images.
        key: of the figures, among all that are computed of a case.
        work: on a chunk.
        one_by_one: a chunk is one image.
    """
    return case.share(key, lambda: _evaluate(case, work, Chunks(1) if one_by_one else case.gradient_chunks))


def _evaluate(case: Case, work: Work, chunks: Chunks) -> Tensor:
    dtype = torch.promote_types(case.images.dtype, torch.float32)

    def chunk(rows: slice) -> Tensor:
        # Copies: what was made in inference mode cannot enter autograd.
        return work(network, case.images[rows].detach().clone().to(dtype), case.targets[rows].clone())

    with torch.inference_mode(False), torch.enable_grad(), differentiable_kernels():
        network = prepared(case.network, torch.empty_like(case.images, dtype=dtype))
        return torch.cat(chunks.map(chunk, len(case.images)))


def closed_form_holds(case: Case) -> Tensor:
    """For which images the Hessian certainly is that of a piecewise-linear network, `[B]`.

    The operations of most networks decide for all images. Where they do not (the network cannot be captured as a
    graph, say), each image is tried, as for `curvature=auto`.
    """

    def work(network: Prepared, images: Tensor, targets: Tensor) -> Tensor:
        if network.piecewise_linear is not None:
            return torch.full((len(images),), network.piecewise_linear, device=images.device)
        return ~(compare(network, images, targets)[1] > tolerance(images.dtype))

    return evaluate(case, "closed form holds", work)
