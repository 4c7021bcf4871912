"""Spectra of the loss's Hessian while the softmax has only some of the classes."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.analysis.jacobian import Jacobian
from caso.memory import Chunks
from caso.network import Prepared

_BLOCK = 4096
"""Pixels whose products are summed at once in float64."""


def kept_classes(counts: tuple[int, ...], classes: int) -> list[int]:
    """The numbers of classes that a network of `classes` classes can keep, ascending."""
    return sorted({min(k, classes) for k in counts})


def restricted_spectra(
    network: Prepared, image: Tensor, target: Tensor, counts: tuple[int, ...], chunks: Chunks
) -> Tensor:
    """Eigenvalues of one image's Hessian for each number of classes kept, and the gradient's parts along them.

    The explained class is kept, and the most probable others. With `t` the explained class, `W' = (w_k - w_t)` for the
    others and `q` their probabilities, `H = F F'` where `F = W' C` and `C = diag sqrt q - c q sqrt(q)'`,
    `c = 1 / (1 + sqrt p_t)`; and `g = W' q` is a multiple of `F sqrt q`. So `F'F = C'W''W'C` holds all, and no
    difference of nearly equal numbers occurs.

    Args:
        network: piecewise linear.
        image: `[1, ...]`.
        target: explained class, `[1]`.
        counts: classes kept, at least 2 each.
        chunks: backward passes at once.

    Returns:
        `[1, S, n, 2]`, filled up with zeros, for the S numbers of `kept_classes`.
    """
    with torch.no_grad():
        logits = network(network.layout(image)).detach().double()[0]
    order = logits.argsort(descending=True, stable=True)
    order = torch.cat([target, order[order != target]])
    kept = kept_classes(counts, len(logits))
    gram = _gram(network, image, order[: kept[-1]], len(logits), chunks)
    result = logits.new_zeros(1, len(kept), max(kept[-1] - 1, 1), 2)
    for row, k in enumerate(kept):
        p = logits[order[:k]].softmax(0)
        root = p[1:].sqrt()
        factor = root.diag() - torch.outer(p[1:], root) / (1 + p[0].sqrt())
        small = factor.T @ gram[: k - 1, : k - 1] @ factor
        if not bool(torch.isfinite(small).all()):
            result[0, row] = torch.nan
            continue
        values, vectors = torch.linalg.eigh(small)
        result[0, row, : k - 1, 0] = values.clamp(min=0)
        result[0, row, : k - 1, 1] = vectors.T @ root
    return result


def _gram(network: Prepared, image: Tensor, order: Tensor, classes: int, chunks: Chunks) -> Tensor:
    """Inner products of `w_k - w_t` for the classes after the first in `order`, `w_t` that of the first; float64.

    All their gradients are in memory at once, in the network's dtype. They are computed some at a time, in copies of
    the image, by backward passes of one forward pass.
    """
    rest = order[1:]
    rows = torch.empty(len(rest), image.numel(), dtype=image.dtype, device=image.device)
    jacobian: Jacobian | None = None

    def work(some: slice) -> None:
        nonlocal jacobian
        copies = min(chunks.size or 1, len(rest))
        if jacobian is None or len(jacobian) != copies:
            jacobian = None  # its memory goes first
            jacobian = Jacobian(network, image.expand(copies, *image.shape[1:]))
        count = some.stop - some.start
        cotangents = torch.zeros(copies, classes, dtype=image.dtype, device=image.device)
        cotangents[torch.arange(count, device=image.device), rest[some]] = 1
        cotangents[:count, order[0]] = -1
        rows[some] = jacobian.vjp(cotangents)[:count]

    chunks.map(work, len(rest))
    jacobian = None
    gram = torch.zeros(len(rest), len(rest), dtype=torch.float64, device=image.device)
    for block in rows.split(_BLOCK, 1):
        exact = block.double()
        gram += exact @ exact.T
    return gram
