"""Runs in several processes: started here, by torchrun on one node and on two, or by srun; and processes that die."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from caso.runner import load_run
from tests.conftest import ROOT, Ended
from tests.runner import program
from tests.runner.networks import TINY

Cli = Callable[..., Ended]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def torchrun(directory: Path, options: list[str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", *options, str(ROOT / "run.py"), *arguments]
    return subprocess.Popen(
        command, cwd=directory, env=program.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out


def by_workers(directory: Path, arguments: list[str]) -> str:
    done = program.run(directory, *arguments, "trainer=ddp_cpu")
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_torchrun(directory: Path, arguments: list[str]) -> str:
    return ended(torchrun(directory, ["--standalone", "--nproc-per-node=2"], *arguments))


def by_two_nodes(directory: Path, arguments: list[str]) -> str:
    port = free_port()
    nodes = []
    for rank in range(2):
        where = ["--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1", "--master-addr=127.0.0.1"]
        nodes.append(torchrun(directory, [*where, f"--master-port={port}"], *arguments, "trainer.num_nodes=2"))
    return "".join([ended(node) for node in nodes])


@pytest.mark.parametrize(
    ("start", "images"),
    [
        pytest.param(by_workers, 1, marks=pytest.mark.slow),
        (by_workers, 50),
        pytest.param(by_torchrun, 1, marks=pytest.mark.slow),
        (by_torchrun, 3),
        pytest.param(by_two_nodes, 3, marks=pytest.mark.slow),
        pytest.param(by_two_nodes, 50, marks=pytest.mark.slow),
    ],
)
def test_the_results_are_those_of_one_process(
    cli: Cli, tmp_path: Path, start: Callable[[Path, list[str]], str], images: int
) -> None:
    arguments = [*TINY, "dataset=crops", f"dataset.n={images}", "order=second"]
    assert cli(*arguments, "hydra.run.dir=alone").code == 0
    out = start(tmp_path, arguments)
    assert out.count("largest eigenvalue") == 1, "one process prints"
    (run,) = (tmp_path / "outputs").rglob("run.json")
    program.same(tmp_path / "alone", run.parent, exactly=False)
    assert len(list((run.parent / "parts").glob("*.jsonl"))) == min(2, images)
    assert load_run(run.parent).summary["images"] == images


def test_under_srun(tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "12345", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "explain", "SLURM_NODELIST": "localhost"}
    slurm["MASTER_PORT"] = str(free_port())
    tasks = []
    for rank in range(2):
        place = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        tasks.append(program.start(tmp_path, *TINY, "dataset=crops", "dataset.n=9", **slurm, **place))
    out = [ended(task) for task in tasks]
    assert "results: " in out[0]
    assert out[1] == ""
    (run,) = (tmp_path / "outputs").iterdir()
    assert run.name.startswith("slurm-12345-")
    assert len(load_run(run).maps) == 9


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_in_several_processes_is_no_sweep_inside_a_sweep(cli: Cli, processes: int) -> None:
    arguments = ("-m", *TINY, "dataset=crops", "dataset.n=6", "dataset.subset.n=6,0", f"trainer.devices={processes}")
    ended = cli(*arguments, "trainer=cpu", "hydra.sweep.dir=sweep")
    assert ended.code == 1
    assert sorted(path.name for path in Path("sweep").iterdir() if path.is_dir()) == ["0", "1"]
    assert len(load_run("sweep/0").maps) == 6
    assert len(list(Path("sweep/0/parts").glob("*.jsonl"))) == processes
    assert "job 1 failed: dataset.subset.n=0" in ended.err


def test_a_mistake_that_only_the_network_shows_is_one_line(cli: Cli) -> None:
    ended = cli(*TINY, "target=lion", "trainer=ddp_cpu", "dataset=crops", "dataset.n=6")
    assert ended.code == 2
    assert "target=lion" in ended.err
    assert "Traceback" not in ended.err


DYING = """
import os, signal
import torch
from tests.runner import networks


class Fatal(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = networks.network()

    def forward(self, pixels):
        if type(pixels) is torch.Tensor and (pixels.mean(dim=(1, 2, 3)) < 0.1).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(pixels)


def make():
    return Fatal(), networks.preprocess, networks.NAMES


def preprocess(image):
    pixels = networks.preprocess(image)
    if pixels.mean() < 0.1:
        os.kill(os.getpid(), signal.SIGKILL)
    return pixels


def make_reader():
    return networks.network(), preprocess, networks.NAMES
"""


def pictures(directory: Path, count: int, dark: int) -> None:
    (directory / "images").mkdir()
    for number in range(count):
        colour = "black" if number == dark else (250 - 20 * number, 200, 40 * number)
        Image.new("RGB", (20, 20), colour).save(directory / "images" / f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["make", "make_reader"])
def test_an_image_that_kills_its_process_costs_its_batch_alone(tmp_path: Path, entry: str) -> None:
    pictures(tmp_path, 7, dark=4)  # the third of its process: the second is being written, or explained, beside it
    (tmp_path / "dying.py").write_text(DYING)
    done = program.run(
        tmp_path, "model=python", f"model.entry=dying:{entry}", "image=images", "trainer=ddp_cpu", "batch_size=1",
        "hydra.run.dir=run",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "was killed (SIGKILL); another goes on" in done.stderr
    rows = load_run(tmp_path / "run").table.set_index("image")
    assert rows.loc["4.png", "status"] == "error"
    assert "killed twice (SIGKILL)" in rows.loc["4.png", "message"]
    assert (rows.drop("4.png")["status"] == "converged").all()
    assert "1 of 7 images have no map" in done.stdout


READER = """
import os, signal
import torch.utils.data
from tests.runner import networks


def preprocess(image):
    pixels = networks.preprocess(image)
    if pixels.mean() < 0.1 and torch.utils.data.get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return pixels


def make():
    return networks.network(), preprocess, networks.NAMES
"""


def test_an_image_that_kills_the_process_that_reads_it_costs_its_batch_alone(tmp_path: Path) -> None:
    pictures(tmp_path, 4, dark=1)
    (tmp_path / "reader.py").write_text(READER)
    done = program.run(
        tmp_path, "model=python", "model.entry=reader:make", "image=images", "num_workers=1", "batch_size=1",
        "hydra.run.dir=run",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    rows = load_run(tmp_path / "run").table.set_index("image")
    assert rows.loc["1.png", "status"] == "error"
    assert "killed twice" in rows.loc["1.png", "message"]
    assert (rows.drop("1.png")["status"] == "converged").all()


@pytest.mark.parametrize(
    ("argument", "words"),
    [("trainer.devices=0", "trainer.devices=0: must be auto or a whole number of at least 1"),
     ("trainer.devices=many", "trainer.devices=many: must be auto"),
     ("trainer.num_nodes=2", "trainer.num_nodes=2: start a run on several nodes by torchrun or srun"),
     ("trainer.num_nodes=0", "trainer.num_nodes=0: must be at least 1")],
)  # fmt: skip
def test_mistakes_are_told(cli: Cli, argument: str, words: str) -> None:
    ended = cli(*TINY, argument)
    assert ended.code == 2
    assert words in ended.err
