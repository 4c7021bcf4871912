"""CASO: second-order explanations, certified.

Singla, Wallace, Feng, Feizi, "Understanding Impacts of High-Order Loss Approximations and Features in Deep Learning
Interpretation", ICML 2019, arXiv 1902.00407.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from torch import Tensor, nn

from caso.arguments import require
from caso.curvature import OPERATORS, QuadraticModel, Traced, exactness, quadratic_model, resolve_operator, trace
from caso.curvature.hvp_error import hvp_relative_error
from caso.explainers.base import Explainer, Settings
from caso.network import fingerprint, prepare
from caso.network.functional import NotCapturableError
from caso.regions import Regions

_log = logging.getLogger(__name__)

TRACING_PAYS = 32
"""Images from which tracing pays: it takes as long as some thirty gradients, and a product of a retained autograd graph
is as fast; what is gained is that images leave the batch when they are done, and memory."""


class CASO(Explainer):
    """Context-aware second-order explanations, certified.

    They maximise `g'D + 1/2 D'HD - lambda1 |D|_1 - 1/2 (lambda2 + lambda_max(H)) |D|^2`, `g` and `H` gradient and
    Hessian of the cross-entropy of the explained class with respect to the pixels. With regions, `|D|_1` becomes
    `sum over regions G of sqrt(|G|) |D_G|_2`.

    Args:
        model: a classifier `[B, ...] -> [B, K]`; comes back unchanged. It is explained in evaluation mode.
        lambda1: weight of the L1 penalty, >= 0; the larger, the sparser.
        lambda2: weight of the squared L2 penalty, > 0, to which the largest eigenvalue is added.
        smooth: average gradient and Hessian over noisy copies.
        n_samples: how many.
        stddev: of their noise, as a fraction of the image's range.
        seed: of the noise and of `init="random"`.
        solver: krylov (certified), closed_form (at lambda1 = 0), or the released code's proximal, sgd, adam, lbfgs.
        curvature: auto (exact for the model), gauss_newton, double_backward or closed_form.
        n_iter: iterations of the released code's solvers.
        lr: their initial step.
        init: where they start: zero or random.
        tol: residual to reach, as a fraction of the gradient's norm.
        batch_size: images at once; None for all that are given. Halved by itself where memory runs out.
        images_ahead: images that will come in all, so that it is known from the start whether tracing pays; 0 where
            that is not known, and what came says what is likely to come.
        regions: groups of entries that enter and leave the map together, in place of single entries: labels of the
            pixels, or a function that finds them; see `caso.regions`.

    Raises:
        ValueError: an argument is out of range.
    """

    order = 2

    def __init__(
        self,
        model: nn.Module,
        *,
        lambda1: float = 1e-4,
        lambda2: float = 4.0,
        smooth: bool = False,
        n_samples: int = 16,
        stddev: float = 0.15,
        seed: int = 0,
        solver: str = "krylov",
        curvature: str = "auto",
        n_iter: int = 10,
        lr: float = 0.05,
        init: str = "zero",
        tol: float = 1e-3,
        batch_size: int | None = None,
        images_ahead: int = 0,
        regions: Regions = None,
    ) -> None:
        """Check the arguments; the model is first run when something is explained."""
        settings = Settings(
            lambda1=lambda1, lambda2=lambda2, smooth=smooth, n_samples=n_samples, stddev=stddev, seed=seed,
            solver=solver, n_iter=n_iter, lr=lr, init=init, tol=tol, batch_size=batch_size,
            images_ahead=images_ahead, regions=regions,
        )  # fmt: skip
        super().__init__(model, settings)
        names = ("auto", *OPERATORS)
        require(curvature in names, "curvature", curvature, "one of " + ", ".join(names))
        if solver == "closed_form":
            require(lambda1 == 0, "lambda1", lambda1, "0 with solver=closed_form; use solver=krylov")
            require(not smooth, "smooth", smooth, "False with solver=closed_form")
            fits = curvature in ("auto", "closed_form")
            require(fits, "curvature", curvature, "closed_form with solver=closed_form")
            curvature = "closed_form"
        self.curvature, self._known_ahead = curvature, images_ahead > 0
        self._traced: Traced | None = None
        self._hvp_error: float | None = None
        self._traceable = curvature != "closed_form"

    def _ready(self, inputs: Tensor) -> None:
        known = (*fingerprint(self.model), inputs.shape[1:], inputs.dtype, inputs.device)
        if known != self._known:
            network = prepare(self.model, inputs)
            self._use(network)
            self._known = known
            self._traced, self._traceable = None, self.curvature != "closed_form"
            if self.solver == "krylov":
                self._hvp_error = hvp_relative_error(network, inputs, self.curvature)
        assert self._network is not None
        copies = self.n_samples if self.smooth else 1
        pays = max(self._ahead, len(inputs)) * copies >= TRACING_PAYS
        # What images are yet to decide is not traced.
        settled = self.curvature != "auto" or not self._network.undecided
        if self._traced is None and self._traceable and pays and settled:
            try:
                self._traced = trace(self._network, inputs, self.curvature)
            except NotCapturableError as reason:
                self._traceable = False
                _log.info("curvature is not traced: %s", reason)

    def _quadratic_model(self, inputs: Tensor, target: Tensor) -> QuadraticModel:
        assert self._network is not None
        if not self._known_ahead:
            self._ahead += len(inputs) // (self.n_samples if self.smooth else 1)
        if self._traced is not None:
            model = self._traced(inputs, target)
        else:
            model = quadratic_model(self._network, inputs, target, self.curvature)
        assert model.hessian is not None
        return replace(model, hessian=replace(model.hessian, relative_error=self._hvp_error))

    def _operator(self) -> tuple[str, bool | None, str]:
        assert self._network is not None
        return resolve_operator(self._network, self.curvature), *exactness(self._network, self.curvature)
