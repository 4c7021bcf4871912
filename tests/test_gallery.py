"""The gallery's scripts run where nothing but the project is at hand, and end in a figure."""

import runpy
import warnings
from pathlib import Path

import pytest

from tests.conftest import ROOT

GALLERY = ROOT / "docs" / "gallery"
SLOW = ("07", "09", "10")
"""They repeat, on more images or in a run of its own, what the others show to work."""


def scripts() -> list[object]:
    found = sorted(GALLERY.glob("[0-9][0-9]_*.py"))
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.name[:2] in SLOW else []) for path in found
    ]


@pytest.mark.parametrize("script", scripts())
def test_a_script_draws_something_and_leaves_nothing(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # so that it is read anew
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    plt.switch_backend("agg")
    plt.close("all")
    with warnings.catch_warnings():
        if "quantus" in script.name:
            warnings.simplefilter("ignore")
        names = runpy.run_path(str(script), run_name="__main__")
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    assert figures
    assert all(figure.axes for figure in figures)
    assert not list((tmp_path / "empty").iterdir())
    own = [value for value in names.values() if type(value).__module__ == "__main__" and hasattr(value, "_repr_html_")]
    assert all(value._repr_html_() for value in own)
    assert script.read_text().startswith('"""\n')  # a title, for the site
