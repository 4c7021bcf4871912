"""The wheel: what is in it, and that it runs where the repository is not.

What is clean: a new virtual environment that holds the wheel alone, an empty working directory, no PYTHONPATH. What is
reused: the packages that the tests run with, through one line of a ``.pth`` file, for torch alone is gigabytes. Python
does not follow the ``.pth`` files of a folder that is added so, and thus not the one that leads to the repository.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import skimage

from caso.runner import load_run
from tests.conftest import CONF, ROOT


def build(source: Path, kind: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_package_and_its_configuration(wheel: Path) -> None:
    found = contents(wheel)
    for path in CONF.rglob("*.yaml"):
        assert found[f"caso/conf/{path.relative_to(CONF).as_posix()}"] == path.read_bytes()
    for path in (ROOT / "caso").rglob("*.py"):
        assert found[path.relative_to(ROOT).as_posix()] == path.read_bytes()
    assert {name.split("/")[0].partition("-")[0] for name in found} == {"caso"}
    suffixes = {Path(name).suffix for name in found if name.startswith("caso/")}
    assert suffixes == {".py", ".yaml", ".typed", ".j2", ".js", ".css"}


def test_a_wheel_from_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert contents(build(unpacked, "wheel", tmp_path / "again")) == contents(wheel)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs in an environment with the wheel."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    variables = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", variables))
    (packages / "reused.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    programs = Path(sysconfig.get_path("scripts", "venv", variables))
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, env=clean())
    return programs


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(directory: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        list(map(str, command)), cwd=directory, env=clean(), capture_output=True, text=True, check=False
    )
    assert str(ROOT) not in ended.stderr
    return ended


@pytest.mark.slow
def test_the_command_explains_a_photograph_in_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    photo = Path(skimage.__file__).parent / "data" / "coffee.png"
    (tmp_path / "photo.png").write_bytes(photo.read_bytes())
    ended = run(tmp_path, programs / "caso", "order=second", "lambda1=1e-4", "image=photo.png", "hydra.run.dir=out")
    assert ended.returncode == 0, ended.stderr
    table = load_run(tmp_path / "out").table
    assert table[["image", "predicted_name", "status"]].to_numpy().tolist() == [["photo", "espresso", "converged"]]
    where = run(tmp_path, programs / "python", "-c", "import caso; print(caso.__file__)").stdout
    assert Path(where.strip()).is_relative_to(programs.parent)


OWN = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    layers = nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3)
    return nn.Sequential(*layers), None, None
"""


@pytest.mark.slow
def test_the_module_runs_sweeps_processes_and_the_users_own_files(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "own.yaml").write_text("defaults: [python]\nentry: own:make\n")
    caso = [programs / "python", "-m", "caso"]
    own = ("model=own", "--config-dir", "mine", "dataset.names=[moon,coffee]", "trainer=ddp_cpu", "batch_size=1")
    ended = run(tmp_path, *caso, "-m", *own, "lambda1=1e-4,1e-3", "hydra.sweep.dir=sweep")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "sweep" / "sweep.csv").is_file()
    for job in ("0", "1"):
        assert len(load_run(tmp_path / "sweep" / job).maps) == 2
    assert run(tmp_path, *caso, "resume=sweep").returncode == 0
    told = run(tmp_path, *caso, "experiment=confidence_pair")
    assert told.stderr.startswith("experiment=confidence_pair: is a sweep: python -m caso -m experiment=")


@pytest.mark.slow
def test_the_command_shows_its_help(programs: Path, tmp_path: Path) -> None:
    ended = run(tmp_path, programs / "caso", "--help")
    assert ended.returncode == 0
    assert "  caso order=second lambda1=1e-4\n" in ended.stdout
    assert "logger: csv, none, tensorboard, wandb\n" in ended.stdout
    assert list(tmp_path.iterdir()) == []
