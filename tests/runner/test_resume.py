"""Runs that go on: after a kill, a signal, with other process counts; and directories that are refused."""

import json
import os
import random
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from caso.runner import load_run
from caso.runner.results.segments import finished_batches
from tests.conftest import Ended
from tests.runner import program
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
CROPS = (*TINY, "dataset=crops", "dataset.n=24", "order=second", "batch_size=2")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = program.run(folder, *CROPS, "hydra.run.dir=run")
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


def wait_for(run: Path, batches: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while len(finished_batches(run)) < batches and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def slow(file: Path, seconds: float = 0.05) -> tuple[str, ...]:
    """A network whose images take their time, so that a run can be caught in the middle."""
    file.write_text(
        "import time\nfrom tests.runner import networks\n\n\n"
        f"def preprocess(image):\n    time.sleep({seconds})\n    return networks.preprocess(image)\n\n\n"
        "def make():\n    return networks.network(), preprocess, networks.NAMES\n"
    )
    return ("model=python", "model.entry=slow:make", *CROPS[2:])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, uninterrupted: Path, processes: int
) -> None:
    arguments = (*slow(tmp_path / "slow.py"), "trainer=ddp_cpu", f"trainer.devices={processes}", "hydra.run.dir=run")
    generator = random.Random(processes)
    before: set[int] = set()
    for _ in range(2):
        process = program.start(tmp_path, *arguments)
        wait_for(tmp_path / "run", len(before) + generator.randint(1, 3), process)
        kill_all(process)
        now = finished_batches(tmp_path / "run")
        assert before <= now, "what was finished stays"
        assert len(load_run(tmp_path / "run").table) == 2 * len(now)
        before = now
    assert 0 < len(before) < 12
    ended = program.run(tmp_path, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert f"{len(before)} of 12 batches were finished before" in ended.stderr
    parts = (tmp_path / "run" / "parts").glob("*.jsonl")
    lines = [json.loads(line) for path in parts for line in path.read_text().splitlines()]
    assert sorted(line["batch"] for line in lines) == list(range(12)), "nothing is done twice"
    same_but_model(tmp_path / "run", uninterrupted)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a run with all processes it started, as a node that fails does."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    for pid in (process.pid, *map(int, children.stdout.split())):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def same_but_model(one: Path, other: Path) -> None:
    runs = [load_run(path) for path in (one, other)]
    for run in runs:
        run.table["model"] = ""
    program.same(*runs)


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    arguments = (*slow(tmp_path / "slow.py", 1.0), "trainer=ddp_cpu", "hydra.run.dir=run")
    process = program.start(tmp_path, *arguments)
    wait_for(tmp_path / "run", 1, process)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    left = children.stdout.split()
    assert len(left) == 2
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < deadline, "a process outlives the run it belongs to"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_goes_on_with_other_processes(tmp_path: Path, uninterrupted: Path) -> None:
    arguments = (*slow(tmp_path / "slow.py"), "hydra.run.dir=run")
    process = program.start(tmp_path, *arguments)
    wait_for(tmp_path / "run", 3, process)
    kill_all(process)
    ended = program.run(tmp_path, "resume=run", "trainer=ddp_cpu")
    assert ended.returncode == 0, ended.stderr
    same_but_model(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_signal_ends_a_run_in_order(tmp_path: Path, number: int, code: int, word: str, processes: int) -> None:
    arguments = (*slow(tmp_path / "slow.py"), "trainer=ddp_cpu", f"trainer.devices={processes}", "hydra.run.dir=run")
    process = program.start(tmp_path, *arguments)
    wait_for(tmp_path / "run", 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    kept = f"{word}; what was explained so far is kept; go on with python run.py resume=run"
    assert errors.splitlines()[-1] == kept
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "results.csv").is_file()
    assert 4 <= len(load_run(tmp_path / "run").table) < 24


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_sweep_that_is_interrupted_names_what_to_resume(tmp_path: Path, number: int, word: str) -> None:
    sweep = tmp_path / "my sweep"
    arguments = (*slow(tmp_path / "slow.py"), "lambda1=1e-4,1e-3", "hydra.sweep.dir='my sweep'")
    process = program.start(tmp_path, "-m", *arguments)
    wait_for(sweep / "0", 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    last = errors.splitlines()[-1]
    assert last == f"{word}; what was explained so far is kept; go on with python run.py 'resume=my sweep'"
    slow(tmp_path / "slow.py", 0.0)
    again = program.run(tmp_path, *shlex.split(last.partition(" python run.py ")[2]))
    assert again.returncode == 0, again.stderr
    assert [len(load_run(sweep / job).maps) for job in ("0", "1")] == [24, 24]


def test_an_interruption_before_anything_began_names_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("caso.runner.execution.run.find_samples", interrupt)
    ended = cli(*TINY)
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "interrupted; nothing was explained yet"


def test_an_interruption_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    arguments = (*slow(tmp_path / "slow.py"), "hydra.run.dir=run")
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *program.command(*arguments)], cwd=tmp_path,
        env=program.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(tmp_path / "run", 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_a_finished_run_has_nothing_left_to_do(cli: Cli) -> None:
    first = cli(*TINY, "dataset.names=[moon,coffee]", "hydra.run.dir=run")
    parts = sorted(Path("run/parts").iterdir())
    again = cli("resume=run")
    assert first.code == again.code == 0
    assert again.out == first.out
    assert sorted(Path("run/parts").iterdir()) == parts


@pytest.mark.parametrize(
    ("change", "key"),
    [("lambda1=1e-2", "lambda1"), ("order=second", "order.name"), ("dataset.names=[moon]", "dataset.names"),
     ("seed=3", "seed"), ("batch_size=7", "batch_size"), ("trainer.precision=64-true", "trainer.precision")],
)  # fmt: skip
def test_a_changed_setting_is_refused_by_name_and_harms_nothing(cli: Cli, change: str, key: str) -> None:
    cli(*TINY, "dataset.names=[moon,coffee]", "hydra.run.dir=run")
    before = {path: path.read_bytes() for path in Path("run").glob("*.*") if path.is_file() and path.name != "caso.log"}
    ended = cli("resume=run", change)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"{key}=")
    assert "holds results" in ended.err or "begun with" in ended.err
    assert before == {path: path.read_bytes() for path in before}
    assert load_run("run").config.lambda1 == 1e-4


def test_settings_without_effect_may_change(cli: Cli) -> None:
    cli(*TINY, "dataset.names=[moon,coffee]", "hydra.run.dir=run")
    ended = cli("resume=run", "trainer=cpu", "num_workers=1", "logger=none", "pictures=0")
    assert ended.code == 0, ended.err


def test_images_that_changed_are_refused(cli: Cli) -> None:
    from PIL import Image

    Path("pictures").mkdir()
    Image.new("RGB", (20, 20), "red").save("pictures/a.png")
    assert cli(*TINY, "image=pictures", "hydra.run.dir=run").code == 0
    Image.new("RGB", (20, 20), "red").save("pictures/b.png")
    ended = cli("resume=run")
    assert ended.code == 2
    assert "dataset=2 images: " in ended.err
    assert "1 images" in ended.err


def test_a_mistake_that_explained_nothing_does_not_take_the_directory(cli: Cli) -> None:
    assert cli(*TINY, "target=lion", "hydra.run.dir=run").code == 2
    assert cli(*TINY, "target=tabby", "dataset.names=[moon]", "hydra.run.dir=run").code == 0


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_nothing_to_resume_is_told(cli: Cli, where: str) -> None:
    Path("empty").mkdir()
    ended = cli(f"resume={where}")
    assert ended.code == 2
    assert ended.err.startswith(f"resume={where}: no ")


def test_two_runs_in_one_directory_the_second_is_refused(tmp_path: Path) -> None:
    arguments = (*slow(tmp_path / "slow.py", 1.0), "hydra.run.dir=run")
    first = program.start(tmp_path, *arguments)
    wait_for(tmp_path / "run", 1, first)
    second = program.run(tmp_path, *arguments)
    assert second.returncode == 2
    assert "another run is writing there (process " in second.stderr
    kill_all(first)
    slow(tmp_path / "slow.py", 0.0)
    assert (tmp_path / "run" / ".lock").exists(), "a stale lock file is no obstacle"
    assert program.run(tmp_path, *arguments).returncode == 0


def test_a_sweep_goes_on(cli: Cli) -> None:
    arguments = ("-m", *TINY, "dataset.names=[moon,coffee]", "lambda1=1e-4,1e-3", "hydra.sweep.dir=sweep")
    assert cli(*arguments).code == 0
    for path in Path("sweep/1/parts").iterdir():
        path.unlink()
    ended = cli("resume=sweep")
    assert ended.code == 0, ended.err
    assert len(load_run("sweep/1").maps) == 2
    assert load_run("sweep/1").config.lambda1 == 1e-3
    assert len(list(Path("sweep/0/parts").glob("*.jsonl"))) == 1


def test_under_slurm_the_same_command_finds_its_results(tmp_path: Path) -> None:
    for _ in range(2):
        ended = program.run(tmp_path, *TINY, "dataset.names=[moon]", SLURM_JOB_ID="17")
        assert ended.returncode == 0, ended.stderr
    program.run(tmp_path, *TINY, "dataset.names=[coffee]", SLURM_JOB_ID="17")
    runs = sorted((tmp_path / "outputs").iterdir())
    assert len(runs) == 2
    assert all(path.name.startswith("slurm-17-") for path in runs)
    assert sorted(len(list((path / "parts").glob("*.jsonl"))) for path in runs) == [1, 1]


def test_a_run_of_a_version_with_fewer_options_goes_on(tmp_path: Path) -> None:
    arguments = (*TINY, "dataset.subset.n=2", "solver=proximal", "n_iter=2", "hydra.run.dir=run")
    assert program.run(tmp_path, *arguments).returncode == 0
    plan = tmp_path / "run" / "run.json"
    content = json.loads(plan.read_text())
    del content["settings"]["solver"]["n_iter"]
    plan.write_text(json.dumps(content))
    ended = program.run(tmp_path, *arguments)
    assert (ended.returncode, "were finished before" in ended.stderr) == (0, True), ended.stderr
    other = program.run(tmp_path, *arguments, "n_iter=3")
    assert (other.returncode, "n_iter=3: " in other.stderr) == (2, True), other.stderr
