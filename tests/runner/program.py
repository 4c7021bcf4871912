"""The program in processes of its own, for tests of what happens to processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from caso.runner import Run, load_run
from tests.conftest import ROOT

CHANGING = ["seconds", "map"]
"""Columns that differ from run to run."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *arguments]


def environment(**more: str) -> dict[str, str]:
    outer = ("SLURM_", "RANK", "WORLD_SIZE", "COLUMNS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(outer)}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def start(directory: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), cwd=directory, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=take_signals,
    )  # fmt: skip


def take_signals() -> None:
    """Let Ctrl-C reach a program although it does not reach the tests, as in the background of a shell's script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=directory, env=environment(**more), capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


def same(one: Run | Path, other: Run | Path, *, exactly: bool = True) -> None:
    """Assert that two runs have the same table and maps."""
    one, other = (load_run(r) if isinstance(r, Path) else r for r in (one, other))
    tables = [r.table.drop(columns=CHANGING) for r in (one, other)]
    if exactly:
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    else:
        pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-5)
    assert list(one.maps) == list(other.maps)
    for name in one.maps:
        if exactly:
            np.testing.assert_array_equal(one.maps[name], other.maps[name])
        else:
            scale = np.abs(one.maps[name]).max()
            np.testing.assert_allclose(one.maps[name], other.maps[name], rtol=0, atol=1e-5 * scale)
