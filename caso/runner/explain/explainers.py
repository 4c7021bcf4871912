"""From the configuration to an explainer, and from images to explanations."""

from typing import Any

from torch import Tensor, nn

import caso
from caso.postprocess import magnitude, times_input
from caso.runner.cli.validation import resolve_solver
from caso.runner.regions import make_regions

OWN = ("auto", "cafo", "caso")
"""The explainers that are the project's own; ``auto`` is the one that ``order`` names."""


def make_explainer(cfg: Any, network: nn.Module, images_ahead: int) -> Any:
    """Make the explainer that a checked configuration describes.

    Args:
        cfg: The whole configuration.
        network: From pixels to logits, on its device and in its dtype.
        images_ahead: How many images will be explained: whether preparing for many pays.
    """
    regions = make_regions(cfg.regions)
    options: dict[str, Any] = {
        "lambda1": cfg.lambda1,
        "lambda2": cfg.lambda2,
        "smooth": cfg.smooth,
        "n_samples": cfg.n_samples,
        "stddev": cfg.stddev,
        "seed": cfg.seed,
        "solver": resolve_solver(cfg),
        **{key: cfg.solver.get(key, cfg[key]) for key in ("n_iter", "lr", "init")},
        "tol": cfg.tol,
        "batch_size": None if cfg.batch_size == "auto" else cfg.batch_size,
        "images_ahead": images_ahead,
        "regions": None if regions is None else regions.find,
    }
    if cfg.order.name == "first":
        return caso.CAFO(network, **options)
    return caso.CASO(network, **options, curvature=cfg.curvature)


def explain(
    explainer: Any, cfg: Any, pixels: Tensor, target: int | list[int] | None, regions: Tensor | None = None
) -> list[Any]:
    """Explain a batch as the group ``regularization`` asks.

    Args:
        explainer: Of :func:`make_explainer`.
        cfg: The whole configuration.
        pixels: ``[B, C, H, W]`` in [0, 1].
        target: A class index for all images, one for each, or None for the predicted classes.
        regions: Labels ``[B, H, W]`` or ``[B, C, H, W]``, or None for single entries.

    Returns:
        One ``Explanation`` of the batch for each setting: one, or as many as the path has values.
    """
    if cfg.regularization.name == "path":
        values = cfg.regularization.lambda1s
        lambda1s = None if values is None else [float(value) for value in values]
        path = explainer.path(pixels, lambda1s=lambda1s, n=cfg.regularization.n, target=target, regions=regions)
        return list(path.explanations)
    if cfg.regularization.name == "auto":
        sparsity, keep = cfg.regularization.get("sparsity", cfg.sparsity), cfg.regions.get("keep")
        return [explainer.auto(pixels, sparsity=sparsity, target=target, keep=keep, regions=regions)]
    return [explainer.explain(pixels, target=target, regions=regions)]


def finish_maps(cfg: Any, maps: Tensor, pixels: Tensor) -> Tensor:
    """Apply what the configuration asks to be done to maps ``[B, C, H, W]`` after they are found."""
    if cfg.times_input:
        maps = times_input(maps, pixels)
    return magnitude(maps) if cfg.magnitude else maps


def constant_columns(cfg: Any, model_name: str) -> dict[str, Any]:
    """Collect the columns that are the same in all rows of a run."""
    own = cfg.explainer.name in OWN
    name = {"first": "cafo", "second": "caso"}[cfg.order.name] if own else cfg.explainer.name
    settings = {
        "order": cfg.order.name,
        "regularization": cfg.regularization.name,
        "lambda2": cfg.lambda2,
        "smooth": cfg.smooth,
    }
    return (settings if own else {}) | {
        "explainer": name,
        "times_input": cfg.times_input,
        "magnitude": cfg.magnitude,
        "seed": cfg.seed,
        "model": model_name,
    }
