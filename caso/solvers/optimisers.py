"""The released code's alternatives: stochastic gradient descent, Adam and L-BFGS on the penalised objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.solvers.penalised import PenalisedObjective, value_by_value
from caso.solvers.solution import Solution
from caso.solvers.solver import Options, Solver

_Optimiser = Callable[[list[Tensor], float], torch.optim.Optimizer]


def _descend(f: PenalisedObjective, optimiser: _Optimiser, options: Options) -> Tensor:
    """The last iterate, `[B, d]`."""
    delta = options.start(f.gradient).requires_grad_()
    steps = optimiser([delta], options.lr)

    def closure() -> Tensor:
        now = delta.detach()
        h_now = f.hvp(now)
        delta.grad = f.smooth_gradient(now, h_now) + f.penalty.subgradient(now, torch.zeros_like(now), f.l1)
        return (f.smooth_value(now, h_now) + f.l1 * f.penalty.value(now)).sum()

    for _ in range(options.n_iter):
        steps.step(closure)  # type: ignore[arg-type]
    return delta.detach()


def _together(optimiser: _Optimiser, model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    f = PenalisedObjective(model, lambda1, options)
    return f.certified(_descend(f, optimiser, options))


def _one_by_one(optimiser: _Optimiser, model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """For optimisers that take inner products over all they are given, so that images must not share a call."""
    if len(lambda1) == 1:
        return _together(optimiser, model, lambda1, options)
    images = [torch.tensor([i], device=lambda1.device) for i in range(len(lambda1))]
    own = [replace(options, penalty=options.penalty.restrict(i)) for i in images]
    singles = [PenalisedObjective(model.restrict(i), lambda1[i], o) for i, o in zip(images, own, strict=True)]
    delta = torch.cat([_descend(single, optimiser, options) for single in singles])
    whole = PenalisedObjective(model, lambda1, options)
    whole.hvps = max(single.hvps for single in singles)
    return whole.certified(delta)


def _solver(name: str, optimiser: _Optimiser, solve: Callable[..., Solution] = _together) -> Solver:
    """A solver that runs a `torch.optim` optimiser on the objective, with a subgradient of the penalty.

    It never sets a pixel exactly to zero; it is here because the released code has it. All iterations are made; `tol`
    serves the status alone.
    """
    return Solver(name, partial(value_by_value, partial(solve, optimiser)), iterates=True)


# With the released code's settings: momentum 0.9, history 50.
SGD = _solver("sgd", lambda tensors, lr: torch.optim.SGD(tensors, lr=lr, momentum=0.9))
ADAM = _solver("adam", lambda tensors, lr: torch.optim.Adam(tensors, lr=lr))
LBFGS = _solver(
    "lbfgs", lambda tensors, lr: torch.optim.LBFGS(tensors, lr=lr, max_iter=1, history_size=50), _one_by_one
)
