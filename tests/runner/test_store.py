"""A run's directory: written batch by batch, read back whole."""

import json
import math
import os
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caso.runner import load_run
from caso.runner.results.encoding import decode, encode
from caso.runner.results.record import COLUMNS, Row
from caso.runner.results.segments import Follower, SegmentWriter, finished_batches
from caso.runner.results.store import RESULTS, write_table

ODD = ["NA", "1.0", "", 'a,b\n"c"', "../../etc/passwd", "größe 写真", os.fsdecode(b"caf\xe9.jpg")]


def write(directory: Path, batches: list[list[tuple[dict[str, Any], Any]]], first: int = 0) -> None:
    writer = SegmentWriter(directory)
    for number, batch in enumerate(batches, first):
        rows = [row | {"map": "" if array is None else writer.keep(array)} for row, array in batch]
        writer.commit(number, rows)
    writer.close()


def test_the_round_trip(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    figures = {"target": 3, "confidence": 1 / 3, "lambda_max": 1e-30, "hvps": 5, "smooth": False, "seed": 7}
    first = ({"image": "a", "status": "converged", **figures}, maps[0].astype(np.float32))
    third = ({"image": "a", "status": "floor", "kkt_residual": math.nan}, maps[1])
    write(tmp_path, [[first, ({"image": "b", "status": "unreadable", "message": "the file is empty"}, None), third]])
    run = load_run(tmp_path)
    assert list(run.table.columns) == list(COLUMNS)
    assert run.table["image"].tolist() == ["a", "b", "a"]
    row = run.table.iloc[0]
    assert {name: row[name] for name in figures} == figures
    assert run.table.loc[1, ["target", "confidence", "hvps", "smooth"]].isna().all()
    assert run.table.loc[1, "message"] == "the file is empty"
    assert run.table.loc[0, "message"] == ""
    assert list(run.maps) == ["a"]
    np.testing.assert_array_equal(run.maps["a"], [maps[0].astype(np.float32), maps[1]])


def test_one_setting_is_one_map(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.commit(0, [{"image": "a", "map": writer.keep(np.ones((1, 2, 2), dtype=np.float32))}])
    run = load_run(tmp_path)  # readable while the run goes on
    assert run.maps["a"].shape == (1, 2, 2)
    assert run.maps["a"].dtype == np.float32
    writer.close()


def test_a_run_in_a_line_and_in_a_notebook(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    rows = [
        {"image": "<b>&", "status": "converged", "lambda1": 1e-4, "predicted_name": "cat", "confidence": 0.5},
        {"image": "<b>&", "status": "floor", "lambda1": 1e-3, "predicted_name": "cat", "confidence": 0.5},
        {"image": "b", "status": "not_finite"},
    ]
    writer.commit(0, rows)
    writer.close()
    run = load_run(tmp_path)
    assert len(run) == 2
    assert repr(run) == f"Run of 2 images (1 converged, 1 not finite) in {tmp_path}"
    page = run._repr_html_()
    assert page.count("<tr") == 4
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


def test_ids_with_odd_characters_survive_and_stay_inside(tmp_path: Path) -> None:
    write(tmp_path / "run", [[({"image": name}, np.full((1, 1, 1), float(i)))] for i, name in enumerate(ODD)])
    run = load_run(tmp_path / "run")
    assert run.table["image"].tolist() == ODD
    assert [int(run.maps[name].item()) for name in ODD] == list(range(len(ODD)))
    write_table(run)
    assert os.fsdecode(b"caf\xe9.jpg") in (tmp_path / "run" / RESULTS).read_text(errors="surrogateescape")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_many_processes_make_one_table_in_the_images_order(tmp_path: Path) -> None:
    for numbers in ([2, 0], [1]):
        for number in numbers:
            write(tmp_path, [[({"image": f"image {number}"}, np.full((1, 1, 1), float(number)))]], first=number)
    run = load_run(tmp_path)
    assert run.table["image"].tolist() == ["image 0", "image 1", "image 2"]
    assert [run.maps[name].item() for name in run.table["image"]] == [0, 1, 2]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_what_a_killed_process_left_half_written_does_not_count(tmp_path: Path, cut: int) -> None:
    write(tmp_path, [[({"image": name}, np.ones((1, 2, 2)))] for name in "abc"])
    (lines,) = (tmp_path / "parts").glob("*.jsonl")
    lines.write_bytes(lines.read_bytes()[:-cut])
    assert finished_batches(tmp_path) == {0, 1}
    write(tmp_path, [[({"image": "c"}, np.full((1, 2, 2), 7.0))]], first=2)
    run = load_run(tmp_path)
    assert run.table["image"].tolist() == ["a", "b", "c"]
    assert run.maps["c"].max() == 7


def test_maps_without_their_line_do_not_count(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.keep(np.ones((1, 2, 2)))
    writer.close()
    assert len(load_run(tmp_path).table) == 0


def test_the_same_batch_twice_counts_once(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path, [[({"image": "a"}, np.ones((1, 1, 1)))]])
    assert load_run(tmp_path).table["image"].tolist() == ["a"]


def test_a_follower_gives_each_batch_once_as_it_comes(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert list(follower.poll()) == []
    writer = SegmentWriter(tmp_path)
    seen = []
    for number in range(3):
        writer.commit(number, [{"image": str(number)}])
        seen += [one.batch for one in follower.poll()]
    writer.close()
    assert seen == [0, 1, 2]
    assert list(follower.poll()) == []


@given(
    zeros=st.floats(0, 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 9),
)
def test_maps_come_back_exactly(zeros: float, shape: tuple[int, ...], dtype: type, seed: int) -> None:
    generator = np.random.default_rng(seed)
    array = generator.standard_normal(shape).astype(dtype)
    array[generator.random(shape) < zeros] = 0
    back = decode(encode(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_sparse_maps_take_little_room() -> None:
    generator = np.random.default_rng(0)
    array = generator.standard_normal((3, 224, 224)).astype(np.float32)
    dense = len(encode(array))
    array[generator.random(array.shape) < 0.99] = 0
    assert dense == pytest.approx(array.nbytes, rel=0.001)
    assert len(encode(array)) < dense / 40


def test_columns_have_the_types_of_a_row_even_without_rows(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).close()
    table = load_run(tmp_path).table
    kinds = {str: "string", bool: "boolean", int: "Int64", float: "float64"}
    assert [str(kind) for kind in table.dtypes] == [kinds[kind] for kind in get_type_hints(Row).values()]


def test_a_directory_without_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="parts"):
        load_run(tmp_path)


def test_the_summary_of_an_interrupted_run_is_empty(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).close()
    run = load_run(tmp_path)
    assert len(run.table) == 0
    assert run.summary == {}
    (tmp_path / "summary.json").write_text(json.dumps({"status": "finished"}))
    assert run.summary == {"status": "finished"}
