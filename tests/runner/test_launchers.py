"""Launchers of sweeps: jobs in other processes, side by side, on their parts of a machine."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch

from caso.extras import install_command
from caso.runner import load_run
from caso.runner.execution.devices import count_processes, own_device, take_share_of_machine
from tests.conftest import Ended
from tests.runner import program
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
VALUES = ("4", "0", "5", "6", "7", "8")


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param(("joblib", "hydra.launcher.n_jobs=3"), id="joblib"),
        pytest.param(("submitit_local",), id="submitit_local", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_of_jobs_in_several_processes(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    ended = program.run(
        tmp_path, "-m", f"hydra/launcher={launcher[0]}", *launcher[1:], *TINY, "dataset=crops", "dataset.n=4",
        "trainer=ddp_cpu", f"dataset.subset.n={','.join(VALUES)}", "hydra.sweep.dir=sweep", "logger=none",
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.count("(medians over a job's images)") == 1, "one table"
    assert "Traceback" not in ended.stdout + ended.stderr
    sweep = tmp_path / "sweep"
    jobs = pd.read_csv(sweep / "sweep.csv")
    assert jobs["job"].tolist() == list(range(6))
    assert jobs["status"].tolist() == ["failed" if value == "0" else "finished" for value in VALUES]
    assert "dataset.subset.n=0: must be at least 1" in jobs.loc[1, "message"]
    for job, value in enumerate(VALUES):
        if value == "0":
            continue
        run = load_run(sweep / str(job))
        assert len(run.maps) == 4
        assert run.config.dataset.subset.n == int(value), "the schema makes it a number"
        assert len(list((run.directory / "parts").glob("*.jsonl"))) == 2
        log = (run.directory / "caso.log").read_text()
        assert log.count("4 images, order=first, on cpu, 2 processes") == 1
    if launcher[0] == "joblib":
        told = [line for line in ended.stderr.splitlines() if line.startswith("job 1 failed")]
        assert told == ["job 1 failed: dataset.subset.n=0: must be at least 1"]
        assert ended.stderr.count("4 images, order=first, on cpu, 2 processes") == 5, "each job logs once"


DYING = """
import os, signal
from tests.runner import networks


def make():
    os.kill(os.getpid(), signal.SIGKILL)


def wait():
    import time
    time.sleep(120)
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_job_whose_process_dies_is_listed(tmp_path: Path, launcher: str) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    ended = program.run(
        tmp_path, "-m", f"hydra/launcher={launcher}", "model=python", "hydra.sweep.dir=sweep", "dataset.names=[moon]",
        "model.entry=dying:make,dying:make",
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert "the sweep stopped, for a job's process died: " in ended.stderr.splitlines()[-1]
    assert "resume=" in ended.stderr.splitlines()[-1]
    assert "killed" in pd.read_csv(tmp_path / "sweep" / "sweep.csv")["status"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_sweep_and_its_jobs(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    process = program.start(
        tmp_path, "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model=python", "hydra.sweep.dir=sweep",
        "dataset.names=[moon,coffee]", "model.entry=dying:wait", "lambda1=1e-4,1e-3",
        "trainer=ddp_cpu",
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "sweep").glob("*/run.json"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while len(processes_in(tmp_path)) < 6:  # of each job two workers; resource trackers and the like come on top
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.splitlines()[-1].endswith("; go on with python run.py resume=sweep")
    assert "Traceback" not in errors
    deadline = time.monotonic() + 30
    while left := processes_in(tmp_path):
        assert time.monotonic() < deadline, f"these outlive their sweep: {left}"
        time.sleep(0.1)


def processes_in(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink() == directory:
                found.append(entry.name)
    return found


@pytest.mark.slow
def test_a_sweep_goes_on_with_its_launcher(tmp_path: Path) -> None:
    arguments = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", *TINY, "dataset.names=[moon]")
    assert program.run(tmp_path, *arguments, "lambda1=1e-4,1e-3", "hydra.sweep.dir=sweep").returncode == 0
    for path in (tmp_path / "sweep" / "1" / "parts").iterdir():
        path.unlink()
    ended = program.run(tmp_path, "resume=sweep")
    assert ended.returncode == 0, ended.stderr
    assert "Joblib.Parallel(n_jobs=1," in ended.stderr
    assert len(load_run(tmp_path / "sweep" / "1").maps) == 1
    assert len(list((tmp_path / "sweep" / "0" / "parts").glob("*.jsonl"))) == 1


def test_an_unknown_launcher_is_told_with_what_to_install(cli: Cli) -> None:
    ended = cli("-m", "hydra/launcher=jobs", "lambda1=1,2")
    assert ended.code == 2
    assert ended.err.startswith(f"hydra/launcher=jobs: choose basic, joblib ({install_command('joblib')})")


def test_a_launcher_under_torchrun_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.cli.arguments import arrange
    from caso.runner.cli.messages import ConfigError
    from caso.runner.execution.processes import Process

    with pytest.raises(ConfigError, match="hydra/launcher=joblib: not under torchrun or srun"):
        arrange(["-m", "hydra/launcher=joblib"], Process(0, 2, 0), None)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda count: monkeypatch.setattr("torch.cuda.device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "jobs", "parts"),
    [(4, 2, ["0,1", "2,3"]), (8, 8, list("01234567")), (3, 2, ["0", "1,2"]), (2, 4, ["0", "1", "0", "1"]),
     (1, 3, ["0", "0", "0"])],
)  # fmt: skip
def test_devices_are_dealt_out(devices: Callable[[int], None], count: int, jobs: int, parts: list[str]) -> None:
    devices(count)
    seen = []

    def take(left: int) -> None:
        if left == 0:
            return
        # As other processes would: each begins with the whole machine.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        with take_share_of_machine(jobs) as dealt:
            assert dealt
            own = os.environ["CUDA_VISIBLE_DEVICES"]
            seen.append(own)
            assert count_processes("auto", "cuda") == own.count(",") + 1
            take(left - 1)

    take(jobs)
    assert seen == parts
    with take_share_of_machine(jobs):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == parts[0], "what a job held is free after it"


@pytest.mark.parametrize(
    ("count", "processes", "expected"),
    [(4, 4, [0, 1, 2, 3]), (1, 4, [0, 0, 0, 0]), (1, 2, [0, 0]), (2, 5, [0, 1, 0, 1, 0]), (0, 1, [0])],
    ids=["one each", "each sees its own alone", "two share one", "five share two", "none"],
)
def test_every_process_takes_a_device_that_it_sees(
    devices: Callable[[int], None], count: int, processes: int, expected: list[int]
) -> None:
    devices(count)
    assert [own_device(number) for number in range(processes)] == expected


def test_a_part_of_the_devices_that_the_user_chose(
    devices: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    with take_share_of_machine(2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"


def test_threads_and_devices_are_those_of_before_after_a_job(
    devices: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices(2)
    monkeypatch.setattr("caso.runner.execution.devices.usable_cores", lambda: 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        with take_share_of_machine(2):
            assert torch.get_num_threads() == 4
        assert torch.get_num_threads() == 6
        torch.set_num_threads(3)
        with take_share_of_machine(2):
            assert torch.get_num_threads() == 3, "fewer were asked for"
        with pytest.raises(OSError, match="failed"), take_share_of_machine(2):
            raise OSError("failed")
        assert torch.get_num_threads() == 3
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        with take_share_of_machine(1) as dealt:
            assert not dealt
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
