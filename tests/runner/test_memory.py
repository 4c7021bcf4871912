"""Memory does not grow with the number of images."""

import json
import os
import subprocess
import sys

from tests.conftest import ROOT


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    # 600 kB a map: were they kept, 500 of them would be 300 MB, beside some 1000 MB for torch and the rest.
    script = ROOT / "scripts" / "measure_memory.py"
    arguments = ["--here", "--images", "100,600", "model=python", "model.entry=tiny_network:make", "order=first"]
    ended = subprocess.run(
        [sys.executable, str(script), *arguments], env=os.environ | {"TINY_SIZE": "224"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    sizes = json.loads(ended.stdout.splitlines()[-1])
    assert sizes["600"] < 1.1 * sizes["100"]
