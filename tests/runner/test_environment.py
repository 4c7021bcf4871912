"""What a run notes of where it ran: the commit of its code, where there is one."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from caso.runner.execution.environment import git_commit
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "code.py").write_text("1\n")
    (folder / "installed.py").write_text("1\n")
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "code.py"], [*settings, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def head(folder: Path) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_commit_of_the_code(repository: Path) -> None:
    commit = head(repository).strip()
    assert git_commit(repository / "code.py") == {"commit": commit, "dirty": False}
    (repository / "code.py").write_text("2\n")
    assert git_commit(repository / "code.py") == {"commit": commit, "dirty": True}


def test_a_package_installed_inside_a_repository_is_not_of_its_commit(repository: Path) -> None:
    assert git_commit(repository / "installed.py") is None


def test_no_repository_no_git_and_a_git_that_hangs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git_commit(tmp_path / "code.py") is None
    assert git_commit(tmp_path / "nowhere" / "code.py") is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setattr("caso.runner.execution.environment._PATIENCE", 0.1)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert git_commit(repository / "code.py") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(repository / "code.py") is None


def test_a_run_notes_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = cli(*TINY, "dataset.names=[moon]")
    noted = json.loads((ended.directory / "environment.json").read_text())
    assert noted["git"] == git_commit(Path(__file__).resolve().parents[2] / "run.py")
    monkeypatch.setenv("PATH", str(ended.directory))
    ended = cli(*TINY, "dataset.names=[moon]")
    assert ended.code == 0
    assert json.loads((ended.directory / "environment.json").read_text())["git"] is None
