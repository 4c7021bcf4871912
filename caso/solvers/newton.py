"""Chord and semismooth Newton steps for the reduced problem, with a line search that makes them global."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from caso.linalg import any_of, together
from caso.solvers.reduced import Iterate, ReducedProblem

_STEPS = 60
_SHORTEST = 2.0**-30
_FAST = 0.2
"""A step that leaves this fraction of `|F|` or less is taken whatever the merit function says."""
_SUFFICIENT = 1e-4
"""Armijo's constant: the fraction of the decrease predicted by the slope that a step must achieve."""


class ReducedSolution(NamedTuple):
    """What `Newton.solve` returns.

    Attributes:
        z: `[B, m]`.
        maps: `soft(g + W'z, lambda1) / l2`, `[B, d]`.
        projections: the maps' inner products with `HV`, `[B, m]`.
    """

    z: Tensor
    maps: Tensor
    projections: Tensor


class Newton:
    """Solves a reduced problem; the Jacobians are kept from call to call.

    Attributes:
        problem: the problem.
        jacobian: with which steps are taken, `[B, m, m]`.
        same_support: which images' last solve needed no new Jacobian, `[B]`: their support hardly changed.
    """

    def __init__(self, problem: ReducedProblem) -> None:
        """Start with the identity as Jacobian."""
        mix = problem.approximation.mix
        self.problem = problem
        self.jacobian = torch.eye(mix.shape[1], dtype=mix.dtype, device=mix.device).repeat(len(mix), 1, 1)
        self.same_support = torch.zeros(len(mix), dtype=torch.bool, device=mix.device)

    def solve(self, lambda1: Tensor, start: Tensor, tolerance: Tensor) -> ReducedSolution:
        """Find `z` with `|F(z)| <= tolerance`, image by image.

        Chord steps are taken with the last Jacobian for as long as they reduce `|F|` fast; a semismooth Newton step
        otherwise. After too many steps the last iterate is given, whose quality the certificate then tells.

        Args:
            lambda1: `[B]`.
            start: first guess of `z`, `[B, m]`.
            tolerance: `[B]`; infinite for images that are not to be solved. Below rounding nothing is sought.
        """
        iterate = self.problem.at(start, lambda1)
        self.same_support = torch.ones_like(self.same_support)
        chord_is_fast = self.same_support
        for _ in range(_STEPS):
            if not bool((iterate.residual_norm > tolerance).any()):
                break
            attainable = torch.maximum(tolerance, self.problem.rounding(iterate))
            unsolved = iterate.residual_norm > attainable
            by_chord = unsolved & chord_is_fast
            some, some_by_chord, some_by_newton = any_of(unsolved, by_chord, unsolved & ~by_chord)
            if not some:
                break
            if some_by_chord:
                trial = self._chord_trial(iterate, lambda1)
                fast = by_chord & _is_fast(trial, iterate, attainable)
                failed = by_chord & ~fast
                some_failed, some_kept = any_of(failed, ~fast)
                iterate = iterate.replaced(trial, fast) if some_kept else trial
                chord_is_fast = chord_is_fast & ~failed
                some_by_newton = some_by_newton or some_failed
            if some_by_newton:
                images, before = unsolved & ~chord_is_fast, iterate.residual_norm
                iterate = self._newton_step(iterate, lambda1, attainable, images)
                chord_is_fast = chord_is_fast | (images & (iterate.residual_norm <= _FAST * before))
        l2 = self.problem.l2[:, None]
        return ReducedSolution(
            iterate.z, iterate.thresholded / l2.to(iterate.thresholded.dtype), iterate.projections / l2
        )

    def _chord_trial(self, iterate: Iterate, lambda1: Tensor) -> Iterate:
        """Where a step with the last Jacobians leads."""
        return self.problem.at(iterate.z - _solved(self.jacobian, iterate.residual), lambda1)

    def _newton_step(self, iterate: Iterate, lambda1: Tensor, tolerance: Tensor, images: Tensor) -> Iterate:
        """A step of the `images` `[B]` with the Jacobian at the iterate, each as long as it may be."""
        self.same_support = self.same_support & ~images
        chosen = images.tolist()
        for part in together(images):
            if any(chosen[part]):
                new = self.problem.jacobian(iterate, part)
                self.jacobian[part] = torch.where(images[part, None, None], new, self.jacobian[part])
        step = -_solved(self.jacobian, iterate.residual) * images[:, None]
        return self._line_search(iterate, step, lambda1, tolerance, images)

    def _line_search(
        self, iterate: Iterate, step: Tensor, lambda1: Tensor, tolerance: Tensor, images: Tensor
    ) -> Iterate:
        """Halve steps `[B, m]` of the `images` `[B]` until they are accepted.

        Where the merit function is convex, it must decrease (Armijo); otherwise `|F|` must. Where no length does, the
        step is a short one along `-F`, which comes nearer to the solution.
        """
        slope = (iterate.residual * step).sum(1)
        length = 1.0
        while True:
            trial = self.problem.at(iterate.z + length * step, lambda1)
            accepted = _is_fast(trial, iterate, tolerance)
            if any_of(images & ~accepted)[0]:
                accepted |= self._decreases(trial, iterate, slope, length)
            taken, images = images & accepted, images & ~accepted
            left, some_kept = any_of(images, ~taken)
            iterate = iterate.replaced(trial, taken) if some_kept else trial
            if not left:
                return iterate
            step = step * images[:, None]
            if length <= _SHORTEST:
                short = self.problem.contracting_step()[:, None] * iterate.residual
                return iterate.replaced(self.problem.at(iterate.z - short, lambda1), images)
            length /= 2

    def _decreases(self, trial: Iterate, iterate: Iterate, slope: Tensor, length: float) -> Tensor:
        """Whether a step decreases what it must by enough, `[B]`."""
        (merit, rounding), (merit_trial, _) = self.problem.merit(iterate), self.problem.merit(trial)
        lower = merit_trial <= merit + _SUFFICIENT * length * slope + rounding
        smaller = trial.residual_norm <= (1 - _SUFFICIENT * length) * iterate.residual_norm
        return torch.where(self.problem.approximation.semidefinite, lower, smaller)


def _is_fast(trial: Iterate, iterate: Iterate, tolerance: Tensor) -> Tensor:
    """Whether a step has all but solved the problem, or reduced `|F|` by a good factor, `[B]`."""
    return (trial.residual_norm <= _FAST * iterate.residual_norm) | (trial.residual_norm <= tolerance)


def _solved(matrices: Tensor, right: Tensor) -> Tensor:
    """Solve systems `[B, m, m]` with right sides `[B, m]`.

    A singular one is not sought out, for which a device would have to be waited for: what it gives is not finite, and
    no step is taken to it.
    """
    return torch.linalg.solve_ex(matrices, right).result
