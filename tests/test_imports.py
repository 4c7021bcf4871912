"""Who may import whom. The core imports torch and the standard library alone; only the runner knows the frameworks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "caso"
FILES = sorted(PACKAGE.rglob("*.py"))
# Pictures need matplotlib, superpixels scikit-image, other methods Captum; nothing in the core imports them.
OUTER = {
    *(PACKAGE / "plot").rglob("*.py"),
    PACKAGE / "segmentation.py",
    PACKAGE / "baselines" / "gradients.py",
    PACKAGE / "baselines" / "rules.py",
}
CORE = [f for f in FILES if f not in OUTER and not f.is_relative_to(PACKAGE / "runner")]
# Results in notebooks: imported when a method is called, which says in one line what is missing.
ON_DEMAND = {
    PACKAGE / "results" / "notebook.py": {"caso.plot", "matplotlib"},
    PACKAGE / "results" / "table.py": {"pandas"},
    PACKAGE / "results" / "batch.py": {"pandas", "matplotlib"},  # names of types alone
    # Whether Captum is there is asked by the methods that need it; the command line starts when it is called.
    PACKAGE / "baselines" / "baseline.py": {"captum"},
    PACKAGE / "__main__.py": {"caso.runner"},
}
SOLVERS, CURVATURE = PACKAGE / "solvers", PACKAGE / "curvature"


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, anywhere in it, absolute; but for those it may import on demand."""
    names = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    allowed = tuple(ON_DEMAND.get(path, ()))
    return {name for name in names if not (allowed and name.startswith(allowed))}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_the_core_imports_torch_and_the_standard_library_alone(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots <= {"torch", "caso", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_the_core_knows_neither_runner_nor_pictures(path: Path) -> None:
    assert not {name for name in imported(path) if name.startswith(("caso.runner", "caso.plot"))}


@pytest.mark.parametrize("path", [f for f in FILES if not f.is_relative_to(PACKAGE / "runner")], ids=relative)
def test_only_the_runner_knows_the_frameworks(path: Path) -> None:
    frameworks = {"hydra", "omegaconf", "pytorch_lightning", "lightning", "wandb", "pandas", "rich"}
    assert not frameworks & {name.split(".")[0] for name in imported(path)}


def test_imports_point_downwards() -> None:
    rules = [
        (PACKAGE / "analysis", ("caso.explainers", "caso.results", "caso.metrics", "caso.baselines")),
        (SOLVERS, ("caso.explainers", "caso.results", "caso.metrics", "caso.analysis")),
        (CURVATURE, ("caso.explainers", "caso.results", "caso.metrics", "caso.analysis", "caso.solvers")),
        (
            PACKAGE / "network",
            ("caso.explainers", "caso.results", "caso.metrics", "caso.analysis", "caso.solvers", "caso.curvature"),
        ),
        # Metrics may look at the network's curvature, but not at how anybody explains.
        (PACKAGE / "metrics", ("caso.explainers", "caso.results", "caso.solvers", "caso.baselines")),
    ]
    for folder, above in rules:
        for path in folder.rglob("*.py"):
            assert not {name for name in imported(path) if name.startswith(above)}, relative(path)


def test_importing_the_library_imports_no_framework() -> None:
    code = "import sys, caso; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in (
        "hydra",
        "pytorch_lightning",
        "wandb",
        "pandas",
        "torchvision",
        "timm",
        "PIL",
        "skimage",
        "matplotlib",
    ):
        assert f"'{name}'" not in loaded
