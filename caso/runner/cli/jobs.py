"""Jobs checked before anything runs: the values of one, and all jobs of a sweep before the first of them."""

import copy
import shlex
from collections.abc import Mapping, Sequence
from itertools import product

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.effects import typed_keys, without_effect
from caso.runner.cli.known import Sources
from caso.runner.cli.messages import ConfigError, UsageError, program
from caso.runner.cli.validation import check
from caso.runner.explain.methods import choose_by_explainer
from caso.runner.explain.scoring import make_metrics
from caso.runner.results.loggers import make_loggers

_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def settle(composed: DictConfig) -> DictConfig:
    """Let keys that choose others do so, and check all that can be checked without looking at images or weights.

    Args:
        composed: As Hydra composed it; stays as it is.

    Returns:
        What runs: with the data set that ``image`` stands for, and the order that the explainer does.

    Raises:
        ConfigError: For the first mistake.
    """
    cfg = copy.deepcopy(composed)
    OmegaConf.set_struct(cfg, False)
    if cfg.image is not None:
        _replace_images(cfg)
    choose_by_explainer(cfg)
    check(cfg)
    make_metrics(cfg)
    make_loggers(cfg.logger)
    return cfg


def _replace_images(cfg: DictConfig) -> None:
    """Put the key ``image`` in place of the data set, or of the source of crops."""
    if cfg.image == "":
        raise ConfigError("image", "", "must be a file, a folder or a list of these, or a pattern")
    replacement = {
        "name": "images",
        "path": cfg.image,
        "recursive": cfg.dataset.get("recursive", False),
        "subset": OmegaConf.select(cfg, "dataset.subset"),
    }
    if cfg.dataset.name == "crops":
        cfg.dataset.source = replacement
    else:
        cfg.dataset = replacement


def settle_alone(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Settle a run that is no sweep: every key that was typed must be read, and it must be no half experiment.

    Args:
        composed: As Hydra composed it; stays as it is.
        overrides: As they were typed.

    Returns:
        What runs, as from :func:`settle`.

    Raises:
        ConfigError: For the first mistake.
    """
    if composed.experiment is not None:
        _check_whole(composed, overrides)
    unread = without_effect(composed, typed_keys(overrides))
    cfg = settle(composed)
    for error in unread.values():
        raise error
    return cfg


def _check_whole(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """See whether what an experiment sweeps over has values: without -m, those that are typed."""
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    left = [str(key) for key in HydraConfig.get().sweeper.get("params") or () if str(key) not in given]
    if left:
        command = shlex.join([*program().split(), "-m", *overrides])
        one = " ".join(f"{key}=..." for key in left)
        raise ConfigError("experiment", cfg.experiment.name, f"is a sweep: {command} (or give one job's {one})")


def check_sweep(sources: Sources, overrides: Sequence[str]) -> list[str]:
    """Check a sweep's jobs before the first one runs.

    Every combination of the groups' choices is composed, and every value of each key; a mistake in any of them stops
    the sweep. A key that was typed must be read by one of the jobs at least.

    Args:
        sources: Where the configuration comes from.
        overrides: The command line's, without flags.

    Returns:
        Lines that say which keys have no effect in some of the jobs.

    Raises:
        ConfigError: For the first mistake, with the job that has it.
    """
    with sources.opened():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides(list(overrides))
        own = [one for one in parsed if not one.is_hydra_override()]
        fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        sweeper = sources.compose(fixed, with_hydra=True).hydra.sweeper
        if sweeper._target_ != _BASIC:
            return []  # another sweeper makes its jobs as it goes
        params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
        swept = parser.parse_overrides(params)
        return _checked([_composed(job, sources) for job in _jobs([*swept, *own], sources)])


Job = tuple[str, DictConfig, Mapping[str, str]]
"""What is swept, the job's configuration, and the keys that were typed."""


def _composed(job: Sequence[tuple[str, bool]], sources: Sources) -> Job:
    overrides = [text for text, _ in job]
    return (
        " ".join(text for text, varies in job if varies),
        sources.compose(overrides),
        typed_keys(overrides),
    )


def _jobs(overrides: Sequence[Override], sources: Sources) -> list[list[tuple[str, bool]]]:
    """Jobs in which every combination of groups occurs, and every value: each override, and whether it is swept.

    A sweep over values alone needs not be composed whole: a value is wrong by itself, or with the choice of a group.
    """
    values: dict[str, list[str]] = {}
    for one in overrides:  # of a key given twice, the last counts, as in Hydra
        key = one.get_key_element()
        if one.is_sweep_override() and not one.is_discrete_sweep():
            raise UsageError(
                f"{one.input_line}: has no list of values; give them, as {key}=1,2, or as {key}=range(1,3)"
            )
        swept = [f"{key}={value}" for value in one.sweep_string_iterator()] if one.is_discrete_sweep() else []
        values[key] = swept or [f"{key}={one.get_value_element_as_str()}"]
    known = sources.choices()
    groups = [key for key in values if key.lstrip("+").removesuffix(".name") in known]
    others = {key: texts for key, texts in values.items() if key not in groups}
    jobs = []
    for chosen in product(*(values[key] for key in groups)):
        base = dict(zip(groups, chosen, strict=True)) | {key: texts[0] for key, texts in others.items()}
        variations = [base | {key: text} for key, texts in others.items() for text in texts[1:]]
        jobs += [[(one[key], len(values[key]) > 1) for key in values] for one in (base, *variations)]
    return jobs


def _checked(jobs: Sequence[Job]) -> list[str]:
    unread: dict[str, list[ConfigError]] = {}
    for swept, cfg, typed in jobs:
        for key, error in without_effect(cfg, typed).items():
            unread.setdefault(key, []).append(error)
        _check_job(cfg, swept)
    for errors in unread.values():
        if len(errors) == len(jobs):
            raise errors[0]
    return [f"{errors[0]} (in some of the jobs)" for errors in unread.values()]


def _check_job(cfg: DictConfig, swept: str) -> None:
    try:
        settle(cfg)
    except ConfigError as error:
        error.args = (f"{error} (in the job {swept}; no job was run)",) if swept else error.args
        raise
