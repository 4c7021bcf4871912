"""Faults, bad input and misuse that the other files of tests do not try; all of them are listed in docs/faults.md."""

import csv
import http.server
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from caso.extras import install_command
from caso.runner import load_run
from tests.conftest import ROOT, Ended
from tests.runner import program
from tests.runner.networks import TINY

Cli = Callable[..., Ended]
SOME = "dataset.names=[moon,coffee]"
MANY = (*TINY, "dataset=crops", "dataset.n=120", "pictures=0", "logger=none")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk(small_disk: Path, processes: int) -> None:
    arguments = (*MANY, "trainer=ddp_cpu", f"trainer.devices={processes}", f"hydra.run.dir={small_disk}/run")
    full = program.run(small_disk.parent, *arguments)
    assert full.returncode == 1, full.stderr
    assert "No space left on device" in full.stderr
    last = full.stderr.splitlines()[-1]
    assert last.endswith("what was explained so far is kept; go on with python run.py resume=disk/run")
    assert "Traceback" not in full.stderr
    kept = len(load_run(small_disk / "run").maps)
    assert 0 < kept < 120
    assert not (small_disk / "run" / "results.csv").exists(), "no table that is cut off"
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    again = program.run(small_disk.parent, *arguments)
    assert again.returncode == 0, again.stderr
    assert re.search(rf"\b{-(-kept // 4)} of 30 batches were finished before", again.stderr)
    assert len(load_run(small_disk / "run").maps) == len(pd.read_csv(small_disk / "run" / "results.csv")) == 120


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    arguments = (*MANY, "hydra.run.dir=run")
    ended = subprocess.run(
        program.command(*arguments), cwd=tmp_path, env=program.environment(), capture_output=True, text=True,
        preexec_fn=limited, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("no room left in ")
    assert "File too large" in last
    assert last.endswith("; go on with python run.py resume=run")
    assert "Traceback" not in ended.stderr
    assert 0 < len(load_run(tmp_path / "run").maps) < 120
    assert program.run(tmp_path, *arguments).returncode == 0
    assert len(load_run(tmp_path / "run").maps) == 120


@pytest.mark.parametrize(
    ("where", "words"), [("/proc/run", "/proc/run"), ("file", "file"), ("file/run", "file/run")], ids=str
)
def test_a_directory_that_cannot_be_made(cli: Cli, where: str, words: str) -> None:
    Path("file").touch()
    ended = cli(*TINY, SOME, f"hydra.run.dir={where}")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("the run's directory cannot be written: ")
    assert words in line


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_directory_without_permission(cli: Cli) -> None:
    Path("closed").mkdir(mode=0o500)
    ended = cli(*TINY, SOME, "hydra.run.dir=closed/run")
    assert ended.code == 2
    assert "the run's directory cannot be written: " in ended.err
    assert "Permission denied" in ended.err


def test_results_that_cannot_be_written(cli: Cli) -> None:
    Path("run/results.csv").mkdir(parents=True)
    ended = cli(*TINY, SOME, "hydra.run.dir=run")
    assert ended.code == 1
    assert ended.err.count("results.csv cannot be written: ") == 1
    assert len(load_run("run").maps) == 2
    assert "moon" in ended.out


def test_results_that_another_program_holds_open(cli: Cli) -> None:
    assert cli(*TINY, "dataset.names=[moon]", "hydra.run.dir=run").code == 0
    with Path("run/results.csv").open() as held:
        before = held.read()
        assert cli("resume=run", "pictures=0").code == 0
        held.seek(0)
        assert held.read() == before, "it sees the old table to its end, or the new one"
    assert Path("run/results.csv").read_text() == before


def test_a_terminal_that_takes_nothing(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            program.command(*TINY, SOME, "hydra.run.dir=run"), cwd=tmp_path, env=program.environment(), stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode != 0
    assert "the table cannot be printed: " in ended.stderr
    assert load_run(tmp_path / "run").summary["status"] == "finished"
    assert len(load_run(tmp_path / "run").maps) == 2


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    process = program.start(tmp_path, *TINY, SOME, "hydra.run.dir=run")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(120) != 0
    assert "the table cannot be printed: " in errors
    assert "Traceback" not in errors
    assert load_run(tmp_path / "run").summary["status"] == "finished"


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A W&B server whose quota is used up."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.dumps({"errors": [{"message": "storage quota exceeded"}]}).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def nobody() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["unreachable", pytest.param("full", marks=pytest.mark.slow)])
def test_a_server_that_does_not_take_the_log(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    address = nobody() if kind == "unreachable" else request.getfixturevalue("refusing_server")
    ended = program.run(
        tmp_path, *TINY, SOME, "logger=wandb", "hydra.run.dir=run", WANDB_BASE_URL=address, WANDB_MODE="online",
        WANDB_API_KEY="0123456789" * 4, NETRC=str(tmp_path / "none"), HOME=str(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("logging offline") == 1
    assert "Traceback" not in ended.stderr
    assert len(load_run(tmp_path / "run").maps) == 2
    assert len(list((tmp_path / "run").glob("wandb/offline-run-*"))) == 1


GREEDY = """
import torch
from tests.runner import networks


class Greedy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = networks.network()

    def forward(self, pixels):
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("tried to allocate 90.00 GiB")
        return self.network(pixels)


class Bottomless(torch.nn.Module):
    def forward(self, pixels):
        raise MemoryError


def make():
    return Greedy(), networks.preprocess, networks.NAMES


def bottomless():
    return Bottomless(), networks.preprocess, networks.NAMES


def leave():
    import os
    os._exit(0)


def stop():
    raise SystemExit(0)
"""


def test_memory_that_runs_out_for_large_batches(cli: Cli) -> None:
    Path("greedy.py").write_text(GREEDY)
    ended = cli("model=python", "model.entry=greedy:make", "dataset=crops", "dataset.n=8", "batch_size=8")
    assert ended.code == 0, ended.err
    small = cli(*TINY, "dataset=crops", "dataset.n=8", "batch_size=2")
    one, two = load_run(ended.directory).maps, load_run(small.directory).maps
    assert len(one) == 8
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-7)


def test_a_network_that_always_raises(cli: Cli) -> None:
    Path("greedy.py").write_text(GREEDY)
    ended = cli("model=python", "model.entry=greedy:bottomless", SOME)
    assert ended.code == 1, ended.err
    assert "Traceback" not in ended.out + ended.err
    assert "2 of 2 images have no map" in ended.out
    table = load_run(ended.directory).table
    assert table["status"].tolist() == ["error"] * 2
    assert table["message"].str.contains("MemoryError").all()
    assert (table["message"] != "").all()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_code_of_the_user_that_ends_the_program(tmp_path: Path, processes: int) -> None:
    (tmp_path / "greedy.py").write_text(GREEDY)
    entries = ["stop", "leave"] if processes == 2 else ["stop"]
    for entry in entries:
        ended = program.run(
            tmp_path, "model=python", f"model.entry=greedy:{entry}", SOME, "trainer=ddp_cpu",
            f"trainer.devices={processes}", f"hydra.run.dir={entry}",
        )  # fmt: skip
        assert ended.returncode == 1, ended.stderr
        assert f"is kept; go on with python run.py resume={entry}" in ended.stderr.splitlines()[-1]
        assert load_run(tmp_path / entry).summary["status"] == "failed"


WRONG = """
from tests.runner import networks


def of(wrong):
    # Images of more than 400 pixels in width are what it is wrong for.
    return networks.network(), lambda image: wrong(image) if image.width > 400 else networks.preprocess(image), None


def picture():
    return of(lambda image: image.resize((12, 10)))


def batch():
    return of(lambda image: networks.preprocess(image)[None])


def whole_numbers():
    return of(lambda image: (networks.preprocess(image) * 255).long())


def empty():
    return of(lambda image: networks.preprocess(image)[:, :0])
"""


@pytest.mark.parametrize(
    ("entry", "words"),
    [("picture", "it gives Image, not a float tensor [C, H, W]"),
     ("batch", "it gives a tensor [1, 3, 10, 12] of torch.float32, not of floats [C, H, W]"),
     ("whole_numbers", "it gives a tensor [3, 10, 12] of torch.int64, not of floats [C, H, W]"),
     ("empty", "it gives a tensor [3, 0, 12] of torch.float32, not of floats [C, H, W]")],
)  # fmt: skip
def test_a_preprocessing_that_gives_no_pixels(cli: Cli, entry: str, words: str) -> None:
    Path("wrong.py").write_text(WRONG)
    Path("images").mkdir()
    for name, width in (("good", 300), ("wide", 500)):
        Image.new("RGB", (width, 200), "red").save(f"images/{name}.png")
    ended = cli("model=python", f"model.entry=wrong:{entry}", "image=images")
    assert ended.code == 1, ended.err
    assert "Traceback" not in ended.out + ended.err
    rows = load_run(ended.directory).table.set_index("image")
    assert rows["status"].to_dict() == {"good.png": "converged", "wide.png": "unreadable"}
    assert rows.loc["wide.png", "message"] == f"preprocessing failed: {words}"


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize("model", ["resnet18", "efficientnet_lite0"])
def test_weights_with_code_inside_are_refused_and_not_run(cli: Cli, model: str) -> None:
    torch.save({"a": Evil()}, "evil.pth")
    ended = cli(f"model={model}", "model.weights=evil.pth", SOME)
    assert ended.code == 2
    assert "evil.pth" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert not Path("executed").exists()


def test_an_array_with_code_inside_is_refused_and_not_run(cli: Cli) -> None:
    with Path("evil.npy").open("wb") as file:
        np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    Image.new("RGB", (20, 20), "red").save("good.png")
    ended = cli(*TINY, "image=.")
    assert load_run(ended.directory).table["status"].isin(["unreadable", "converged"]).all()
    assert not Path("executed").exists()


def bomb() -> bytes:
    """A small PNG file that says to be 60 000 pixels wide and high."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_files_that_are_no_pictures_to_be_read(cli: Cli) -> None:
    Path("images").mkdir()
    Image.new("RGB", (20, 20), "red").save("images/good.png")
    Path("images/bomb.png").write_bytes(bomb())
    Path("images/gone.png").symlink_to("nowhere.png")
    Path("images/folder.png").mkdir()
    os.mkfifo("images/pipe.png")
    Image.fromarray(np.full((20, 20), 255, dtype=np.int32)).save("images/deep.tif")
    Path("images/phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Path("images/._good.png").write_bytes(b"a sidecar")
    ended = cli(*TINY, "image=images")
    rows = load_run(ended.directory).table.set_index("image")
    assert rows.loc["good.png", "status"] == "converged"
    assert rows.loc["bomb.png", "status"] == "unreadable"
    assert "pixels" in rows.loc["bomb.png", "message"]
    assert "No such file" in rows.loc["gone.png", "message"]
    assert "a pipe" in rows.loc["pipe.png", "message"]
    assert "values of type int32" in rows.loc["deep.tif", "message"]
    assert ".heic files are not read" in rows.loc["phone.heic", "message"]
    assert rows["status"].value_counts().to_dict() == {"converged": 1, "unreadable": 5}
    assert len(rows) == 6
    assert ended.code == 1


def test_an_image_that_is_gone_when_its_turn_comes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 20), "red").save(f"images/{name}")
    Path("vanishing.py").write_text(
        "import os\nfrom tests.runner import networks\n\n\n"
        "def make():\n    os.remove('images/b.png')\n    return networks.tiny()\n"
    )
    ended = cli("model=python", "model.entry=vanishing:make", "image=images")
    assert ended.code == 1
    rows = load_run(ended.directory).table.set_index("image")
    assert rows["status"].to_dict() == {"a.png": "converged", "b.png": "unreadable"}
    assert "No such file" in rows.loc["b.png", "message"]


def test_file_names_break_neither_terminal_nor_table(cli: Cli) -> None:
    Path("images").mkdir()
    names = [
        "two\nlines.png",
        "\x1b[31mred.png",
        'a,"b".png',
        "[bold]x.png",
        "=1+1.png",
        os.fsdecode(b"\xff.png"),
    ]
    for name in names:
        Image.new("RGB", (20, 20), "red").save("new.png")
        Path("new.png").rename(f"images/{name}")
    ended = cli(*TINY, "image=images", "logger=csv")
    assert ended.code == 0, ended.err
    assert "\x1b[31m" not in ended.out + ended.err
    assert "[bold]x.png" in ended.out
    with (ended.directory / "results.csv").open(newline="", errors="surrogateescape") as file:
        stored = [row["image"] for row in csv.DictReader(file)]
    assert sorted(stored) == sorted(names) == sorted(load_run(ended.directory).maps)
    pictures = [path.name for path in (ended.directory / "pictures").iterdir()]
    assert all(re.fullmatch(r"\d{6}\.png", name) for name in pictures)


def test_a_damaged_line_is_computed_again(cli: Cli) -> None:
    assert cli(*TINY, SOME, "batch_size=1", "hydra.run.dir=run").code == 0
    (path,) = Path("run/parts").glob("*.jsonl")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\0" * (len(first) - 1) + b"\n" + second)
    assert list(load_run("run").maps) == ["coffee"]
    ended = cli("resume=run")
    assert ended.code == 0, ended.err
    assert "1 of 2 batches were finished before" in ended.err
    assert list(load_run("run").maps) == ["moon", "coffee"]


def test_a_damaged_map_is_told_and_harms_no_other(cli: Cli) -> None:
    assert cli(*TINY, SOME, "lambda1=1e-2", "hydra.run.dir=run").code == 0
    maps = load_run("run").maps
    good = maps["moon"]
    (path,) = Path("run/parts").glob("*.maps")
    path.write_bytes(path.read_bytes()[:-100])
    np.testing.assert_array_equal(maps["moon"], good)
    with pytest.raises(ValueError, match=r"."):
        maps["coffee"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}"])
def test_a_damaged_plan_is_told(cli: Cli, content: str) -> None:
    assert cli(*TINY, SOME, "hydra.run.dir=run").code == 0
    Path("run/run.json").write_text(content)
    for arguments in (["resume=run"], [*TINY, SOME, "hydra.run.dir=run"]):
        ended = cli(*arguments)
        assert ended.code == 2
        assert "run.json there is damaged" in ended.err.splitlines()[-1]
        assert "Traceback" not in ended.err


def test_a_configuration_is_no_code(cli: Cli) -> None:
    cli(*TINY, SOME, "+dataset._target_=os.system", "+dataset._args_=[touch executed]")
    for entry in ("os;touch executed:x", "__import__('os').system('touch executed'):x", "os:system"):
        ended = cli("model=python", f'model.entry="{entry}"', SOME)
        assert ended.code == 2
        assert "Traceback" not in ended.err
    assert not Path("executed").exists()


def test_a_package_that_is_missing_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    ended = cli(*TINY, SOME, "logger=wandb")
    line = f"logger=wandb: needs the extra wandb; {install_command('wandb')} installs it\n"
    assert (ended.code, ended.err) == (2, line)


TESTS = re.compile(r"`(\w+)\.py::(\w+)`")


def test_the_list_of_faults_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 25
    for row in rows:
        named = TESTS.findall(row)
        assert named, row
        for file, test in named:
            path = ROOT / "tests" / "runner" / f"{file}.py"
            assert f"def {test}(" in path.read_text(), f"{file}::{test}"
