"""One of several processes of a run on one machine: ``python -m caso.runner.execution.worker DIRECTORY RANK WORLD``.

The configuration comes as the first line of the standard input, which then stays open for as long as the process lives
that started this one. What is explained goes into the run's directory; the other process prints, logs and ends the run.
"""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.messages import MISTAKES, describe
from caso.runner.execution.devices import find_device
from caso.runner.execution.predict import explain_share
from caso.runner.execution.processes import MISTAKE, REPORTED, Process, TerminatedError, end_on_sigterm
from caso.runner.execution.share import find_share
from caso.runner.results.manifest import read_manifest

log = logging.getLogger("caso.runner.execution.worker")


def main(directory: Path, rank: int, world: int) -> int:
    """Explain a share of a run.

    Returns:
        The exit status.
    """
    cfg = OmegaConf.create(json.loads(_first_line()))
    assert isinstance(cfg, DictConfig)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with end_on_sigterm():
            sys.path.insert(0, str(Path.cwd()))  # where `model.entry` may lie
            device = find_device(cfg.trainer.accelerator)
            share = find_share(cfg, directory, read_manifest(directory), Process(rank, world, rank), device)
            _log_to(directory, speaks=rank == 0)  # the process that started this one has logged what was found
            explain_share(share)
    except (KeyboardInterrupt, TerminatedError):
        return 0  # it was asked to; what is missing is seen in the directory
    except MISTAKES as error:
        print(error, file=sys.stderr)
        return MISTAKE
    except Exception as error:
        log.debug("failed", exc_info=True)
        print(f"process {rank} of {world}: {type(error).__name__}: {describe(error)}", file=sys.stderr)
        return REPORTED
    return 0


def _first_line() -> bytes:
    """Read a line from the standard input, past Python's buffer, which a waiting thread would hold at the end."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1 << 16)
        if not more:
            raise SystemExit(REPORTED)
        line += more
    return line


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if that was killed."""
    while os.read(0, 1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _log_to(directory: Path, *, speaks: bool) -> None:
    """Log as the run does: to its log file, and to the terminal what only one process should say."""
    logging.raiseExceptions = False  # as in `caso.runner.cli.app`
    logger = logging.getLogger("caso")
    logger.setLevel(logging.DEBUG)
    file = logging.FileHandler(directory / "caso.log", encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
    logger.addHandler(file)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO if speaks else logging.WARNING)
    logger.addHandler(terminal)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
