"""What a run imports: starting is most of the time that one picture takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import CONF, ROOT
from tests.runner.program import environment

RUN = f"""
import sys
from pathlib import Path
from caso.runner.cli.app import main

sys.argv = ["run.py", "order=second", "image=picture.png", "hydra.run.dir=out"]
code = main(Path({str(CONF)!r}))
print("imported:", *sys.modules)
"""

ELSEWHERE = """
import sys
from caso.runner.execution.lightning import pl
from caso.runner.models.lean_timm import import_timm

import_timm()
print({"scipy", "matplotlib", "wandb"} & set(sys.modules))
import matplotlib, wandb
from torchmetrics.utilities.plot import _AX_TYPE
print(_AX_TYPE is matplotlib.axes.Axes)
"""


def test_one_picture_imports_no_package_that_it_does_not_use(tmp_path: Path) -> None:
    Image.fromarray(np.full((224, 224, 3), 90, np.uint8)).save(tmp_path / "picture.png")
    ended = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert "1 images" in ended.stderr + ended.stdout, ended.stderr
    imported = set(ended.stdout.split("imported:")[1].split())
    assert {"pytorch_lightning", "timm", "torch"} <= imported
    unused = {"wandb", "tensorboard", "captum", "skimage", "scipy", "matplotlib.pyplot", "datasets", "tifffile"}
    assert imported & unused == set()


def test_what_an_import_left_out_is_there_for_others() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.stdout.split() == ["set()", "True"], ended.stderr
