"""A command line before Hydra reads it: what cannot be meant is refused, what is missing is added."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from caso.extras import needs
from caso.runner.cli.known import entries
from caso.runner.cli.messages import ConfigError, UsageError, choose
from caso.runner.execution.processes import Meeting, Process
from caso.runner.results.loggers import LOGGERS
from caso.runner.results.manifest import stored_overrides

_LAUNCHER = ("hydra/launcher=", "hydra.launcher.")
_MULTIRUN = ("-m", "--multirun")
_CONFIG_DIR = ("--config-dir", "-cd")
_PLUGINS = {
    "joblib": ("joblib", "hydra_plugins.hydra_joblib_launcher"),
    "submitit_local": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_slurm": ("slurm", "hydra_plugins.hydra_submitit_launcher"),
}
"""The extra that a launcher needs, and its module."""
_QUOTED_OR_HOME = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(^|[\[,]\s*)~(?=[/,\]]|$)""")
_SPECIAL = re.compile(r"([\\()\[\]{}:=, \t])")
"""What has a meaning in Hydra's grammar."""


def tidy(arguments: Sequence[str]) -> list[str]:
    """Put flags and overrides into the order that Hydra reads.

    Args:
        arguments: Without the program's name.

    Raises:
        UsageError: For what is neither a flag nor an override.
    """
    from hydra._internal.utils import get_args_parser

    flags = [argument for argument in arguments if argument in _MULTIRUN]
    rest = [argument for argument in arguments if argument not in _MULTIRUN]
    read, left = get_args_parser().parse_known_args(rest)
    rest = [_absolute(argument, read.config_dir) for argument in rest]
    for argument in left:
        if argument.startswith("-"):
            plain = argument.lstrip("-")
            known = f"write it without dashes: {plain}" if "=" in plain else "--help lists flags, groups and keys"
            raise UsageError(f"{argument}: no such flag; {known}")
    overrides = [*read.overrides, *left]
    completes = read.shell_completion
    for override in () if completes else overrides:
        if override.startswith("~") and not override.startswith("~hydra"):
            raise UsageError(f"{override}: nothing can be deleted; leave a key out, and it has its default")
        if "=" not in override and not override.startswith("~"):
            raise UsageError(f"{override}: must be KEY=VALUE, as lambda1=1e-4; --help lists groups and keys")
    ordered = [*left, *(argument for argument in rest if argument not in left)]
    return [*flags[:1], *(expand_home(write_out(argument)) for argument in ordered)]


def write_out(override: str) -> str:
    """Write out what is short for another key: ``pictures=100`` for ``pictures.n=100``."""
    key, equals, value = override.partition("=")
    if key.lstrip("+") == "pictures" and equals and not value.startswith("{"):
        return f"{key}.n={value}"
    return _with_owner(override)


def _with_owner(override: str) -> str:
    """Write ``logger.project=x`` as ``logger.wandb.project=x``, where only one logger has such an option."""
    group, _, option = override.partition("=")[0].lstrip("+").partition(".")
    owners = [name for name, kind in LOGGERS.items() if option in (field.name for field in fields(kind))]
    if group != "logger" or len(owners) != 1:
        return override
    return override.replace("logger.", f"logger.{owners[0]}.", 1)


def _absolute(argument: str, directory: str | None) -> str:
    """Write the value of ``--config-dir`` so that it holds from everywhere, for what is resumed elsewhere."""
    flag, equals, value = argument.partition("=")
    absolute = str(Path(directory or "").expanduser().absolute())
    if directory and equals and flag in _CONFIG_DIR and value == directory:
        return f"{flag}={absolute}"
    return absolute if argument == directory else argument


def user_directory(arguments: Sequence[str]) -> Path | None:
    """Find the directory of ``--config-dir``, with the user's own files of configuration."""
    from hydra._internal.utils import get_args_parser

    directory = get_args_parser().parse_known_args(list(arguments))[0].config_dir
    return Path(directory) if directory else None


def check_launcher(arguments: Sequence[str]) -> None:
    """See whether the launcher that is chosen is installed.

    Raises:
        MissingPackageError: With the command that installs it.
    """
    for argument in arguments:
        choice = argument.partition("=")[2]
        if argument.startswith(_LAUNCHER[0]) and choice in _PLUGINS:
            extra, module = _PLUGINS[choice]
            with needs(extra, argument):
                import_module(module)


def expand_home(override: str) -> str:
    """Write out ``~`` at the beginning of a value, or of a list's entry: shells leave it, and Hydra cannot read it.

    What is quoted stays: Hydra can read it, and the key's reader expands it.
    """
    key, equals, value = override.partition("=")
    home = str(Path.home()) if key == "resume" else _SPECIAL.sub(r"\\\1", str(Path.home()))
    return key + equals + _QUOTED_OR_HOME.sub(lambda found: found[0] if found[1] is None else found[1] + home, value)


