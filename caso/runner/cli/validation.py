"""The configuration's values, by themselves and with each other, checked before any weights load."""

from omegaconf import DictConfig, OmegaConf

from caso.curvature import OPERATORS
from caso.runner.cli.messages import ConfigError, choices
from caso.runner.cli.ranges import check_ranges
from caso.runner.cli.unknown_keys import check_keys
from caso.runner.regions import REGIONS, make_regions
from caso.solvers import DEFAULTS, SOLVERS

CURVATURES = ("auto", *OPERATORS)
_ORDERS = {"first": 1, "second": 2}
ORDERS = tuple(_ORDERS)
REGULARIZATIONS = ("fixed", "path", "auto")


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
    if cfg.resume is not None:
        raise ConfigError("resume", cfg.resume, "give it on the command line")
    check_ranges(cfg)
    _one_of(cfg, "order.name", ORDERS)
    _one_of(cfg, "regularization.name", REGULARIZATIONS)
    _one_of(cfg, "regions.name", ("none", *REGIONS))
    make_regions(cfg.regions)
    _one_of(cfg, "curvature", CURVATURES)
    _check_solver(cfg)
    _check_regularization(cfg)


def resolve_solver(cfg: DictConfig) -> str:
    """Name the solver that will run: the order's default where the configuration says auto."""
    return default_solver(cfg.order.name) if cfg.solver.name == "auto" else str(cfg.solver.name)


def default_solver(order: str) -> str:
    """Name the solver that ``solver=auto`` means; for an order that does not exist, which `check` refuses, any."""
    return DEFAULTS[_ORDERS.get(order, 2)]


def _one_of(cfg: DictConfig, key: str, allowed: tuple[str, ...]) -> None:
    value = OmegaConf.select(cfg, key)
    if value not in allowed:
        raise ConfigError(key, value, f"must be {choices(allowed)}")


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
