"""CAFO and CASO: first- and second-order explanations of a classifier's decisions.

Singla, Wallace, Feng, Feizi, "Understanding Impacts of High-Order Loss Approximations and Features in Deep Learning
Interpretation", ICML 2019, arXiv 1902.00407.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from caso.curvature import OPERATORS, Linearisation, Traced, choose, linearise, trace
from caso.curvature.first_order import first_order
from caso.explanation import Explanation, PathExplanation
from caso.memory import Chunks
from caso.network import Prepared, evaluation_copy, fingerprint, prepare
from caso.network.functional import NotCapturable
from caso.objective import norms, sparsity
from caso.smoothing import noisy_copies, smoothed
from caso.solvers import SOLVERS, Iteration, Solution, solve
from caso.solvers.sparsity import solve_for_sparsity

_log = logging.getLogger(__name__)

TRACING_PAYS = 32
"""Images from which tracing pays: it takes as long as some thirty gradients, and a product of a retained autograd graph
is as fast; what is gained is that images leave the batch when they are done, and memory."""

Target = int | Sequence[int] | Tensor | None


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Within, autograd is on and TF32 off: ten bits of mantissa spoil curvature."""
    with torch.inference_mode(False), torch.enable_grad():
        if device.type != "cuda":
            yield
            return
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name}={value!r}: must be {allowed}")


