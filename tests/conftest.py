"""What tests of several parts share."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

# Small matrices, and tests side by side: threads that wait for each other cost more than they give. Torch, which is not
# imported yet, and the programs that tests start follow it.
os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"


class Ended(NamedTuple):
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def directory(self) -> Path:
        """Where its results lie."""
        return Path(self.out.split("results: ")[-1].splitlines()[0])


PROGRAM = ("runner", "experiments", "test_docs.py", "test_imports.py")
"""Tests of the program, which chooses its device itself: a GPU where `--device cuda` leaves one visible."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="cpu, cuda or simulated; see tests/devices.py")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the device before anything of the library is imported."""
    name = config.getoption("--device")
    if name.split(":")[0] != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the program, too, is to run on the processor
    if name != "cpu":
        from tests import devices

        try:
            devices.use(name)
        except (RuntimeError, AssertionError, ImportError) as error:
            raise pytest.UsageError(f"--device {name}: there is none ({error})") from error


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.getoption("--device") != "cpu":
        from tests import devices

        devices.leave()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip on the simulated device what starts the program, which knows no such device."""
    if config.getoption("--device") != "simulated":
        return
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in PROGRAM:
            item.add_marker(pytest.mark.skip(reason="the program runs on processors and GPUs alone"))


def pytest_collection_finish() -> None:
    """Torch and the tests leave millions of objects, through which each full garbage collection would go."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """What looks for references at the end finds them."""
    gc.unfreeze()


@contextmanager
def logging_restored() -> Iterator[None]:
    """Afterwards, the handlers and levels that a run of the program sets are as they were before."""
    loggers = [logging.getLogger(), logging.getLogger("caso")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """The command line in this process, in an empty directory: importing torch anew each time would take too long."""
    from caso.runner.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # of the terminal in which the tests run

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        capfd.readouterr()
        code = main(CONF)
        return Ended(code, *capfd.readouterr())

    with logging_restored():
        yield run
