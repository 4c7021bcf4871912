"""What works with torch alone, and what is said where an extra is missing."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from caso import extras
from tests.conftest import ROOT

WITHOUT = """
import sys

class Only:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in {allowed} and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Only())
"""
"""Begins a program that can import the standard library and some packages alone, as if the others were not there."""


def torch_alone() -> set[str]:
    """The names that can be imported where torch is installed with what it requires, and caso."""
    wanted, found = ["torch"], set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        wanted += [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in requirements if "extra ==" not in one]
    packages = importlib.metadata.packages_distributions()
    names = {top for top, owners in packages.items() if found & {re.sub(r"[-_.]+", "-", o).lower() for o in owners}}
    assert "numpy" not in names
    return names | {"torch", "caso"}


def program(code: str, *arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT.format(allowed=torch_alone()) + code, *arguments]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )


LIBRARY = """
import torch
import caso
from caso.baselines import make_baseline
from caso.metrics import make_metric

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
images = torch.rand(2, 3, 2, 2)
result = caso.CASO(network, lambda1=1e-3).explain(images)
assert result.maps.shape == images.shape
assert bool((result.kkt_residual <= 1e-3).all())
assert caso.CASO(network).path(images, n=4).maps.shape == (2, 4, 3, 2, 2)
assert caso.CAFO(network).attribute(images).shape == images.shape
assert make_baseline("random", network).attribute(images).shape == images.shape
assert not {name.partition(".")[0] for name in sys.modules} & {"numpy", "captum", "skimage", "hydra", "pandas", "PIL"}
"""


def test_the_library_explains_where_torch_alone_is_installed() -> None:
    ended = program(LIBRARY)
    assert ended.returncode == 0, ended.stderr


MISSING = """
import torch
from caso.extras import MissingPackageError

def told(action):
    try:
        action()
    except MissingPackageError as error:
        print(error)

def regions():
    import caso.segmentation

def plot():
    import caso.plot

def runner():
    from caso.runner import load_run

def deeplift():
    from caso.baselines import make_baseline
    make_baseline("deeplift", torch.nn.Flatten())

for action in (regions, plot, runner, deeplift):
    told(action)
"""


def test_the_library_tells_what_to_install() -> None:
    ended = program(MISSING)
    assert ended.stdout.splitlines() == [
        "caso.segmentation: needs the extra regions; pip install -e '.[regions]' installs it",
        "caso.plot: needs the extra plot; pip install -e '.[plot]' installs it",
        "caso.runner: needs the extra run; pip install -e '.[run]' installs it",
        "explainer=deeplift: needs the extra baselines; pip install -e '.[baselines]' installs it",
    ], ended.stderr


@pytest.mark.parametrize(
    "start",
    [
        "import caso.__main__; sys.exit(caso.__main__.main())",
        "import runpy; runpy.run_path(sys.argv[1], {}, '__main__')",
    ],
    ids=["caso", "run.py"],
)
def test_the_command_line_tells_what_to_install(tmp_path: Path, start: str) -> None:
    ended = program(start, str(ROOT / "run.py"), "order=second", directory=tmp_path)
    line = f"caso.runner: needs the extra run; pip install -e '{ROOT}[run]' installs it"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1] == line  # after torch's own warning of the missing NumPy
    assert "Traceback" not in ended.stderr


def test_an_installed_package_is_completed_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "CHECKOUT", None)
    assert extras.install_command("wandb") == "pip install 'caso[wandb]'"


def test_errors_of_the_users_own_code_are_not_taken_for_missing_extras() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"caso\.no_such") as info, extras.needs("run", "something"):
        import_module("caso.no_such")
    assert not isinstance(info.value, extras.MissingPackageError)


def test_every_extra_that_is_named_exists() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra
        for path in (ROOT / "caso").rglob("*.py")
        for extra in re.findall(r"(?:needs|install_command)\(\s*\"(\w+)\"", path.read_text())
    }
    assert {"run", "wandb", "baselines", "regions", "plot", "huggingface"} <= named <= set(known)
