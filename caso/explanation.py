"""What an explainer returns: maps, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Figures:
    """What is known of maps; the tensors and lists have one entry an image."""

    maps: Tensor
    target: Tensor
    predicted: Tensor
    confidence: Tensor
    target_confidence: Tensor
    probabilities: Tensor
    lambda1: Tensor
    lambda2_effective: Tensor
    lambda_max: Tensor
    lambda_max_error: Tensor
    sparsity: Tensor
    kkt_residual: Tensor
    error_bound: Tensor
    floor: Tensor
    hvps: Tensor
    status: list[Any]
    certificate: list[Any]
    curvature: str
    curvature_exact: bool | None
    evidence: str
    solver: str

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put the images of several results behind one another."""
        joined: dict[str, Any] = {}
        for one in fields(cls):
            values = [getattr(part, one.name) for part in parts]
            if isinstance(values[0], Tensor):
                joined[one.name] = torch.cat(values) if len(values) > 1 else values[0]
            elif isinstance(values[0], list):
                joined[one.name] = [entry for value in values for entry in value]
            elif one.name == "curvature":  # tests on the images may have changed it on the way
                joined[one.name] = " and ".join(dict.fromkeys(values))
            elif one.name == "curvature_exact":
                joined[one.name] = values[0] if len(set(values)) == 1 else None
            else:
                joined[one.name] = values[-1]
        return cls(**joined)


class Explanation(_Figures):
    """Maps of a batch at one value of lambda1.

    Attributes:
        maps: signed, shaped like the images, `[B, ...]`.
        target: class explained, `[B]`.
        predicted: class with the largest logit, `[B]`.
        confidence: softmax probability of the predicted class, `[B]`, from 0 to 1.
        target_confidence: of the explained class, `[B]`, from 0 to 1.
        probabilities: softmax of all classes, float64 `[B, K]`.
        lambda1: `[B]`.
        lambda2_effective: lambda2, for second order plus the largest eigenvalue, `[B]`.
        lambda_max: largest eigenvalue of the Hessian, `[B]`; NaN for first order.
        lambda_max_error: estimate of its error, `[B]`.
        sparsity: fraction of exact zeros, `[B]`, from 0 to 1.
        kkt_residual: norm of the violation of the optimality conditions over that of the gradient, `[B]`; see
            `caso.objective.kkt_residual`.
        error_bound: on the Euclidean distance between the map and the solution, `(residual + floor) |g| / lambda2`,
            `[B]`.
        floor: estimate of the residual that rounding alone leaves, and so of the residual's own error, `[B]`.
        hvps: Hessian-vector products taken, `[B]`.
        status: "converged", "floor", "stopped" or "not_finite"; see `caso.solvers.solution`. B entries.
        certificate: "product" where the residual comes from true products, "estimate" where it is estimated. B entries.
        curvature: the operator: "gauss_newton", "double_backward", "closed_form"; "none" for first order; joined by
            "and" where tests on the images changed it on the way.
        curvature_exact: whether that is certainly the Hessian of the network as it was run; None where it is not known.
        evidence: why.
        solver: by name.
    """


class PathExplanation(_Figures):
    """Maps of a batch at L values of lambda1, ascending.

    Attributes are those of `Explanation`; `maps` are `[B, L, ...]`, and `lambda1`, `lambda2_effective`, `sparsity`,
    `kkt_residual`, `error_bound`, `floor` are `[B, L]`, `status` and `certificate` have L entries an image.
    """

    @property
    def explanations(self) -> list[Explanation]:
        """One `Explanation` for each value of lambda1."""
        along = ("maps", "lambda1", "lambda2_effective", "sparsity", "kkt_residual", "error_bound", "floor")
        result = []
        for place in range(self.lambda1.shape[1]):
            values = {one.name: getattr(self, one.name) for one in fields(self)}
            values |= {name: values[name][:, place] for name in along}
            values |= {name: [entry[place] for entry in values[name]] for name in ("status", "certificate")}
            result.append(Explanation(**values))
        return result
