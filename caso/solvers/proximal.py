"""Proximal gradient with Nesterov momentum and backtracking: the paper's own algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.curvature.linearisation import Linearisation
from caso.objective import soft_threshold
from caso.solvers.iterative import Iteration, Objective
from caso.solvers.solution import Solution

_HALVINGS = 60


def proximal(
    problem: Linearisation, lambda1: Tensor, lambda2: float, tol: float, order: int, settings: Iteration
) -> Solution:
    """Iterate `D <- soft(y - t f'(y), t lambda1)`, `y` the point extrapolated by `(k - 2) / (k + 1)`.

    As in the code released with Singla et al. 2019: a step `t` is halved until the quadratic model bounds the smooth
    part, and stays so. The product at `y` follows from those at the two last iterates.

    Args:
        problem: the loss around B images.
        lambda1: `[B]` float64.
        lambda2: positive.
        tol: on the residual, for the status alone: all iterations are made.
        order: 1 or 2.
        settings: of the iteration.
    """
    f = Objective(problem, lambda1, lambda2, order)
    now = settings.start(f.gradient)
    curved = f.curved(now) if settings.init == "random" else torch.zeros_like(now)
    before, curved_before = now, curved
    t = torch.full_like(f.l2, settings.lr)
    for k in range(1, settings.n_iter + 1):
        momentum = (k - 2) / (k + 1) if k > 1 else 0.0
        y = now + momentum * (now - before)
        curved_y = curved + momentum * (curved - curved_before)
        slope, value = f.descent(y, curved_y), f.smooth(y, curved_y)
        for _ in range(_HALVINGS):
            trial = soft_threshold(y - t * slope, t * f.l1)
            curved_trial = f.curved(trial)
            moved = (trial - y).double()
            model = value + (slope.double() * moved).sum(1) + (moved**2).sum(1) / (2 * t[:, 0].double())
            slack = 1e-6 * value.abs() if trial.dtype == torch.float32 else 1e-14 * value.abs()
            too_long = f.smooth(trial, curved_trial) > model + slack
            if not bool(too_long.any()):
                break
            t = torch.where(too_long[:, None], t / 2, t)
        before, curved_before, now, curved = now, curved, trial, curved_trial
    return f.finish(now, lambda1, tol)
