"""What goes on beside the explaining: batches that are read ahead, and results that are written behind."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from caso.runner import load_run
from caso.runner.data import Samples
from caso.runner.execution.loading import Batch, Group, PixelBatches, ReadAhead
from caso.runner.results import writer
from caso.runner.results.manifest import Manifest
from caso.runner.results.segments import SegmentWriter, finished_batches
from caso.runner.results.writer import ResultWriter


class Reader:
    """Notes which images are read."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.dark: int | None = None

    def __call__(self, place: int) -> torch.Tensor:
        self.read.append(place)
        if place == self.dark:
            raise KeyboardInterrupt
        return torch.full((1, 2, 2), float(place))


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


def batches(reader: Reader, preprocessing: Callable[[Any], Any] = lambda image: image, count: int = 5) -> PixelBatches:
    return PixelBatches(Samples([str(i) for i in range(count)], reader), preprocessing, [[i] for i in range(count)])


def test_one_batch_is_read_ahead_but_none_beside_the_first(thread: ThreadPoolExecutor) -> None:
    reader = Reader()
    ahead = iter(ReadAhead(batches(reader), thread))
    read = []
    for place, batch in enumerate(ahead):
        assert batch.groups[0].pixels.unique().tolist() == [place]
        thread.submit(lambda: None).result()  # what was asked for is read
        read.append(len(reader.read))
    assert read == [1, 3, 4, 5, 5]
    assert reader.read == [0, 1, 2, 3, 4]


def test_what_ends_the_reading_ends_the_explaining(thread: ThreadPoolExecutor) -> None:
    reader = Reader()
    reader.dark = 2
    ahead = iter(ReadAhead(batches(reader), thread))
    assert [next(ahead).groups[0].ids for _ in range(2)] == [["0"], ["1"]]
    with pytest.raises(KeyboardInterrupt):
        next(ahead)


def test_what_is_read_ahead_has_no_gradients(thread: ThreadPoolExecutor) -> None:
    weight = torch.ones(1, requires_grad=True)
    for batch in ReadAhead(batches(Reader(), lambda image: image * weight), thread):
        assert not batch.groups[0].pixels.requires_grad


@pytest.mark.parametrize("pin", [True, False])
def test_batches_for_a_gpu_are_pinned_as_they_are_read(
    thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, pin: bool
) -> None:
    pinned: list[torch.Tensor] = []  # only where there is a GPU can memory be pinned
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: (pinned.append(tensor), tensor.clone())[1])
    read = list(ReadAhead(batches(Reader(), count=3), thread, pin))
    assert [tensor.unique().tolist() for tensor in pinned] == ([[0], [1], [2]] if pin else [])
    assert [batch.groups[0].pixels.unique().tolist() for batch in read] == [[0], [1], [2]]


def test_a_batch_goes_to_a_device_whole() -> None:
    pixels, labels = torch.zeros(2, 1, 3, 3), torch.zeros(2, 3, 3, dtype=torch.long)
    batch = Batch([Group([0, 1], ["a", "b"], [None, 1], pixels, labels), Group([2], ["c"], [0], pixels[:1])], [])
    there = move_data_to_device(batch, torch.device("meta"))
    assert [group.pixels.device.type for group in there.groups] == ["meta", "meta"]
    assert there.groups[0].regions.device.type == "meta"
    assert (there.groups[0].ids, there.groups[0].labels) == (["a", "b"], [None, 1])


ROW = {"image": "a", "status": "computed", "explainer": "x", "sparsity": 0.0, "confidence": 1.0}
ROW |= {"target": 0, "predicted": 0, "predicted_name": "cat"}


def give(one: ResultWriter, place: int) -> None:
    one.take(place, [ROW | {"image": str(place)}], [np.full((1, 2, 2), float(place))], torch.zeros(1, 2, 2))
    one.finish({})


def test_the_first_batch_is_on_disk_at_once_and_all_are_when_it_is_closed(tmp_path: Path) -> None:
    one = ResultWriter(tmp_path, Manifest(4, 1), pictures=2)
    give(one, 0)
    assert finished_batches(tmp_path) == {0}
    for place in (1, 2, 3):
        give(one, place)
    one.close()
    run = load_run(tmp_path)
    assert [run.maps[str(place)].max() for place in range(4)] == [0, 1, 2, 3]
    assert run.table["picture"].tolist() == ["pictures/000000.png", "pictures/000001.png", "", ""]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["000000.png", "000001.png"]


def test_one_batch_waits_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ResultWriter(tmp_path, Manifest(4, 1), pictures=0)
    give(one, 0)
    go_on = threading.Event()
    commit = SegmentWriter.commit
    monkeypatch.setattr(SegmentWriter, "commit", lambda *args: (go_on.wait(30), commit(*args)))
    give(one, 1)
    assert finished_batches(tmp_path) == {0}
    blocked = threading.Thread(target=give, args=(one, 2))
    blocked.start()
    blocked.join(0.2)
    assert blocked.is_alive(), "the third is not taken before the second is written"
    go_on.set()
    blocked.join()
    one.close()
    assert finished_batches(tmp_path) == {0, 1, 2}


def test_what_cannot_be_written_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ResultWriter(tmp_path, Manifest(4, 1), pictures=0)
    give(one, 0)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as here:
        here.setattr(SegmentWriter, "commit", full)
        give(one, 1)
        with pytest.raises(OSError, match="No space left"):
            give(one, 2)
    one.close()
    assert finished_batches(tmp_path) == {0}


def test_a_picture_that_cannot_be_drawn_costs_no_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object) -> None:
        raise ValueError("no such font")

    monkeypatch.setattr(writer, "write_picture", broken)
    one = ResultWriter(tmp_path, Manifest(1, 1), pictures=1)
    give(one, 0)
    one.close()
    assert list(load_run(tmp_path).maps) == ["0"]
    assert load_run(tmp_path).table["picture"].tolist() == [""]
    assert "0: no picture (no such font)" in caplog.text
