"""Slow, literal oracles of the paper's mathematics; they import nothing from the library.

One image at a time, dense matrices, plain iterations, the dtype of what is passed in (use float64). Flat vectors have
`d = C * H * W` entries. Source: Singla, Wallace, Feng, Feizi (ICML 2019), arXiv 1902.00407.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]


def _on_processor(oracle: Callable[..., Any]) -> Callable[..., Any]:
    """Loops over entries run on the processor; a tensor that comes of them goes back to the arguments' device."""

    @wraps(oracle)
    def run(*arguments: Any) -> Any:
        device = next(one.device for one in arguments if isinstance(one, Tensor))
        result = oracle(*(one.cpu() if isinstance(one, Tensor) else one for one in arguments))
        return result.to(device) if isinstance(result, Tensor) else result

    return run


def loss(network: Network, image: Tensor, target: int) -> Tensor:
    """Cross-entropy of `target` for one image `[C, H, W]`, written out: `log sum exp(z) - z_target`."""
    logits = network(image.unsqueeze(0))[0]
    return logits.exp().sum().log() - logits[target]


def gradient(network: Network, image: Tensor, target: int) -> Tensor:
    """Gradient `[d]` of the loss with respect to the pixels."""
    image = image.detach().clone().requires_grad_(True)
    return torch.autograd.grad(loss(network, image, target), image)[0].flatten()


def hessian(network: Network, image: Tensor, target: int) -> Tensor:
    """Hessian `[d, d]` of the loss with respect to the pixels, a row per pixel, by differentiating the gradient."""
    image = image.detach().clone().requires_grad_(True)
    first = torch.autograd.grad(loss(network, image, target), image, create_graph=True)[0].flatten()
    rows = [torch.autograd.grad(entry, image, retain_graph=True)[0].flatten() for entry in first]
    return torch.stack(rows)


def gauss_newton(network: Network, image: Tensor, target: int) -> Tensor:
    """The paper's closed form `W (diag p - p p^T) W^T` as a dense `[d, d]` matrix; `target` does not matter."""
    del target
    image = image.detach().clone().requires_grad_(True)
    logits = network(image.unsqueeze(0))[0]
    rows = [torch.autograd.grad(logit, image, retain_graph=True)[0].flatten() for logit in logits]
    jacobian = torch.stack(rows)
    p = logits.detach().exp() / logits.detach().exp().sum()
    return jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian


def soft(values: Tensor, threshold: float) -> Tensor:
    """Soft threshold, case by case."""
    shrunk = torch.where(values > threshold, values - threshold, torch.zeros_like(values))
    return torch.where(values < -threshold, values + threshold, shrunk)


@_on_processor
def effective_lambda2(h: Tensor, lambda2: float) -> float:
    """`lambda2 + max(lambda_max(H), 0)` by a dense eigenvalue decomposition."""
    return lambda2 + max(float(torch.linalg.eigvalsh((h + h.T) / 2)[-1]), 0.0)


def cafo(g: Tensor, lambda1: float, lambda2: float) -> Tensor:
    """The first-order map: the maximiser of `g^T D - lambda1 |D|_1 - lambda2/2 |D|^2`."""
    return soft(g, lambda1) / lambda2


@_on_processor
def caso(g: Tensor, h: Tensor, lambda1: float, lambda2: float, steps: int = 200_000) -> Tensor:
    """The second-order map: a dense solve for `lambda1 = 0`, else plain proximal gradient until it stands still."""
    bound = effective_lambda2(h, lambda2)
    if lambda1 == 0:
        return torch.linalg.solve(bound * torch.eye(len(g), dtype=g.dtype) - h, g)
    step = 1.0 / (bound - min(float(torch.linalg.eigvalsh(h)[0]), 0.0))
    delta = torch.zeros_like(g)
    for _ in range(steps):
        before = delta
        delta = soft(delta + step * (g + h @ delta - bound * delta), step * lambda1)
        if (delta - before).norm() <= 1e-14 * delta.norm():
            break
    return delta


