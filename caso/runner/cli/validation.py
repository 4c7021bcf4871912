"""Ranges of the configuration's values, checked before any weights load."""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caso.curvature import OPERATORS
from caso.runner.cli.messages import ConfigError, choices
from caso.runner.cli.unknown_keys import check_keys
from caso.runner.data.regions import REGIONS, make_regions
from caso.solvers import DEFAULTS, SOLVERS

CURVATURES = ("auto", *OPERATORS)
_ORDERS = {"first": 1, "second": 2}
ORDERS = tuple(_ORDERS)
REGULARIZATIONS = ("fixed", "path", "auto")
PRECISIONS = ("32-true", "64-true")


def check(cfg: DictConfig) -> None:
    """Raise the first mistake in the values of a composed configuration.

    Args:
        cfg: The whole configuration without Hydra's own node.

    Raises:
        ConfigError: Naming the key, its value and what is allowed.
    """
    check_keys(cfg)
    missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(missing[0], "???", "must be given")
    _number(cfg, "lambda1", at_least=0)
    _number(cfg, "lambda2", above=0)
    _number(cfg, "n_samples", at_least=1)
    _number(cfg, "stddev", at_least=0)
    _number(cfg, "tol", above=0, below=1)
    _number(cfg, "seed", at_least=0, at_most=2**32 - 1)
    _number(cfg, "num_workers", at_least=0)
    _check_pictures(cfg)
    _number(cfg, "trainer.num_nodes", at_least=1)
    if cfg.resume is not None:
        raise ConfigError("resume", cfg.resume, "give it on the command line")
    _one_of(cfg, "order.name", ORDERS)
    _one_of(cfg, "regularization.name", REGULARIZATIONS)
    _check_regions(cfg)
    _one_of(cfg, "curvature", CURVATURES)
    _one_of(cfg, "trainer.precision", PRECISIONS)
    _check_batch_size(cfg.batch_size)
    for owner in ("", "solver.", "regularization."):  # the root's first, which are the others' defaults
        _check_owned(cfg, owner)
    _check_solver(cfg)
    _check_regularization(cfg)
    if cfg.dataset.name == "crops":
        _number(cfg, "dataset.n", at_least=1)
        _number(cfg, "dataset.min_area", above=0, at_most=1)
    if cfg.logger.name == "wandb" and cfg.logger.mode is not None:
        _one_of(cfg, "logger.mode", ("online", "offline", "disabled"))


def _check_owned(cfg: DictConfig, owner: str) -> None:
    """Check the options that the root has for the groups, and the groups' own."""
    present = OmegaConf.select(cfg, owner.removesuffix(".")) if owner else cfg
    if "n_iter" in present:
        _number(cfg, f"{owner}n_iter", at_least=1)
        _number(cfg, f"{owner}lr", above=0)
        _one_of(cfg, f"{owner}init", ("zero", "random"))
    if "sparsity" in present:
        _number(cfg, f"{owner}sparsity", at_least=0, at_most=1)


def resolve_solver(cfg: DictConfig) -> str:
    """Name the solver that will run: the order's default where the configuration says auto."""
    return default_solver(cfg.order.name) if cfg.solver.name == "auto" else str(cfg.solver.name)


def default_solver(order: str) -> str:
    """Name the solver that ``solver=auto`` means; for an order that does not exist, which `check` refuses, any."""
    return DEFAULTS[_ORDERS.get(order, 2)]


def _number(
    cfg: DictConfig,
    key: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    value: Any = OmegaConf.select(cfg, key)
    limits = []
    if at_least is not None:
        limits.append(f"at least {at_least}")
    if above is not None:
        limits.append(f"greater than {above}")
    if at_most is not None:
        limits.append(f"at most {at_most}")
    if below is not None:
        limits.append(f"less than {below}")
    right = (
        value is not None
        and math.isfinite(value)
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )
    if not right:
        raise ConfigError(key, value, f"must be {'finite, ' if isinstance(value, float) else ''}{' and '.join(limits)}")


def _one_of(cfg: DictConfig, key: str, allowed: tuple[str, ...]) -> None:
    value = OmegaConf.select(cfg, key)
    if value not in allowed:
        raise ConfigError(key, value, f"must be {choices(allowed)}")


def _check_batch_size(value: object) -> None:
    right = value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
    if not right:
        raise ConfigError("batch_size", value, "must be auto or a whole number of at least 1")


def _check_pictures(cfg: DictConfig) -> None:
    _number(cfg, "pictures.n", at_least=0)
    _one_of(cfg, "pictures.style", ("auto", "signed", "magnitude", "grey"))
    if cfg.pictures.size is not None:
        _number(cfg, "pictures.size", at_least=1, at_most=4096)


def _check_regions(cfg: DictConfig) -> None:
    _one_of(cfg, "regions.name", REGIONS)
    make_regions(cfg.regions)
    if cfg.regions.get("keep") is not None:
        _number(cfg, "regions.keep", at_least=1)


def _check_solver(cfg: DictConfig) -> None:
    solver, order = cfg.solver.name, cfg.order.name
    allowed = [name for name, known in SOLVERS.items() if _ORDERS[order] in known.orders]
    if solver != "auto" and solver not in allowed:
        raise ConfigError("solver", solver, f"cannot serve order={order}; use {choices(allowed)}")
    if solver == "closed_form" and order == "second" and (cfg.lambda1 > 0 or cfg.regularization.name != "fixed"):
        raise ConfigError(
            "solver",
            solver,
            "with order=second it needs lambda1=0 and regularization=fixed; "
            "use krylov, proximal, sgd, adam or lbfgs for other values",
        )
    if solver == "closed_form" and order == "second":
        if cfg.smooth:
            raise ConfigError("smooth", True, "must be false with solver=closed_form; solver=krylov averages, too")
        if cfg.curvature not in ("auto", "closed_form"):
            raise ConfigError("curvature", cfg.curvature, "must be auto or closed_form with solver=closed_form")


def _check_regularization(cfg: DictConfig) -> None:
    name = cfg.regularization.name
    if name == "fixed":
        return
    default = default_solver(cfg.order.name)
    if resolve_solver(cfg) != default:
        raise ConfigError("solver", cfg.solver.name, f"with regularization={name} it must be auto or {default}")
    if name == "path":
        _number(cfg, "regularization.n", at_least=2)
        values = cfg.regularization.lambda1s
        if values is not None and (len(values) == 0 or any(not (math.isfinite(v) and v >= 0) for v in values)):
            shown = f"[{','.join(map(str, values))}]"
            raise ConfigError("regularization.lambda1s", shown, "must be a list of finite numbers of at least 0")
