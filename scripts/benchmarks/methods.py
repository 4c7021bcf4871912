"""What is measured: each method makes a call for one batch of photographs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor, nn

import caso
from caso.curvature import quadratic_model, resolve_operator, trace
from caso.curvature.double_backward import double_backward
from caso.network import Prepared, prepare
from caso.solvers import SOLVERS

Call = Callable[[], Any]
_MANY = 1_000_000
_WORDS = {"gauss_newton": "Gauss-Newton", "double_backward": "double backward"}


@dataclass(frozen=True)
class Method:
    """A method to measure.

    Attributes:
        name: for the table.
        prepare: makes the call for a batch of images and classes; its own time is not counted.
        heavy: measured on few photographs, once each.
    """

    name: str
    prepare: Callable[[Tensor, Tensor], Call]
    heavy: bool = False


def gradient(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The unit of cost: one forward pass and one backward pass to the pixels."""
    images = images.detach().requires_grad_()
    loss = nn.functional.cross_entropy(network(images), targets, reduction="sum")
    return torch.autograd.grad(loss, images)[0]


def _double_backward(network: nn.Module) -> Callable[[Tensor, Tensor], Call]:
    def prepared(images: Tensor, targets: Tensor) -> Call:
        x = images.detach().requires_grad_()
        loss = nn.functional.cross_entropy(network(x), targets, reduction="sum")
        (g,) = torch.autograd.grad(loss, x, create_graph=True)
        v = g.detach()
        return lambda: torch.autograd.grad(g, x, v, retain_graph=True)[0]

    return prepared


def _product(make: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Call]:
    def prepared(images: Tensor, targets: Tensor) -> Call:
        operator = make(images, targets)
        v = operator.gradient
        return lambda: operator.hvp(v)

    return prepared


def _explain(explainer: Any) -> Callable[[Tensor, Tensor], Call]:
    return lambda images, targets: lambda: explainer.explain(images, targets)


def _released(network: nn.Module, settings: caso.CASO) -> Callable[[Tensor, Tensor], Call]:
    """The paper's algorithm through the network as the user has it, as the released program runs it."""

    def prepared(images: Tensor, targets: Tensor) -> Call:
        def call() -> Tensor:
            problem = double_backward(network, images, targets)
            lambda1 = torch.full((len(images), 1), settings.lambda1, dtype=torch.float64, device=images.device)
            return SOLVERS["proximal"].solve(problem, lambda1, settings._options).maps

        return call

    return prepared


def _quiet(call: Call) -> Call:
    def run() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()

    return run


def _integrated_gradients(network: nn.Module) -> Callable[[Tensor, Tensor], Call]:
    def prepared(images: Tensor, targets: Tensor) -> Call:
        # All 50 steps of one image at once, as by default; of several images, in chunks that fit memory.
        chunk = None if len(images) == 1 else max(56, len(images))
        method = IntegratedGradients(network)
        return _quiet(lambda: method.attribute(images, target=targets, n_steps=50, internal_batch_size=chunk))

    return prepared


def _smoothgrad(network: nn.Module) -> Callable[[Tensor, Tensor], Call]:
    def prepared(images: Tensor, targets: Tensor) -> Call:
        chunk = None if len(images) == 1 else 2
        method = NoiseTunnel(Saliency(network))
        options = {"nt_samples": 16, "nt_samples_batch_size": chunk, "stdevs": 0.15, "nt_type": "smoothgrad"}
        return _quiet(lambda: method.attribute(images, target=targets, abs=False, **options))

    return prepared


def _gauss_newton(ready: Prepared, operator: str) -> list[Method]:
    """Its product, where that is the Hessian's."""
    if operator != "gauss_newton":
        return []
    return [Method("HVP: Gauss-Newton, eager", _product(lambda x, t: quadratic_model(ready, x, t, operator)))]


def all_methods(network: nn.Module, other_layout: nn.Module, images: Tensor, quick: bool) -> list[Method]:
    """Every method for one network; tracing happens here or in a method's first call, never in a timed one.

    Args:
        network: as the user has it.
        other_layout: its copy in channels_last.
        images: an example batch, for its shape.
        quick: leave out the slowest methods.
    """
    ready = prepare(network, images)
    operator = resolve_operator(ready, "auto")
    traced = trace(ready, images, operator)
    second = caso.CASO(network, lambda1=1e-4, images_ahead=_MANY)
    paper = caso.CASO(network, lambda1=1e-4, solver="proximal", curvature="double_backward", images_ahead=_MANY)
    smooth = caso.CASO(network, lambda1=1e-4, smooth=True, images_ahead=_MANY)
    methods = [
        Method("gradient, channels_last copy", lambda x, t: _layout_call(other_layout, x, t)),
        Method("HVP: double backward, user's network", _double_backward(network)),
        Method("HVP: double backward, eager", _product(lambda x, t: quadratic_model(ready, x, t, "double_backward"))),
        *_gauss_newton(ready, operator),
        Method(f"HVP: {_WORDS[operator]}, traced", _product(traced)),
        Method("CAFO", _explain(caso.CAFO(network, lambda1=1e-4, images_ahead=_MANY))),
        Method("CASO", _explain(second)),
        Method("CASO, path of 20", lambda x, t: lambda: second.path(x, n=20, target=t)),
        Method("Captum SmoothGrad, 16", _smoothgrad(network), heavy=True),
        Method("Captum integrated gradients, 50", _integrated_gradients(network), heavy=True),
        Method("CASO, smooth, 16", _explain(smooth), heavy=True),
    ]
    if quick:
        return methods
    return [
        *methods,
        Method("CASO, paper's algorithm", _explain(paper), heavy=True),
        Method("CASO, paper's algorithm, user's network", _released(network, paper), heavy=True),
    ]


def _layout_call(network: nn.Module, images: Tensor, targets: Tensor) -> Call:
    images = images.contiguous(memory_format=torch.channels_last)
    return lambda: gradient(network, images, targets)


def true_residuals(network: nn.Module, images: Tensor, targets: Tensor, path: Any) -> Tensor:
    """Residuals `[B, L]` of a path by fresh products, from the definition; not timed."""
    ready = prepare(network, images)
    model = quadratic_model(ready, images, targets)
    g, columns = model.gradient, []
    for result in path.explanations:
        delta = result.maps
        slope = g + model.hvp(delta)
        lambda1, bound = (v.view(-1, 1, 1, 1).to(g) for v in (result.lambda1, result.lambda2_effective))
        sign = torch.where(delta != 0, delta.sign(), (slope / lambda1.clamp_min(1e-30)).clamp(-1, 1))
        v = (bound * delta - slope + lambda1 * sign).flatten(1).double()
        columns.append(v.norm(dim=1) / g.flatten(1).double().norm(dim=1))
    return torch.stack(columns, 1)
