"""The command line: Hydra composes, one job runs, and every mistake becomes one line."""

import errno
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from caso.extras import install_command
from caso.lean import uncollected
from caso.runner.cli.arguments import (
    arrange,
    check_choices,
    check_launcher,
    check_mode,
    given_twice,
    is_sweep,
    overrides_to_check,
    tidy,
    user_directory,
)
from caso.runner.cli.known import Sources
from caso.runner.cli.messages import MISTAKES, describe, hydra_line, printable, program
from caso.runner.cli.schema import register
from caso.runner.execution.processes import (
    MISTAKE,
    Meeting,
    Process,
    ProcessFailedError,
    TerminatedError,
    end_on_sigterm,
    from_outside,
)

log = logging.getLogger(__name__)

_FULL = "HYDRA_FULL_ERROR"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(config_dir: Path) -> int:
    """Run the command line in ``sys.argv``.

    Args:
        config_dir: Where ``config.yaml`` and the groups lie.

    Returns:
        The exit status: 0 if every image has a map, 1 if an image or a job failed, 2 for a mistake in the
        configuration, 130 after an interruption.
    """
    register()
    logging.raiseExceptions = False  # a log file that cannot be written must not hide what else is said
    full = os.environ.get(_FULL, "0") not in ("", "0")
    outside = from_outside()
    meeting = None if outside is None else Meeting(outside)
    leads = outside is None or outside.leads
    try:
        notes, sources = _arrange_arguments(config_dir, outside, meeting)
    except MISTAKES as error:
        print(error, file=sys.stderr)
        return MISTAKE
    status = _Status(full, outside, meeting)
    run = hydra.main(version_base=None, config_path=str(config_dir), config_name="config")(status.job)
    # Hydra prints its errors over several lines and ends the process, unless this variable asks for the exception.
    os.environ[_FULL] = "1"
    try:
        with end_on_sigterm():
            _say([*notes, *_check_jobs(sources)] if leads else [])
            run()
    except KeyboardInterrupt:
        print(f"interrupted; {_kept(status.begun())}", file=sys.stderr)
        return 130
    except TerminatedError:
        print(f"terminated; {_kept(status.begun())}", file=sys.stderr)
        return 143
    except Exception as error:
        if full:
            raise
        return _explained(error, sources)
    finally:
        if not full:
            os.environ.pop(_FULL, None)
    return status.code()


def _arrange_arguments(config_dir: Path, outside: Process | None, meeting: Meeting | None) -> tuple[list[str], Sources]:
    """Check ``sys.argv`` and bring it into Hydra's form; give what the user should know of it, and what it reads."""
    sys.argv[1:] = tidy(sys.argv[1:])
    check_mode(sys.argv[1:])
    check_choices(sys.argv[1:], Sources(config_dir, user_directory(sys.argv[1:])).choices())
    notes = given_twice(sys.argv[1:])
    sys.argv[1:] = tidy(arrange(sys.argv[1:], outside, meeting))  # what is resumed may bring flags
    check_launcher(sys.argv[1:])
    return notes, Sources(config_dir, user_directory(sys.argv[1:]))  # what is resumed has its own


def _explained(error: Exception, sources: Sources) -> int:
    """Print one line about an error that no job raised, and give the exit status."""
    if isinstance(error, MISTAKES):  # of a sweep's jobs, before the first one runs
        print(error, file=sys.stderr)
        return MISTAKE
    if type(error).__module__.split(".")[0] in ("joblib", "submitit"):
        return _launcher_failed(error)
    if isinstance(error, OSError) and error.errno is not None:  # Hydra cannot make the directory
        print(f"the run's directory cannot be written: {describe(error)}", file=sys.stderr)
        return 1 if error.errno in _NO_ROOM else MISTAKE
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    groups = sources.choices() | {"hydra/launcher": _launchers()}
    print(hydra_line(error, sources.keys(overrides), groups, overrides), file=sys.stderr)
    return MISTAKE


def _launchers() -> list[str]:
    joblib, slurm = install_command("joblib"), install_command("slurm")
    return ["basic", f"joblib ({joblib})", f"submitit_slurm ({slurm})", "submitit_local (the same)"]


def _check_jobs(sources: Sources) -> list[str]:
    """Check the jobs of a sweep, where the command line asks for one, and give what the user should know."""
    overrides = overrides_to_check(sys.argv[1:])
    if overrides is None:
        return []
    from caso.runner.cli.jobs import check_sweep

    return check_sweep(sources, overrides)


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        print(note, file=sys.stderr)


