"""What first- and second-order explainers share: arguments, batches, targets and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from caso.penalty import Groups, Penalty, largest_lambda1, penalty_of
from caso.precision import full_precision
from caso.regions import Regions, labels_of
from caso.results import Curvature, Explanation, PathExplanation, Prediction
from caso.smoothing import noisy_copies, smoothed
from caso.solvers import DEFAULTS, SOLVERS, Options, Solution, Sparsity, solve_at_sparsity

_Work = Callable[[QuadraticModel, Options], Solution]


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
    regions: Regions

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
        self.regions = settings.regions
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

    def explain(self, inputs: Tensor, target: Target = None, *, regions: Regions = None) -> Explanation:
        """Explain a batch of images.

        Args:
            inputs: pixels `[B, ...]` of a floating dtype. Of half precision, maps are computed and returned in float32:
                rounded, they would not be those that the error bounds are of.
            target: the class to explain: None for the predicted one, an int for all images, or one int an image.
            regions: of these images, in place of the explainer's own; see `caso.regions`.

        Returns:
            maps and figures, one entry an image.

        Raises:
            ValueError: inputs, target or regions do not fit, or the network's outputs are no logits, with the reason.
        """
        return self.path(inputs, [self.lambda1], target=target, regions=regions).explanations[0]

    def path(
        self,
        inputs: Tensor,
        lambda1s: Sequence[float] | Tensor | None = None,
        *,
        n: int = 20,
        target: Target = None,
        regions: Regions = None,
    ) -> PathExplanation:
        """Explain a batch of images at several values of lambda1, for little more than the price of one.

        Args:
            inputs: pixels `[B, ...]`.
            lambda1s: values >= 0, the same for every image; sorted here. None for `n` values for each image, spaced
                geometrically over four decades up to that at and above which a first-order map is zero: `|g|_inf`, or
                with regions the largest `|g_G| / sqrt(|G|)`.
            n: how many, where `lambda1s` is None.
            target: as in `explain`.
            regions: as in `explain`.

        Returns:
            maps and figures of every value.
        """
        check("n", n, Count)
        values = None if lambda1s is None else checked_lambda1s(lambda1s)

        def work(model: QuadraticModel, options: Options) -> Solution:
            if values is not None:
                lambda1 = values.to(model.gradient.device).expand(len(model.gradient), -1).clone()
            else:
                top = largest_lambda1(options.penalty, model.gradient.flatten(1))
                exponents = torch.linspace(-4, 0, n, dtype=torch.float64, device=top.device)
                lambda1 = top[:, None] * 10 ** (exponents if n > 1 else exponents[-1:] * 0)
            return SOLVERS[self.solver].solve(model, lambda1, options)

        return self._explained(inputs, target, work, regions)

    def auto(
        self,
        inputs: Tensor,
        sparsity: float = 0.9,
        target: Target = None,
        *,
        keep: int | None = None,
        regions: Regions = None,
    ) -> Explanation:
        """Explain a batch of images, each at the lambda1 that gives its map a wanted sparsity or number of regions.

        The paper chooses lambda1 for each image by the sparsity of its map, without supervision; this is that choice.

        Args:
            inputs: pixels `[B, ...]`.
            sparsity: fraction of exact zeros, from 0 to 1. Of the maps that are no less sparse, the one that is nearest
                is given: with regions, sparsity jumps.
            target: as in `explain`.
            keep: in place of a sparsity, how many regions are to be left; as many as there are, where that is fewer.
            regions: as in `explain`.
        """
        check("sparsity", sparsity, FractionOrBound)
        check("keep", keep, CountOrNone)
        has_regions = regions is not None or self.regions is not None
        require(keep is None or has_regions, "keep", keep, "None without regions")
        needed = DEFAULTS[self.order]
        require(self.solver == needed, "solver", self.solver, f"{needed} to find lambda1 by sparsity")
        wanted = Sparsity(zeros=sparsity) if keep is None else Sparsity(keep=keep)

        def work(model: QuadraticModel, options: Options) -> Solution:
            return solve_at_sparsity(model, wanted, options)

        return self._explained(inputs, target, work, regions, as_groups=keep is not None).explanations[0]

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

    def _explained(
        self, inputs: Tensor, target: Target, work: _Work, regions: Regions, as_groups: bool = False
    ) -> PathExplanation:
        images = checked_images(inputs)
        labels = labels_of(self.regions if regions is None else regions, images)
        penalty = Groups.of(labels) if as_groups and labels is not None else penalty_of(labels)
        targets = checked_targets(target, len(images), images.device)
        with _differentiable(images.device):
            self._ready(images)
            assert self._network is not None
            assert self._network.outputs is not None
            classes = self._network.outputs.classes
            highest = int(targets.max())
            require(highest < classes, "target", highest, f"below the {classes} classes")
            parts = self._chunks.map(
                lambda rows: self._chunk(images[rows], targets[rows], work, penalty.restrict(rows)), len(images)
            )
        return PathExplanation.join(parts).with_labels(labels)

    def _chunk(self, images: Tensor, target: Tensor, work: _Work, penalty: Penalty) -> PathExplanation:
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
        solution = work(model, replace(self._options, penalty=penalty))
        return PathExplanation.of(gradient, prediction, solution, self._curvature(), self.lambda2, self.solver)
