"""The released code's alternatives: stochastic gradient descent, Adam and L-BFGS on the penalised objective."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.solvers.iterative import Iteration, Objective
from caso.solvers.solution import Solution

OPTIMIZERS: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "sgd": lambda tensors, lr: torch.optim.SGD(tensors, lr=lr, momentum=0.9),
    "adam": lambda tensors, lr: torch.optim.Adam(tensors, lr=lr),
    "lbfgs": lambda tensors, lr: torch.optim.LBFGS(tensors, lr=lr, max_iter=1, history_size=50),
}
"""With the released code's settings: momentum 0.9, history 50."""


def _descend(f: Objective, name: str, settings: Iteration) -> Tensor:
    delta = settings.start(f.gradient).requires_grad_()
    optimizer = OPTIMIZERS[name]([delta], settings.lr)

    def closure() -> Tensor:
        now = delta.detach()
        curved = f.curved(now)
        delta.grad = f.descent(now, curved) + f.l1 * now.sign()
        penalty = (f.l1 * now.abs()).double().sum(1)
        return (f.smooth(now, curved) + penalty).sum()

    for _ in range(settings.n_iter):
        optimizer.step(closure)  # type: ignore[arg-type]
    return delta.detach()


def descent(
    problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float, order: int, settings: Iteration, name: str
) -> Solution:
    """Run a `torch.optim` optimiser on the objective, with a subgradient of the penalty.

    These never set a pixel exactly to zero; they are here because the released code has them.

    Args:
        problem: the loss around B images.
        lambda1: `[B]` float64.
        lambda2: positive.
        tol: on the residual, for the status alone: all iterations are made.
        order: 1 or 2.
        settings: of the iteration.
        name: a key of `OPTIMIZERS`.
    """
    whole = Objective(problem, lambda1, lambda2, order)
    if name != "lbfgs" or len(lambda1) == 1:
        return whole.finish(_descend(whole, name, settings), lambda1, tol)
    # L-BFGS takes inner products over all it is given, so images must not share a call.
    rows = [torch.tensor([i], device=lambda1.device) for i in range(len(lambda1))]
    singles = [Objective(problem.select(i), lambda1[i], lambda2, order) for i in rows]
    delta = torch.cat([_descend(single, name, settings) for single in singles])
    whole.products = max(single.products for single in singles)
    return whole.finish(delta, lambda1, tol)
