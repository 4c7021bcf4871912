"""CAFO: first-order explanations.

Singla, Wallace, Feng, Feizi, "Understanding Impacts of High-Order Loss Approximations and Features in Deep Learning
Interpretation", ICML 2019, arXiv 1902.00407.
"""

from __future__ import annotations

from torch import Tensor, nn

from caso.curvature import QuadraticModel
from caso.curvature.first_order import first_order
from caso.explainers.base import Explainer, Settings
from caso.network import as_it_is, fingerprint, prepare
from caso.regions import Regions

CAPTURING_PAYS = 512
"""Images from which capturing the network pays for gradients alone: it takes as long as some forty of them, and saves
about a tenth of each."""


class CAFO(Explainer):
    """Context-aware first-order explanations: `soft(g, lambda1) / lambda2`.

    `g` is the gradient of the cross-entropy of the explained class with respect to the pixels. One gradient an image.

    Args:
        model: a classifier `[B, ...] -> [B, K]`; comes back unchanged. It is explained in evaluation mode.
        lambda1: weight of the L1 penalty, >= 0; the larger, the sparser.
        lambda2: weight of the squared L2 penalty, > 0.
        smooth: average over noisy copies.
        n_samples: how many.
        stddev: of their noise, as a fraction of the image's range.
        seed: of the noise and of `init="random"`.
        solver: closed_form (exact), or the released code's proximal, sgd, adam, lbfgs.
        n_iter: iterations of those.
        lr: their initial step.
        init: where they start: zero or random.
        tol: residual up to which a map counts as converged.
        batch_size: images at once; None for all that are given. Halved by itself where memory runs out.
        images_ahead: images that will come in all, so that it is known whether capturing the network pays.
        regions: groups of entries that enter and leave the map together, in place of single entries: labels of the
            pixels, or a function that finds them; see `caso.regions`.

    Raises:
        ValueError: an argument is out of range.
    """

    order = 1

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
        solver: str = "closed_form",
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

    def _ready(self, inputs: Tensor) -> None:
        copies = self.n_samples if self.smooth else 1
        captured = self._network is not None and self._network.captured
        pays = captured or max(self._ahead, len(inputs)) * copies >= CAPTURING_PAYS
        # A graph is captured for a shape.
        known = (*fingerprint(self.model), inputs.dtype, (inputs.shape[1:], inputs.device) if pays else None)
        if known != self._known:
            self._use((prepare if pays else as_it_is)(self.model, inputs))
            self._known = known

    def _quadratic_model(self, inputs: Tensor, target: Tensor) -> QuadraticModel:
        assert self._network is not None
        return first_order(self._network, self._network.layout(inputs), target)

    def _operator(self) -> tuple[str, bool | None, str]:
        return "none", None, "first order"