def check_choices(arguments: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse lists as a group's choice, of which Hydra would let the last one win; several loggers work together.

    Args:
        arguments: Without the program's name.
        groups: The choices of each group.

    Raises:
        ConfigError: With the choices.
    """
    for argument in arguments:
        group, _, value = argument.lstrip("+").partition("=")
        if group not in groups or not value.strip("'\"").startswith(("[", "{")):
            continue
        if group != "logger":
            raise ConfigError(group, value, choose(group, groups[group]))
        for choice in entries(value):
            if choice not in groups[group]:
                raise ConfigError(group, choice, choose(group, groups[group], choice))


def check_mode(arguments: Sequence[str]) -> None:
    """Refuse settings of a sweep without one, and of a single run in a sweep. What is resumed knows its own kind.

    Args:
        arguments: Without the program's name.

    Raises:
        UsageError: Naming the setting.
    """
    if any(argument.startswith("resume=") for argument in arguments):
        return
    sweep = is_sweep(arguments)
    for argument in arguments:
        plain = argument.lstrip("+")
        if sweep and plain.startswith("hydra.run.dir="):
            raise UsageError(f"{argument}: has no effect with -m; hydra.sweep.dir=DIRECTORY says where a sweep goes")
        if not sweep and plain.startswith((*_LAUNCHER, "hydra.sweep.", "hydra.sweeper.", "hydra/sweeper=")):
            raise UsageError(f"{argument}: has no effect without -m, which makes the command a sweep")


def given_twice(arguments: Sequence[str]) -> list[str]:
    """Say which keys were typed twice with different values; the last one counts."""
    said = {}
    last: dict[str, str] = {}
    for argument in arguments:
        key, equals, _ = argument.lstrip("+").partition("=")
        if equals and not key.startswith("-"):
            if last.setdefault(key, argument) != argument:
                said[key] = f"{key} is given twice; {argument} counts"
            last[key] = argument
    return list(said.values())


def arrange(arguments: list[str], outside: Process | None, meeting: Meeting | None) -> list[str]:
    """Complete a command line.

    ``resume=DIRECTORY`` becomes the overrides of the run or sweep there, and its directory; what is typed beside it
    takes precedence. Under SLURM, a command has a directory that is the same when the job is started again after a
    preemption. Processes that torchrun or srun started get one directory.

    Args:
        arguments: Without the program's name.
        outside: This process's rank, where torchrun or srun started it.
        meeting: Of those processes.

    Raises:
        ConfigError: If there is nothing to resume, or if jobs are to be launched by processes that are many already.
    """
    launcher = [argument for argument in arguments if argument.startswith(_LAUNCHER[0])]
    if outside is not None and launcher and launcher[-1] != "hydra/launcher=basic":
        key, _, choice = launcher[-1].partition("=")
        raise ConfigError(key, choice, "not under torchrun or srun, which start each job's processes")
    asked = [argument for argument in arguments if argument.split("=")[0] == "resume"]
    if asked:
        rest = [argument for argument in arguments if argument not in asked]
        if asked[-1] in ("resume", "resume="):
            raise ConfigError("resume", "", "must be a run's or a sweep's directory")
        return _resumed(Path(asked[-1].partition("=")[2].strip("'\"")).expanduser(), rest)
    if any(argument.lstrip("+").startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for argument in arguments):
        return arguments
    name = None
    if "SLURM_JOB_ID" in os.environ:
        # One job may run several commands, each of which must find its own results again.
        name = f"slurm-{os.environ['SLURM_JOB_ID']}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}"
    elif outside is not None:
        name = f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}"
    if meeting is not None:
        name = meeting.agree(name)
    if name is None:
        return arguments
    return [*arguments, f"hydra.run.dir=outputs/{name}", f"hydra.sweep.dir=multirun/{name}"]


def is_sweep(arguments: Sequence[str]) -> bool:
    """Tell whether a command line asks for a sweep."""
    return bool({*_MULTIRUN, "hydra.mode=MULTIRUN"} & set(arguments))


def overrides_to_check(arguments: Sequence[str]) -> list[str] | None:
    """The overrides of a sweep that will run from ``conf/``; None for anything else, as ``--cfg`` and ``--help``."""
    from hydra._internal.utils import get_args_parser

    if not is_sweep(arguments):
        return None
    read = get_args_parser().parse_known_args(list(arguments))[0]
    shows = read.help or read.hydra_help or read.cfg or read.info or read.shell_completion or read.experimental_rerun
    elsewhere = read.config_path or read.config_name
    return None if shows or elsewhere else list(read.overrides)


def _resumed(directory: Path, typed: list[str]) -> list[str]:
    quoted = "'" + str(directory).replace("\\", "\\\\").replace("'", "\\'") + "'"
    if not directory.is_dir():
        raise ConfigError("resume", directory, "no such directory")
    sweep = directory / "multirun.yaml"
    if sweep.is_file():
        stored = OmegaConf.load(sweep)
        before = [str(override) for override in stored.hydra.overrides.task]
        before += [str(override) for override in stored.hydra.overrides.hydra if str(override).startswith(_LAUNCHER)]
        before = [write_out(override) for override in before]
        flags = [] if set(_MULTIRUN) & set(typed) else ["-m"]
        return [*flags, *_without(before, typed), *_sources(stored, typed), *typed, f"hydra.sweep.dir={quoted}"]
    before = _without([write_out(override) for override in stored_overrides(directory)], typed)
    kept = directory / ".hydra" / "hydra.yaml"
    sources = _sources(OmegaConf.load(kept), typed) if kept.is_file() else []
    return [*before, *sources, *typed, f"hydra.run.dir={quoted}"]


def _sources(stored: Any, typed: Sequence[str]) -> list[str]:
    """The ``--config-dir`` of what Hydra stored of a run or a sweep, unless it is typed anew."""
    if user_directory(typed) is not None:
        return []
    sources = OmegaConf.select(stored, "hydra.runtime.config_sources") or ()
    return [f"{_CONFIG_DIR[0]}={source.path}" for source in sources if source.provider == "command-line"]


def _without(before: list[str], typed: list[str]) -> list[str]:
    """The overrides of which none is typed anew."""
    keys = {argument.split("=")[0].lstrip("+~") for argument in typed}
    return [override for override in before if override.split("=")[0].lstrip("+~") not in keys]