class _Status:
    """Runs jobs for Hydra and remembers how they ended."""

    def __init__(self, full: bool, outside: Process | None, meeting: Meeting | None) -> None:
        self.full, self.outside, self.meeting = full, outside, meeting
        self.exit_code = 0
        self.directory: Path | None = None
        self.sweep: Path | None = None

    def job(self, cfg: DictConfig) -> None:
        """Run one job. In a sweep, an error is logged at once in one line, and the sweep goes on."""
        # Lightning, pandas and the rest take seconds to import: not for --help, --cfg and mistakes that Hydra finds.
        with uncollected():
            from caso.runner.execution.run import run_job
            from caso.runner.results.sweep import sweep_directory

        self.directory = directory = Path(HydraConfig.get().runtime.output_dir)
        self.sweep = sweep_directory()
        leads = self.outside is None or self.outside.leads
        if not leads:
            _be_quiet()
        try:
            self.exit_code = max(self.exit_code, run_job(cfg, directory, self.meeting, self.outside))
        except Exception as error:
            if self.full:
                raise
            self._failed(error, directory, leads)
        except SystemExit as end:  # what is called here may be the user's code
            self._failed(RuntimeError(f"the program was ended by sys.exit({end.code!r})"), directory, leads)

    def _failed(self, error: Exception, directory: Path, leads: bool) -> None:
        from caso.runner.results.manifest import ForeignDirectoryError, write_json
        from caso.runner.results.store import SUMMARY

        log.debug("failed", exc_info=True)
        mistake = isinstance(error, MISTAKES)
        if leads and not isinstance(error, ForeignDirectoryError):
            with suppress(OSError):
                write_json(directory / SUMMARY, {"status": "failed", "message": describe(error)})
        if self.sweep is not None:
            log.error("job %s failed: %s", HydraConfig.get().job.num, describe(error))
            self.exit_code = 1
        elif mistake:
            print(error, file=sys.stderr)
            self.exit_code = MISTAKE
        elif isinstance(error, ProcessFailedError):
            print(f"{describe(error)}; {_kept(directory)}", file=sys.stderr)
            self.exit_code = MISTAKE if error.status == MISTAKE else 1
        elif isinstance(error, OSError) and error.errno in _NO_ROOM:
            print(f"no room left in {directory} ({describe(error)}); {_kept(directory)}", file=sys.stderr)
            self.exit_code = 1
        else:
            hint = f"the traceback is in {directory / 'caso.log'}; {_kept(directory)}"
            print(f"{type(error).__name__}: {describe(error)} ({hint})", file=sys.stderr)
            self.exit_code = 1

    def begun(self) -> Path | None:
        """Find the directory of the run or sweep that was begun; None where there is none yet."""
        if self.sweep is None and is_sweep(sys.argv[1:]):  # its jobs run in other processes
            from caso.runner.results.sweep import SweepTable

            return SweepTable.directory
        return self.sweep or self.directory

    def code(self) -> int:
        """Give the exit status; jobs of a sweep may have run in other processes, and left it in their directories."""
        if self.exit_code == 0 and is_sweep(sys.argv[1:]):
            from caso.runner.results.sweep import SweepTable, any_failed

            return int(SweepTable.directory is not None and any_failed(SweepTable.directory))
        return self.exit_code


def _kept(directory: Path | None) -> str:
    """Say what there is of a run or a sweep that ended early, and how it goes on."""
    from caso.runner.results.manifest import PLAN, shown

    if directory is None or not any((directory / name).is_file() for name in (PLAN, "multirun.yaml")):
        return "nothing was explained yet"
    override = shlex.quote(f"resume={printable(str(shown(directory)))}")
    return f"what was explained so far is kept; go on with {program()} {override}"


def _launcher_failed(error: Exception) -> int:
    """Say that a process died that a launcher had started a job in; the jobs' results so far are shown."""
    from caso.runner.results.sweep import SweepTable, show

    if SweepTable.directory is not None:
        show(SweepTable.directory)
    print(
        f"the sweep stopped, for a job's process died: {describe(error)}; {_kept(SweepTable.directory)}",
        file=sys.stderr,
    )
    return 1


def _be_quiet() -> None:
    """Leave the terminal to the first process."""
    for name in (None, "caso"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler:
                logger.removeHandler(handler)
