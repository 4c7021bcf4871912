"""A run's directory: written row by row, read back whole."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from caso.runner import load_run
from caso.runner.store import COLUMNS, TEXT_COLUMNS, Store

ODD = ["NA", "1.0", "", 'a,b\n"c"', "../../etc/passwd", "größe 写真", os.fsdecode(b"caf\xe9.jpg")]


def test_the_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    figures = {"target": 3, "confidence": 1 / 3, "lambda_max": 1e-30, "hvps": 5, "smooth": False, "seed": 7}
    store.add({"image": "a", "status": "converged", **figures}, maps[0].astype(np.float32))
    store.add({"image": "b", "status": "unreadable", "message": "the file is empty"})
    store.add({"image": "a", "status": "floor", "kkt_residual": math.nan}, maps[1])
    store.close()
    run = load_run(tmp_path)
    assert list(run.table.columns) == list(COLUMNS)
    assert run.table["image"].tolist() == ["a", "b", "a"]
    first = run.table.iloc[0]
    assert {name: first[name] for name in figures} == figures
    assert run.table.loc[1, ["target", "confidence", "hvps"]].isna().all()
    assert run.table.loc[1, "message"] == "the file is empty"
    assert list(run.maps) == ["a"]
    assert run.maps["a"].shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(run.maps["a"], [maps[0].astype(np.float32), maps[1]])


def test_one_setting_is_one_map(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add({"image": "a"}, np.ones((1, 2, 2), dtype=np.float32))
    assert load_run(tmp_path).maps["a"].shape == (1, 2, 2)  # readable while the run goes on
    assert load_run(tmp_path).maps["a"].dtype == np.float32
    store.close()


def test_ids_with_odd_characters_survive_and_stay_inside(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    for number, name in enumerate(ODD):
        store.add({"image": name}, np.full((1, 1, 1), number))
    store.close()
    run = load_run(tmp_path / "run")
    assert run.table["image"].tolist() == ODD
    assert [int(run.maps[name].item()) for name in ODD] == list(range(len(ODD)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert {path.parent.name for path in tmp_path.rglob("*.npy")} == {"maps"}


def test_text_columns_are_columns() -> None:
    assert set(TEXT_COLUMNS) <= set(COLUMNS)


def test_a_directory_without_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"results\.csv"):
        load_run(tmp_path)


def test_the_summary_of_an_interrupted_run_is_empty(tmp_path: Path) -> None:
    Store(tmp_path).close()
    run = load_run(tmp_path)
    assert len(run.table) == 0
    assert run.summary == {}
    (tmp_path / "summary.json").write_text(json.dumps({"status": "finished"}))
    assert run.summary == {"status": "finished"}
