"""How many processes a run may start: not more than cores, nor than batches."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from caso.runner import load_run
from caso.runner.cli.messages import ConfigError
from caso.runner.execution.cores import cpu_quota, usable_cores
from caso.runner.execution.devices import count_processes
from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
VERSION_1 = "3:memory:/job\n2:cpu,cpuacct:/job\n1:cpuset:/job\n"
VERSION_2 = "0::/user/job\n"


def groups(folder: Path, lines: str, files: dict[str, str]) -> float:
    (folder / "groups").write_text(lines)
    for name, content in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return cpu_quota(folder / "groups", folder / "mount")


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        (VERSION_2, {"user/job/cpu.max": "150000 100000\n"}, 1.5),
        (VERSION_2, {"user/job/cpu.max": "max 100000\n"}, math.inf),
        (VERSION_2, {"user/job/cpu.max": "400000 100000\n", "user/cpu.max": "200000 100000\n"}, 2),
        # In a container the path may be the host's, while its own group is mounted at the top.
        (VERSION_2, {"cpu.max": "300000 100000\n"}, 3),
        (
            VERSION_1,
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "50000\n"},
            5,
        ),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        (VERSION_1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, math.inf),
        (VERSION_2, {"user/job/cpu.max": "what\n"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_of_control_groups(tmp_path: Path, lines: str, files: dict[str, str], quota: float) -> None:
    assert groups(tmp_path, lines, files) == quota


def test_no_control_groups_are_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.parametrize(("quota", "cores"), [(math.inf, 4), (2.5, 3), (0.1, 1), (9, 4)])
def test_usable_cores(monkeypatch: pytest.MonkeyPatch, quota: float, cores: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)), raising=False)
    monkeypatch.setattr("caso.runner.execution.cores.cpu_quota", lambda: quota)
    assert usable_cores() == cores


def test_more_processes_than_cores_are_refused_before_anything_loads(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a process would be started")

    monkeypatch.setattr("caso.runner.execution.processes._start", never)
    monkeypatch.setattr("caso.runner.execution.run.find_samples", never)
    monkeypatch.setattr("caso.runner.execution.devices.usable_cores", lambda: 3)
    ended = cli(*TINY, "trainer=cpu", "trainer.devices=99")
    assert ended.code == 2
    assert ended.err.splitlines() == ["trainer.devices=99: must be at most 3, the CPU cores that may be used here"]
    assert count_processes(3, "cpu") == 3
    with pytest.raises(ConfigError, match="must be at most 3"):
        count_processes(4, "cpu")


def test_there_are_no_more_processes_than_batches(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.execution import processes

    started = []
    start = processes._start
    monkeypatch.setattr(
        processes,
        "_start",
        lambda *arguments: (started.append(arguments[2:]), start(*arguments))[1],
    )
    monkeypatch.setattr("caso.runner.execution.devices.usable_cores", lambda: 4)
    ended = cli(*TINY, "dataset=crops", "dataset.n=3", "batch_size=2", "trainer=cpu", "trainer.devices=4")
    assert ended.code == 0, ended.err
    assert started == [(0, 2), (1, 2)]
    assert len(load_run(ended.directory).maps) == 3
