"""What is added to a command line before Hydra reads it: the directory of a run that goes on, or is shared."""

import hashlib
import os
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from caso.runner.errors import ConfigError
from caso.runner.plan import stored_overrides
from caso.runner.processes import Meeting, Process

_LAUNCHER = ("hydra/launcher=", "hydra.launcher.")


def arrange(arguments: list[str], outside: Process | None, meeting: Meeting | None) -> list[str]:
    """Complete a command line.

    ``resume=DIRECTORY`` becomes the overrides of the run or sweep there, and its directory; what is typed beside it
    takes precedence. Under SLURM, a command has a directory that is the same when the job is started again after a
    preemption. Processes that torchrun or srun started get one directory.

    Args:
        arguments: Without the program's name.
        outside: This process's place, where torchrun or srun started it.
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


def _resumed(directory: Path, typed: list[str]) -> list[str]:
    quoted = "'" + str(directory).replace("\\", "\\\\").replace("'", "\\'") + "'"
    if not directory.is_dir():
        raise ConfigError("resume", directory, "no such directory")
    sweep = directory / "multirun.yaml"
    if sweep.is_file():
        stored = OmegaConf.load(sweep).hydra.overrides
        before = [str(override) for override in stored.task]
        before += [str(override) for override in stored.hydra if str(override).startswith(_LAUNCHER)]
        flags = [] if {"-m", "--multirun"} & set(typed) else ["-m"]
        return [*flags, *_without(before, typed), *typed, f"hydra.sweep.dir={quoted}"]
    return [*_without(stored_overrides(directory), typed), *typed, f"hydra.run.dir={quoted}"]


def _without(before: list[str], typed: list[str]) -> list[str]:
    """The overrides of which none is typed anew."""
    keys = {argument.split("=")[0].lstrip("+~") for argument in typed}
    return [override for override in before if override.split("=")[0].lstrip("+~") not in keys]
