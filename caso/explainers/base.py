"""What first- and second-order explainers share: arguments, batches, targets and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from caso.arguments import (
    Count,
    CountOrNone,
    CountOrZero,
    Fraction,
    FractionOrBound,
    NotNegative,
    Positive,
    Target,
    check,
    check_fields,
    checked_images,
    checked_lambda1s,
    checked_targets,
    one_of,
    require,
    require_module,
)
from caso.curvature import QuadraticModel
from caso.explainers.captum import CaptumInterface
from caso.memory import Chunks, backward_batch
from caso.network import Prepared
from caso.network.outputs import Logits, Outputs
from caso.precision import full_precision
from caso.results import Curvature, Explanation, PathExplanation, Prediction
from caso.smoothing import noisy_copies, smoothed
from caso.solvers import DEFAULTS, SOLVERS, Options, Solution, solve_at_sparsity


@contextmanager
def _differentiable(device: torch.device) -> Iterator[None]:
    """Within, autograd is on, and TF32 and autocast are off."""
    with torch.inference_mode(False), torch.enable_grad(), full_precision(device):
        yield


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What first- and second-order explainers are made with; `CAFO` and `CASO` document and default it.

    Raises:
        ValueError: an argument is out of range.
    """

    lambda1: NotNegative
    lambda2: Positive
    smooth: bool
    n_samples: Count
    stddev: NotNegative
    seed: int
    solver: str
    n_iter: Count
    lr: Positive
    init: Annotated[str, one_of("zero", "random")]
    tol: Fraction
    batch_size: CountOrNone
    images_ahead: CountOrZero

    def __post_init__(self) -> None:
        """Check every argument."""
        check_fields(self)

    @property
    def options(self) -> Options:
        """Of the solver."""
        return Options(float(self.lambda2), float(self.tol), self.n_iter, float(self.lr), self.init, self.seed)


class Explainer(CaptumInterface):
    """What CAFO and CASO share."""

    order: int

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        """Check the arguments; the model is first run when something is explained."""
        require_module(model)
        allowed = [name for name, known in SOLVERS.items() if self.order in known.orders]
        require(settings.solver in allowed, "solver", settings.solver, "one of " + ", ".join(allowed))
        self.model = model
        self.lambda1, self.solver, self._options = float(settings.lambda1), settings.solver, settings.options
        self.lambda2, self.tol, self.seed = self._options.lambda2, self._options.tol, self._options.seed
        self.smooth, self.n_samples, self.stddev = settings.smooth, settings.n_samples, settings.stddev
        self._chunks = Chunks(settings.batch_size)
        self._ahead = settings.images_ahead
        self._network: Prepared | None = None
        self._known: tuple[object, ...] = ()
        self._said: Outputs | None = None

    def prepare(self, inputs: Tensor) -> None:
        """Do now what the first images of a kind would wait for: capture the network, and trace it where that pays.

        Args:
            inputs: pixels `[B, ...]`; the first image is looked at, beside their number, shape, dtype and device.

        Raises:
            ValueError: they are no batch of floats, or the network's outputs are no logits.
        """
        images = checked_images(inputs)
        with _differentiable(images.device):
            self._ready(images)

    def explain(self, inputs: Tensor, target: Target = None) -> Explanation:
        """Explain a batch of images.

        Args:
            inputs: pixels `[B, ...]` of a floating dtype. Of half precision, maps are computed and returned in float32:
                rounded, they would not be those that the error bounds are of.
            target: the class to explain: None for the predicted one, an int for all images, or one int an image.

        Returns:
            maps and figures, one entry an image.

        Raises:
            ValueError: inputs or target do not fit, or the network's outputs are no logits, with the reason.
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
        check("n", n, Count)
        values = None if lambda1s is None else checked_lambda1s(lambda1s)

        def work(model: QuadraticModel) -> Solution:
            if values is not None:
                lambda1 = values.to(model.gradient.device).expand(len(model.gradient), -1).clone()
            else:
                top = model.gradient.flatten(1).abs().amax(1).double().nan_to_num()
                exponents = torch.linspace(-4, 0, n, dtype=torch.float64, device=top.device)
                lambda1 = top[:, None] * 10 ** (exponents if n > 1 else exponents[-1:] * 0)
            return SOLVERS[self.solver].solve(model, lambda1, self._options)

        return self._explained(inputs, target, work)

    def auto(self, inputs: Tensor, sparsity: float = 0.9, target: Target = None) -> Explanation:
        """Explain a batch of images, each at the lambda1 that gives its map a wanted sparsity.

        The paper chooses lambda1 for each image by the sparsity of its map, without supervision; this is that choice.

        Args:
            inputs: pixels `[B, ...]`.
            sparsity: fraction of exact zeros, from 0 to 1.
            target: as in `explain`.
        """
        check("sparsity", sparsity, FractionOrBound)
        needed = DEFAULTS[self.order]
        require(self.solver == needed, "solver", self.solver, f"{needed} to find lambda1 by sparsity")
        return self._explained(
            inputs, target, lambda model: solve_at_sparsity(model, sparsity, self._options)
        ).explanations[0]

    def _quadratic_model(self, inputs: Tensor, target: Tensor) -> QuadraticModel:
        raise NotImplementedError

    def _logits(self, inputs: Tensor) -> Tensor:
        assert self._network is not None
        with torch.no_grad():
            return self._network(self._network.layout(inputs))

    def _ready(self, inputs: Tensor) -> None:
        """Prepare for images like these."""
        raise NotImplementedError

    def _use(self, network: Prepared) -> None:
        """Explain with this network from now on; what was found of its outputs is said once."""
        self._network = network
        if network.outputs != self._said and network.outputs is not None:
            self._said = network.outputs
            if not isinstance(self.model, Logits):  # whoever wrapped it has said so
                network.outputs.log()

    def _curvature(self) -> Curvature:
        """Which Hessian is used, with what was found of the network's outputs as further evidence."""
        operator, exact, evidence = self._operator()
        if self._network is not None and self._network.outputs is not None:
            evidence = "; ".join((evidence, *self._network.outputs.notes, *self._network.outputs.warnings))
        return Curvature(operator, exact, evidence)

    def _operator(self) -> tuple[str, bool | None, str]:
        """The curvature operator, whether it certainly is the network's Hessian, and the evidence."""
        raise NotImplementedError

    def _explained(self, inputs: Tensor, target: Target, work: Callable[[QuadraticModel], Solution]) -> PathExplanation:
        images = checked_images(inputs)
        targets = checked_targets(target, len(images), images.device)
        with _differentiable(images.device):
            self._ready(images)
            assert self._network is not None
            assert self._network.outputs is not None
            classes = self._network.outputs.classes
            require(bool((targets < classes).all()), "target", int(targets.max()), f"below the {classes} classes")
            parts = self._chunks.map(lambda rows: self._chunk(images[rows], targets[rows], work), len(images))
        return PathExplanation.join(parts)

    def _chunk(self, images: Tensor, target: Tensor, work: Callable[[QuadraticModel], Solution]) -> PathExplanation:
        if self.smooth:
            logits = self._logits(images)
            target = torch.where(target < 0, logits.argmax(-1), target)
            copies = noisy_copies(images, self.n_samples, self.stddev, self.seed)
            at_once = max(1, backward_batch(images.device) // len(images))
            model = smoothed(self._quadratic_model, copies, logits, target, at_once)
        else:
            model = self._quadratic_model(images, target)
            logits = model.logits
        prediction, gradient = Prediction.of(logits, target), model.gradient
        return PathExplanation.of(gradient, prediction, work(model), self._curvature(), self.lambda2, self.solver)
