"""One small reproduction, shared by the tests here: every experiment at smoke size, in this process."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.reproduce import Run, reproduce
from tests.conftest import CONF, logging_restored
from tests.runner.networks import TINY

NAMES = ("<img src=x onerror=document.title='broken'>", "<b>$bold & <i>", "a|pipe_[link](x) `code`")
"""Of files: as hostile as a file system allows."""
OWN_NETWORKS = ("closed_form",)
"""Experiments that choose their networks."""


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """``run.py`` in this process."""
    from caso.runner.cli.app import main

    with logging_restored(), pytest.MonkeyPatch.context() as patch:
        patch.delenv("HYDRA_FULL_ERROR", raising=False)

        def program(arguments: Sequence[str]) -> int:
            own = any(f"experiment={name}" in arguments for name in OWN_NETWORKS)
            kept = [argument for argument in arguments if not (own and argument in TINY)]
            patch.setattr(sys, "argv", ["run.py", *kept])
            return main(CONF)

        yield program


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for name in NAMES:
        pixels = generator.integers(0, 255, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((240, 200)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def overrides(pictures: Path) -> list[str]:
    return [*TINY, f"image={pictures}"]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, run: Run, overrides: list[str]) -> Path:
    """The directory of a report over all experiments."""
    output = tmp_path_factory.mktemp("report")
    assert reproduce("smoke", output, None, overrides, run) == 0
    return output