@_on_processor
def objective(delta: Tensor, g: Tensor, h: Tensor, lambda1: float, lambda2_effective: float) -> float:
    """What the map maximises, at one map `[d]`."""
    value = g @ delta + 0.5 * delta @ h @ delta
    return float(value - lambda1 * delta.abs().sum() - 0.5 * lambda2_effective * delta @ delta)


@_on_processor
def residual(delta: Tensor, g: Tensor, h: Tensor, lambda1: float, lambda2_effective: float) -> float:
    """Relative violation of the optimality condition, entry by entry in a loop, over the gradient's norm."""
    slope = g + h @ delta
    total = 0.0
    for i in range(len(delta)):
        if delta[i] > 0:
            sign = 1.0
        elif delta[i] < 0:
            sign = -1.0
        elif lambda1 > 0:
            sign = min(max(float(slope[i]) / lambda1, -1.0), 1.0)
        else:
            sign = 0.0
        total += float(lambda2_effective * delta[i] - slope[i] + lambda1 * sign) ** 2
    return total**0.5 / float(g.norm())


def mean_model(network: Network, copies: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Means over noisy copies `[N, C, H, W]` of one image of the gradient and of the dense Hessian."""
    gradients = [gradient(network, copy, target) for copy in copies]
    hessians = [hessian(network, copy, target) for copy in copies]
    return torch.stack(gradients).mean(0), torch.stack(hessians).mean(0)


def second_order_map(network: Network, image: Tensor, target: int, lambda1: float, lambda2: float) -> Tensor:
    """The second-order map of one image, shaped like it, from its dense gradient and Hessian."""
    g, h = gradient(network, image, target), hessian(network, image, target)
    return caso(g, h, lambda1, lambda2).view_as(image)


def true_residual(network: Network, image: Tensor, target: int, delta: Tensor, lambda1: float, bound: float) -> float:
    """`residual` of a map of one image, with its dense gradient and Hessian; `bound` is the effective lambda2."""
    g, h = gradient(network, image, target), hessian(network, image, target)
    return residual(delta.flatten(), g, h, lambda1, bound)


@_on_processor
def group_soft(values: Tensor, threshold: float, labels: list[int]) -> Tensor:
    """The proximal operator of `threshold * sum over G of sqrt(|G|) |y_G|`, group by group; negative labels: zero."""
    result = torch.zeros_like(values)
    for label in sorted(set(labels)):
        if label >= 0:
            chosen = [i for i, other in enumerate(labels) if other == label]
            length = float((values[chosen] ** 2).sum()) ** 0.5
            limit = threshold * len(chosen) ** 0.5
            if length > limit:
                result[chosen] = values[chosen] * (1 - limit / length)
    return result


@_on_processor
def group_solution(g: Tensor, h: Tensor, lambda1: float, l2: float, labels: list[int], steps: int = 20_000) -> Tensor:
    """The maximiser with groups: a plain proximal gradient iteration with a fixed step, until nothing changes."""
    matrix = l2 * torch.eye(len(g), dtype=g.dtype) - h
    step = 1 / float(torch.linalg.eigvalsh(matrix)[-1])
    best = torch.zeros_like(g)
    for _ in range(steps):
        new = group_soft(best - step * (matrix @ best - g), step * lambda1, labels)
        if float((new - best).norm()) <= 1e-14 * float(new.norm()):
            return new
        best = new
    return best


@_on_processor
def group_residual(delta: Tensor, g: Tensor, h: Tensor, lambda1: float, l2: float, labels: list[int]) -> float:
    """Distance of zero from the subdifferential with groups over `|g|`, group by group."""
    pull, total = g + h @ delta, 0.0
    for label in sorted(set(labels)):
        chosen = [i for i, other in enumerate(labels) if other == label]
        mine, force, limit = delta[chosen], pull[chosen], lambda1 * len(chosen) ** 0.5
        if label < 0:
            continue
        if float(mine.norm()) > 0:
            violation = l2 * mine - force + limit * mine / mine.norm()
        else:
            violation = force * max(0.0, 1 - limit / max(float(force.norm()), 1e-300))
        total += float((violation**2).sum())
    return total**0.5 / float(g.norm())
