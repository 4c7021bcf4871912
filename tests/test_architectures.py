"""The script that looks at architectures measures what it says, and one that fails costs itself alone."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from tests import networks
from tests.conftest import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/architectures.py` as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("architectures")


def measured(script: ModuleType, network: nn.Module) -> dict[str, object]:
    chosen = script.Architecture("timm", "mine", 8)
    images = networks.images(6, 3, 8, 8, dtype=torch.float32)
    return script.measure(chosen, images, build=lambda: network)


@pytest.mark.parametrize(
    ("activation", "operator"), [(nn.ReLU, "gauss_newton"), (nn.SiLU, "double_backward"), (nn.Hardsigmoid, None)]
)
def test_operator_differences_and_costs_of_a_network(script: ModuleType, activation: type, operator: str) -> None:
    row = measured(script, networks.small(activation, norm=True, dtype=torch.float32))
    assert "error" not in row
    assert row["operator"] == (operator or "gauss_newton")
    assert row["captured"]
    assert row["exact"] is True
    assert row["difference_float64"] <= 1e-11  # type: ignore[operator]
    assert row["difference_float32"] <= 1e-3  # type: ignore[operator]
    assert row["hvp_gradients"] > 0  # type: ignore[operator]
    assert row["product_norm"] > 0  # type: ignore[operator]


def test_the_difference_shows_an_operator_that_is_not_exact(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caso import curvature

    quadratic_model = curvature.quadratic_model
    monkeypatch.setattr(script, "quadratic_model", lambda network, x, t: quadratic_model(network, x, t, "gauss_newton"))
    row = measured(script, networks.small(nn.SiLU, dtype=torch.float32))
    assert row["difference_float64"] > 1e-3  # type: ignore[operator]


def test_a_quantised_network_is_a_row_with_its_reason(script: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is about to drop them
        network = nn.Sequential(nn.Flatten(), torch.ao.nn.quantized.Linear(192, 3)).eval()
    row = measured(script, network)
    assert "is quantised" in str(row["error"])
    assert "| refused | model: Sequential is quantised" in script.table([row])


def test_there_are_enough_architectures_and_all_are_known(script: ModuleType) -> None:
    import timm
    import torchvision

    names = {(a.library, a.name) for a in script.ARCHITECTURES}
    assert len(names) == len(script.ARCHITECTURES) >= 40
    for library, name in names:
        source = torchvision.models.quantization if "quantization" in library else torchvision.models
        assert timm.is_model(name) if library == "timm" else hasattr(source, name)


def test_the_command_writes_json_and_the_page(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = [script.Architecture("timm", "resnet10t", 32), script.Architecture("timm", "no_such_network", 32)]
    monkeypatch.setattr(script, "ARCHITECTURES", zoo)
    page, output = tmp_path / "page.md", tmp_path / "rows.json"
    page.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["architectures.py", "--output", str(output), "--page", str(page)])
    assert script.main() == 1  # one failed
    told = capsys.readouterr()
    assert "1 of 2: resnet10t" in told.err
    text = page.read_text()
    assert text.startswith("before\n<!--")
    assert text.endswith("-->\nafter\n")
    assert "old" not in text
    assert "| resnet10t | timm | 32 | traced | gauss_newton | all piecewise linear |" in text
    assert [row.get("operator") for row in json.loads(output.read_text())["rows"]] == ["gauss_newton", None]
    script.write_into(page, "new")
    assert page.read_text() == f"before\n{script.BEGIN}\nnew\n{script.END}\nafter\n"
    with pytest.raises(ValueError, match="has no <!--"):
        script.write_into(output, "new")


def test_the_page_of_models_has_the_table(script: ModuleType) -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    inside = text.partition(script.BEGIN)[2].partition(script.END)[0]
    rows = [line for line in inside.splitlines() if line.startswith("| ")]
    assert len(rows) - 2 >= 40
    for architecture in script.ARCHITECTURES:
        assert any(line.startswith(f"| {architecture.name} | ") for line in rows), architecture.name
