"""The trace of the loss's Hessian, class by class."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.analysis.jacobian import Jacobian, softmax_gradient
from caso.network import Prepared


def hessian_trace(network: Prepared, images: Tensor, classes: int, samples: int, seed: int) -> Tensor:
    """Estimate `trace(H) = sum over k of p_k |w_k - w|^2`, `w_k` the gradient of logit k, `w = sum p_k w_k`.

    The most probable classes enter exactly, the others by an unbiased, stratified sample in proportion to their
    probabilities; each class costs a backward pass. Networks of no more classes than both together have none drawn.

    Args:
        network: piecewise linear.
        images: `[b, ...]`.
        classes: that enter exactly.
        samples: classes drawn for all others.
        seed: of the draws.

    Returns:
        float64 `[b]`.
    """
    jacobian = Jacobian(network, images)
    p = jacobian.logits.softmax(1)
    order = p.argsort(dim=1, descending=True, stable=True)
    exact = p.shape[1] if p.shape[1] <= classes + samples else classes

    def square(chosen: Tensor) -> Tensor:
        return jacobian.vjp(softmax_gradient(p, chosen)).double().square().sum(1)

    total = torch.zeros_like(p[:, 0])
    for k in order[:, :exact].unbind(1):
        total += p.gather(1, k[:, None])[:, 0] * square(k)
    tail = p.gather(1, order[:, exact:])
    if tail.shape[1]:
        rest = tail.sum(1)
        draws = torch.rand(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        at = (torch.arange(samples) + draws).to(p) / samples * rest[:, None]
        drawn = torch.searchsorted(tail.cumsum(1), at).clamp(max=tail.shape[1] - 1)
        for k in order[:, exact:].gather(1, drawn).unbind(1):
            total += rest / samples * square(k)
    return total
