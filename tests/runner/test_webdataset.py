"""Images in tar files: each read once by place in any process, broken ones with their reason."""

import functools
import hashlib
import io
import json
import logging
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import pytest
from omegaconf import OmegaConf
from PIL import Image

from caso.runner import load_run
from caso.runner.cli.messages import ConfigError
from caso.runner.data import Samples, find_samples
from caso.runner.data.decoding import UnreadableImageError
from caso.runner.data.shards import expand_braces
from tests.runner import program
from tests.runner.networks import TINY

ODD = ["coffee (1).png", "a#b%20c.png", "été\n☕.png", "-x'\".png", "\udcff.png", "a.b.png", "a.c.png", "deep/er/x.png"]


def png(colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (8, 6)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def found(tmp_path: Path, path: object, **options: object) -> Samples:
    node = {"name": "webdataset", "path": path, "cache": str(tmp_path / "cache")} | options
    return find_samples(OmegaConf.create(node), 0)


def refusal(tmp_path: Path, path: object, **options: object) -> str:
    with pytest.raises(ConfigError) as info:
        found(tmp_path, path, **options)
    assert "\n" not in str(info.value)
    return str(info.value)


def digest(samples: Samples, places: range) -> list[tuple[str, str]]:
    return [(samples[n].id, hashlib.sha256(samples[n].read().tobytes()).hexdigest()) for n in places]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_thousand_crops_are_read_once_by_two_processes(tmp_path: Path) -> None:
    options = {"name": "crops", "n": 1000, "min_area": 0.01, "source": {"name": "photos", "names": ["coffee", "moon"]}}
    crops = find_samples(OmegaConf.create(options), 0)
    expected = []
    for number in range(10):
        members = {}
        for place in range(100 * number, 100 * number + 100):
            colour = (place % 256, place // 256, 9)
            small = crops[place].read().crop((0, 0, 9, 7)) if place < 20 else Image.new("RGB", (4, 3), colour)
            content = io.BytesIO()
            small.save(content, "PNG")
            members[f"{crops.ids[place]}.png"] = content.getvalue()
            expected.append((f"crops-{number:02}/{crops.ids[place]}.png", hashlib.sha256(small.tobytes()).hexdigest()))
        shard(tmp_path / "tars" / f"crops-{number:02}.tar", members)
    samples = found(tmp_path, str(tmp_path / "tars" / "crops-{00..09}.tar"))
    with get_context("fork").Pool(2) as pool:
        parts = pool.starmap(digest, [(samples, range(first, 1000, 2)) for first in (0, 1)])
    read = parts[0] + parts[1]
    assert sorted(read) == sorted(expected)
    assert len({name for name, _ in read}) == 1000


def test_ids_with_odd_characters(tmp_path: Path) -> None:
    path = shard(tmp_path / "odd.tar", {name: png((n, 0, 0)) for n, name in enumerate(ODD)})
    for _ in range(2):  # the second time from the list in the cache
        samples = found(tmp_path, str(path))
        assert samples.ids == [f"odd/{name}" for name in ODD]
        assert [s.read().getpixel((0, 0))[0] for s in samples] == list(range(len(ODD)))


def test_labels_lie_beside_the_images(tmp_path: Path) -> None:
    members = {"a.jpg": png(), "a.cls": b"7\n", "b.json": b'{"label": 3}', "b.png": png(), "c.png": png(),
               "d.e/f.png": png(), "d.e/f.cls": b"5", "g.cls": b"nothing", "g.png": png(), ".hidden.png": png(),
               "a.txt": b"a cup"}  # fmt: skip
    path = shard(tmp_path / "x.tar", members)
    samples = found(tmp_path, str(path))
    assert samples.ids == ["x/a.jpg", "x/b.png", "x/c.png", "x/d.e/f.png", "x/g.png"]
    assert [s.label for s in samples] == [7, 3, None, 5, None]
    assert samples.label_names is None
    assert [s.label for s in found(tmp_path, str(path), label="cls")] == [7, None, None, 5, None]
    assert found(tmp_path, str(path), subset={"classes": [5]}).ids == ["x/d.e/f.png"]


def test_a_corrupt_member_has_its_reason(tmp_path: Path) -> None:
    good = png(size=(64, 64))
    path = shard(tmp_path / "x.tar", {"a.png": good, "b.png": good[:60], "c.png": b"", "d.png": b"text", "e.png": good})
    samples = found(tmp_path, str(path))
    reasons = []
    for sample in samples:
        try:
            assert sample.read().size == (64, 64)
        except UnreadableImageError as error:
            reasons.append((sample.id, str(error)))
    assert [name for name, _ in reasons] == ["x/b.png", "x/c.png", "x/d.png"]
    assert reasons[1][1] == "the file is empty"
    assert reasons[2][1] == "not an image of a known format"


def test_members_of_formats_that_are_not_read_have_their_reason(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", {"./a.heic": b"ftypheic", "b.dng": png(), "c.png": png(), "c.xmp": b"x"})
    samples = found(tmp_path, str(path))
    assert samples.ids == ["x/./a.heic", "x/b.dng", "x/c.png"]
    for sample, words in zip(samples, (".heic files are not read", ".dng files are not read"), strict=False):
        with pytest.raises(UnreadableImageError, match=words):
            sample.read()


@pytest.mark.parametrize("cut", ["inside a member", "inside a header", "between members", "a damaged header"])
def test_a_damaged_shard_gives_what_comes_before(tmp_path: Path, cut: str, caplog: pytest.LogCaptureFixture) -> None:
    path = shard(tmp_path / "x.tar", {f"{n}.png": png() for n in range(5)})
    with tarfile.open(path) as tar:
        place = tar.getmembers()[3].offset
    content = path.read_bytes()
    damaged = {
        "inside a member": content[: place + 520],
        "inside a header": content[: place + 100],
        "between members": content[:place],
        "a damaged header": content[:place] + b"\xab" * 512 + content[place + 512 :],
    }
    path.write_bytes(damaged[cut])
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "caso"):
            samples = found(tmp_path, str(path))
        assert samples.ids == ["x/0.png", "x/1.png", "x/2.png"]
        assert all(sample.read().size == (8, 6) for sample in samples)
        (record,) = caplog.records
        assert "gives 3 images" in record.getMessage()


def test_files_that_are_no_shards(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"hello" * 300)
    assert "no tar file" in refusal(tmp_path, str(tmp_path / "x.tar"))
    packed = tmp_path / "x.tar.gz"
    with tarfile.open(packed, "w:gz"):
        pass
    assert "is compressed" in refusal(tmp_path, str(packed))
    (tmp_path / "empty.tar").write_bytes(b"")
    assert "no tar file" in refusal(tmp_path, str(tmp_path / "empty.tar"))
    assert "no image" in refusal(tmp_path, str(shard(tmp_path / "y.tar", {"a.txt": b"x"})))
    assert "no such file" in refusal(tmp_path, str(tmp_path / "nowhere-{0..1}.tar"))
    (tmp_path / "folder").mkdir()
    assert "no .tar file" in refusal(tmp_path, str(tmp_path / "folder"))


def test_shards_of_equal_names_and_lists(tmp_path: Path) -> None:
    paths = [str(shard(tmp_path / part / "x.tar", {"a.png": png()})) for part in ("one", "two")]
    assert found(tmp_path, paths).ids == ["one/x/a.png", "two/x/a.png"]
    assert found(tmp_path, str(tmp_path / "*" / "x.tar")).ids == ["one/x/a.png", "two/x/a.png"]
    assert found(tmp_path, str(tmp_path / "one")).ids == ["x/a.png"]


def test_ranges_are_written_out() -> None:
    assert list(expand_braces("s-{08..10}.tar")) == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert list(expand_braces("{0..1}{a}")) == ["0{a}", "1{a}"]
    assert list(expand_braces("a{1..2}b{3..4}")) == ["a1b3", "a1b4", "a2b3", "a2b4"]


class Quiet(SimpleHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def log_request(self, *arguments: object) -> None:
        self.requests.append(self.path)

    def log_message(self, *arguments: object) -> None:
        pass


def test_shards_by_url_are_fetched_once(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / "served" / f"s-{number}.tar", {"a.png": png((number, 0, 0))})
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        samples = found(tmp_path, f"{address}/s-{{0..1}}.tar")
        assert "cannot be fetched" in refusal(tmp_path, f"{address}/nowhere.tar")
        server.shutdown()
    assert samples.ids == ["s-0/a.png", "s-1/a.png"]
    assert [s.read().getpixel((0, 0))[0] for s in samples] == [0, 1]
    assert found(tmp_path, f"{address}/s-{{0..1}}.tar").ids == samples.ids  # nobody serves any more
    assert Quiet.requests == ["/s-0.tar", "/s-1.tar", "/nowhere.tar"]


def test_a_list_of_members_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", {"a.png": png()})
    assert found(tmp_path, str(path)).ids == ["x/a.png"]
    (kept,) = (tmp_path / "cache" / "lists").glob("*.json")
    assert json.loads(kept.read_text())["names"] == ["a.png"]
    kept.write_text("damaged")
    assert found(tmp_path, str(path)).ids == ["x/a.png"]
    shard(path, {"a.png": png(), "b.png": png()})
    assert found(tmp_path, str(path)).ids == ["x/a.png", "x/b.png"]


def test_two_processes_explain_each_sample_once(tmp_path: Path) -> None:
    for number in range(3):
        members = {f"{i:03d}.png": png((60 * number, 30 * i, 99), (20, 20)) for i in range(7)}
        if number == 1:
            members["003.png"] = b"no picture"
        shard(tmp_path / f"shard-{number}.tar", members)
    options = ("dataset=webdataset", f"dataset.path='{tmp_path}/shard-*.tar'", f"dataset.cache={tmp_path}/cache")
    ended = program.run(tmp_path, *TINY, *options, "trainer=ddp_cpu", "batch_size=2", "hydra.run.dir=run")
    assert ended.returncode == 1, ended.stderr
    table = load_run(tmp_path / "run").table
    assert len(table) == table["image"].nunique() == 21
    assert len(list((tmp_path / "run" / "parts").glob("*.jsonl"))) == 2
    failed = table[table["status"] != "converged"]
    assert failed["status"].tolist() == ["unreadable"]
    assert failed["image"].str.contains("003").all()
