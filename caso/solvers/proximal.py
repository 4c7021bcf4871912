"""Proximal gradient with Nesterov momentum and backtracking: the paper's own algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature import QuadraticModel
from caso.solvers.penalised import PenalisedObjective, value_by_value
from caso.solvers.solution import Solution
from caso.solvers.solver import Options, Solver

_HALVINGS = 60


def proximal(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    """Iterate `D <- soft(y - t f'(y), t lambda1)`, `y` the point extrapolated by `(k - 2) / (k + 1)`.

    As in the code released with Singla et al. 2019: a step `t` is halved until the quadratic model bounds the smooth
    part, and stays so. The product at `y` follows from those at the two last iterates. All iterations are made; `tol`
    serves the status alone.

    Args:
        model: of B images.
        lambda1: `[B, L]` float64.
        options: all are read.
    """
    return value_by_value(_proximal, model, lambda1, options)


def _proximal(model: QuadraticModel, lambda1: Tensor, options: Options) -> Solution:
    f = PenalisedObjective(model, lambda1, options)
    delta = options.start(f.gradient)
    h_delta = f.hvp(delta) if options.init == "random" else torch.zeros_like(delta)
    previous, h_previous = delta, h_delta
    t = torch.full_like(f.l2, options.lr)
    for k in range(1, options.n_iter + 1):
        momentum = (k - 2) / (k + 1) if k > 1 else 0.0
        y = delta + momentum * (delta - previous)
        h_y = h_delta + momentum * (h_delta - h_previous)
        previous, h_previous = delta, h_delta
        delta, h_delta, t = _backtracked(f, y, h_y, t)
    return f.certified(delta)


def _backtracked(f: PenalisedObjective, y: Tensor, h_y: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A proximal gradient step from `y` `[B, d]`: the iterate, its Hessian-vector product, and the steps `t` `[B, 1]`.

    Each image's `t` is halved until the quadratic model with curvature `1 / t` bounds the smooth part.
    """
    gradient, value = f.smooth_gradient(y, h_y), f.smooth_value(y, h_y)
    for _ in range(_HALVINGS):
        trial = f.penalty.threshold(y - t * gradient, t[:, 0] * f.l1)
        h_trial = f.hvp(trial)
        moved = (trial - y).double()
        model = value + (gradient.double() * moved).sum(1) + (moved**2).sum(1) / (2 * t[:, 0].double())
        slack = 1e-6 * value.abs() if trial.dtype == torch.float32 else 1e-14 * value.abs()
        too_long = f.smooth_value(trial, h_trial) > model + slack
        if not bool(too_long.any()):
            break
        t = torch.where(too_long[:, None], t / 2, t)
    return trial, h_trial, t


PROXIMAL = Solver("proximal", proximal, iterates=True)