class _Explainer:
    """What CAFO and CASO share."""

    order: int

    def __init__(
        self,
        model: nn.Module,
        *,
        lambda1: float,
        lambda2: float,
        smooth: bool,
        n_samples: int,
        stddev: float,
        seed: int,
        solver: str,
        n_iter: int,
        lr: float,
        init: str,
        tol: float,
        batch_size: int | None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: must be a torch.nn.Module, not {type(model).__name__}")
        _require(0 <= lambda1 < math.inf, "lambda1", lambda1, "a number >= 0")
        _require(0 < lambda2 < math.inf, "lambda2", lambda2, "a number > 0")
        _require(n_samples >= 1, "n_samples", n_samples, "at least 1")
        _require(0 <= stddev < math.inf, "stddev", stddev, "a number >= 0")
        allowed = [name for name in SOLVERS if self.order == 2 or name != "krylov"]
        _require(solver in allowed, "solver", solver, "one of " + ", ".join(allowed))
        _require(n_iter >= 1, "n_iter", n_iter, "at least 1")
        _require(0 < lr < math.inf, "lr", lr, "a number > 0")
        _require(init in ("zero", "random"), "init", init, "zero or random")
        _require(0 < tol < 1, "tol", tol, "between 0 and 1")
        _require(batch_size is None or batch_size >= 1, "batch_size", batch_size, "None or at least 1")
        self.model = model
        self.lambda1, self.lambda2, self.tol, self.solver = float(lambda1), float(lambda2), float(tol), solver
        self.smooth, self.n_samples, self.stddev, self.seed = smooth, n_samples, stddev, seed
        self.settings = Iteration(n_iter=n_iter, lr=lr, init=init, seed=seed)
        self._chunks = Chunks(batch_size)

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor:
        """Maps shaped like `inputs`, as Captum's methods return them; see `explain`."""
        return self.explain(inputs, target).maps

    def explain(self, inputs: Tensor, target: Target = None) -> Explanation:
        """Explain a batch of images.

        Args:
            inputs: pixels `[B, ...]` of a floating dtype. Half precision is computed in float32.
            target: the class to explain: None for the predicted one, an int for all images, or one int an image.

        Returns:
            maps and figures, one entry an image.

        Raises:
            ValueError: inputs or target do not fit, with the reason.
        """
        return self.path(inputs, [self.lambda1], target=target).explanations[0]

    def path(
        self, inputs: Tensor, lambda1s: Sequence[float] | Tensor | None = None, *, n: int = 20, target: Target = None
    ) -> PathExplanation:
        """Explain a batch of images at several values of lambda1, for little more than the price of one.

        Args:
            inputs: pixels `[B, ...]`.
            lambda1s: values >= 0, the same for every image; sorted here. None for `n` values for each image, spaced
                geometrically over four decades up to its `|g|_inf`, at and above which a first-order map is zero.
            n: how many, where `lambda1s` is None.
            target: as in `explain`.

        Returns:
            maps and figures of every value.
        """
        _require(n >= 1, "n", n, "at least 1")
        values: Tensor | None = None
        if lambda1s is not None:
            values = torch.as_tensor(lambda1s, dtype=torch.float64).flatten().sort().values
            fine = len(values) > 0 and bool((values >= 0).all()) and bool(torch.isfinite(values).all())
            _require(fine, "lambda1s", lambda1s, "numbers >= 0, at least one")

        def work(problem: Linearisation) -> Solution:
            if values is not None:
                lambda1 = values.to(problem.gradient.device).expand(len(problem.gradient), -1).clone()
            else:
                top = problem.gradient.flatten(1).abs().amax(1).double().nan_to_num()
                exponents = torch.linspace(-4, 0, n, dtype=torch.float64, device=top.device)
                lambda1 = top[:, None] * 10 ** (exponents if n > 1 else exponents[-1:] * 0)
            return solve(self.solver, problem, lambda1, self.lambda2, self.tol, self.order, self.settings)

        return self._explained(inputs, target, work)

    def auto(self, inputs: Tensor, sparsity: float = 0.9, target: Target = None) -> Explanation:
        """Explain a batch of images, each at the lambda1 that gives its map a wanted sparsity.

        The paper chooses lambda1 for each image by the sparsity of its map, without supervision; this is that choice.

        Args:
            inputs: pixels `[B, ...]`.
            sparsity: fraction of exact zeros, from 0 to 1.
            target: as in `explain`.
        """
        _require(0 <= sparsity <= 1, "sparsity", sparsity, "between 0 and 1")
        wanted = {"krylov": 2, "closed_form": 1}.get(self.solver) == self.order
        _require(
            wanted, "solver", self.solver, "krylov (second order) or closed_form (first) to find lambda1 by sparsity"
        )
        return self._explained(
            inputs, target, lambda problem: solve_for_sparsity(problem, sparsity, self.lambda2, self.tol, self.order)
        ).explanations[0]

    def _linearise(self, inputs: Tensor, target: Tensor) -> Linearisation:
        raise NotImplementedError

    def _logits(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def _ready(self, inputs: Tensor) -> None:
        """Prepare for images like these."""
        raise NotImplementedError

    def _curvature(self) -> tuple[str, bool | None, str]:
        raise NotImplementedError

    def _target(self, target: Target, batch: int, device: torch.device) -> Tensor:
        if target is None:
            return torch.full((batch,), -1, dtype=torch.long, device=device)
        given = torch.as_tensor(target, device=device)
        whole = not given.is_floating_point() and not given.is_complex() and given.dtype != torch.bool
        fits = whole and given.dim() <= 1 and given.numel() in (1, batch)
        _require(fits, "target", target, f"None, a class index, or {batch} of them")
        _require(bool((given >= 0).all()), "target", target, "class indices >= 0")
        return given.long().flatten().expand(batch).clone()

    def _explained(self, inputs: Tensor, target: Target, work: Callable[[Linearisation], Solution]) -> PathExplanation:
        _require(isinstance(inputs, Tensor) and inputs.is_floating_point(), "inputs", type(inputs).__name__, "floats")
        _require(inputs.dim() >= 2 and len(inputs) >= 1, "inputs", tuple(inputs.shape), "a batch [B, ...] of B >= 1")
        targets = self._target(target, len(inputs), inputs.device)
        with _full_precision(inputs.device):
            # A copy: what Lightning hands over in inference mode cannot enter autograd.
            images = inputs.detach().clone().to(torch.promote_types(inputs.dtype, torch.float32))
            self._ready(images)
            parts = self._chunks.map(lambda rows: self._chunk(images[rows], targets[rows], work), len(images))
        return PathExplanation.join([part for part in parts]) if inputs.dtype == images.dtype else _cast(parts, inputs)

    def _chunk(self, images: Tensor, target: Tensor, work: Callable[[Linearisation], Solution]) -> PathExplanation:
        if self.smooth:
            logits = self._logits(images)
            target = torch.where(target < 0, logits.argmax(-1), target)
            copies = noisy_copies(images, self.n_samples, self.stddev, self.seed)
            at_once = self.n_samples if images.device.type == "cuda" else max(1, 8 // len(images))
            problem = smoothed(self._linearise, copies, logits, target, at_once)
        else:
            problem = self._linearise(images, target)
            logits = problem.logits
        classes = logits.shape[1]
        _require(bool((target < classes).all()), "target", int(target.max()), f"below the {classes} classes")
        solution = work(problem)
        maps = solution.maps.view(*solution.maps.shape[:2], *images.shape[1:])
        confidence, predicted = torch.softmax(logits.double(), -1).max(-1)
        curvature, exact, evidence = self._curvature()
        scale = norms(problem.gradient.flatten(1))[:, None] / self.lambda2
        return PathExplanation(
            maps=maps,
            target=torch.where(target < 0, predicted, target),
            predicted=predicted,
            confidence=confidence,
            lambda1=solution.lambda1,
            lambda2_effective=solution.lambda2_effective,
            lambda_max=solution.lambda_max,
            lambda_max_error=solution.lambda_max_error,
            sparsity=sparsity(maps.flatten(0, 1)).view(maps.shape[:2]),
            kkt_residual=solution.kkt_residual,
            error_bound=solution.kkt_residual * scale,
            floor=solution.floor,
            hvps=solution.hvps if self.order == 2 else torch.zeros_like(solution.hvps),
            status=solution.status,
            certificate=solution.certificate,
            curvature=curvature,
            curvature_exact=exact,
            evidence=evidence,
            solver=self.solver,
        )


def _cast(parts: list[PathExplanation], like: Tensor) -> PathExplanation:
    joined = PathExplanation.join(parts)
    object.__setattr__(joined, "maps", joined.maps.to(like.dtype))
    return joined


class CAFO(_Explainer):
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
    ) -> None:
        """Check the arguments; the model is first run when something is explained."""
        super().__init__(
            model, lambda1=lambda1, lambda2=lambda2, smooth=smooth, n_samples=n_samples, stddev=stddev, seed=seed,
            solver=solver, n_iter=n_iter, lr=lr, init=init, tol=tol, batch_size=batch_size,
        )  # fmt: skip
        self._network: nn.Module | None = None
        self._known: tuple[object, ...] = ()

    def _ready(self, inputs: Tensor) -> None:
        known = (*fingerprint(self.model), inputs.dtype)
        if self._network is None or known != self._known:
            self._network, self._known = evaluation_copy(self.model, inputs.dtype), known

    def _logits(self, inputs: Tensor) -> Tensor:
        assert self._network is not None
        with torch.no_grad():
            logits: Tensor = self._network(inputs)
        return logits

    def _linearise(self, inputs: Tensor, target: Tensor) -> Linearisation:
        assert self._network is not None
        return first_order(self._network, inputs, target)

    def _curvature(self) -> tuple[str, bool | None, str]:
        return "none", None, "first order"


class CASO(_Explainer):
    """Context-aware second-order explanations, certified.

    They maximise `g'D + 1/2 D'HD - lambda1 |D|_1 - 1/2 (lambda2 + lambda_max(H)) |D|^2`, `g` and `H` gradient and Hessian
    of the cross-entropy of the explained class with respect to the pixels.

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
        images_ahead: images that are still to come, so that it is known from the start whether tracing pays.

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
    ) -> None:
        """Check the arguments; the model is first run when something is explained."""
        super().__init__(
            model, lambda1=lambda1, lambda2=lambda2, smooth=smooth, n_samples=n_samples, stddev=stddev, seed=seed,
            solver=solver, n_iter=n_iter, lr=lr, init=init, tol=tol, batch_size=batch_size,
        )  # fmt: skip
        names = ("auto", *OPERATORS)
        _require(curvature in names, "curvature", curvature, "one of " + ", ".join(names))
        if solver == "closed_form":
            _require(lambda1 == 0, "lambda1", lambda1, "0 with solver=closed_form; use solver=krylov")
            _require(not smooth, "smooth", smooth, "False with solver=closed_form")
            fits = curvature in ("auto", "closed_form")
            _require(fits, "curvature", curvature, "closed_form with solver=closed_form")
            curvature = "closed_form"
        self.curvature, self._ahead = curvature, images_ahead
        self._known: tuple[object, ...] = ()
        self._network: Prepared | None = None
        self._traced: Traced | None = None
        self._traceable = curvature != "closed_form"

    def _ready(self, inputs: Tensor) -> None:
        known = (*fingerprint(self.model), inputs.shape[1:], inputs.dtype, inputs.device)
        if self._network is None or known != self._known:
            self._network, self._known = prepare(self.model, inputs), known
            self._traced, self._traceable = None, self.curvature != "closed_form"
        copies = self.n_samples if self.smooth else 1
        if self._traced is None and self._traceable and max(self._ahead, len(inputs)) * copies >= TRACING_PAYS:
            try:
                self._traced = trace(self._network, inputs, self.curvature)
            except NotCapturable as reason:
                self._traceable = False
                _log.info("curvature is not traced: %s", reason)
        self._ahead += len(inputs)  # what has been seen says what is likely to come

    def _logits(self, inputs: Tensor) -> Tensor:
        assert self._network is not None
        with torch.no_grad():
            return self._network(self._network.layout(inputs))

    def _linearise(self, inputs: Tensor, target: Tensor) -> Linearisation:
        assert self._network is not None
        if self._traced is not None:
            return self._traced(inputs, target)
        return linearise(self._network, inputs, target, self.curvature)

    def _curvature(self) -> tuple[str, bool | None, str]:
        network = self._network
        assert network is not None
        name = choose(network, self.curvature)
        exact = True if name == "double_backward" or network.piecewise_linear else None
        if not network.piecewise_linear and network.captured and name != "double_backward":
            exact = False
        return name, exact, network.evidence
