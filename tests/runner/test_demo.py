"""The program itself, in its own process: the default network on real photographs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caso.runner import load_run
from tests.conftest import ROOT


def program(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_the_demo_on_some_photographs(tmp_path: Path) -> None:
    ended = program(tmp_path, "order=second", "lambda1=1e-4", "dataset.names=[coffee,camera]", "hydra.run.dir=out")
    assert ended.returncode == 0, ended.stderr
    assert "espresso" in ended.stdout
    assert ended.stdout.rstrip().endswith("results: out")
    assert "Warning" not in ended.stderr
    assert "\x1b[" not in ended.stdout + ended.stderr
    run = load_run(tmp_path / "out")
    rows = run.table.set_index("image")
    assert rows["predicted_name"].to_dict() == {"coffee": "espresso", "camera": "tripod"}
    assert (rows["confidence"] > 0.9).all()
    for name, row in rows.iterrows():
        assert row["status"] == "floor" or row["kkt_residual"] <= 1e-3
        assert run.maps[name].shape == (3, 224, 224)
        assert (run.maps[name] == 0).mean() == pytest.approx(row["sparsity"])


def test_printing_the_configuration_does_not_run(tmp_path: Path) -> None:
    ended = program(tmp_path, "--cfg", "job", "lambda1=5e-4")
    assert ended.returncode == 0
    assert "lambda1: 0.0005" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_lists_groups_and_keys(tmp_path: Path) -> None:
    ended = program(tmp_path, "--help")
    assert ended.returncode == 0
    assert "order: first, second" in ended.stdout
    assert "lambda2: 4.0" in ended.stdout
    assert "schema" not in ended.stdout


def test_shell_completion(tmp_path: Path) -> None:
    assert "complete" in program(tmp_path, "-sc", "install=bash").stdout
    line = "python run.py order=sec"
    ended = program(tmp_path, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert ended.stdout.split() == ["order=second"]
