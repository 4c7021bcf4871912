"""Data sets with labels: what they add to the table, and `target=label`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from caso.runner import Run, load_run
from tests.conftest import Ended
from tests.runner.networks import NAMES, TINY

Cli = Callable[..., Ended]


def folders(names: list[str]) -> None:
    for number, name in enumerate(names):
        Path("set", name).mkdir(parents=True)
        for picture in range(2):
            Image.new("RGB", (20, 20), (60 * number + 9, 120 * picture, 40)).save(Path("set", name, f"{picture}.png"))


def labelled(cli: Cli, *arguments: str) -> Run:
    ended = cli(*TINY, "dataset=imagefolder", "dataset.root=set", "order=second", *arguments)
    assert ended.code == 0, ended.err
    return load_run(ended.directory)


def test_labels_come_along(cli: Cli) -> None:
    folders(["tabby", "tiger_cat"])
    table = labelled(cli).table
    assert table["label"].tolist() == [0, 0, 1, 1]
    assert table["label_name"].tolist() == ["tabby"] * 2 + ["Tiger Cat"] * 2
    assert table["correct"].tolist() == (table["predicted"] == table["label"]).tolist()
    assert (table["target"] == table["predicted"]).all()
    assert table["target_confidence"].to_numpy() == pytest.approx(table["confidence"])
    right = table["correct"].to_numpy(bool)
    assert table["label_confidence"].to_numpy()[right] == pytest.approx(table["confidence"][right])
    assert (table["label_confidence"] <= table["confidence"]).all()


def test_there_is_a_table_by_class(cli: Cli) -> None:
    folders(["tabby", "tiger_cat"])
    run = labelled(cli, "metrics=complexity")
    classes, table = run.classes, run.table
    assert classes["label_name"].tolist() == ["tabby", "Tiger Cat"]
    assert classes["images"].tolist() == [2, 2]
    for row in classes.itertuples():
        own = table[table["label"] == row.label]
        assert row.accuracy == own["correct"].astype(float).mean()
        assert row.label_confidence == pytest.approx(own["label_confidence"].mean())
        assert row.gini == pytest.approx(own["gini"].mean())
    assert pd.read_csv(run.directory / "classes.csv")["images"].tolist() == [2, 2]


def test_the_label_is_explained_in_the_networks_numbers(cli: Cli) -> None:
    folders(["stop_sign", "tiger beetle"])  # the folders' numbers are 0 and 1, the network's 2 and 3
    run = labelled(cli, "target=label", "batch_size=3")
    assert run.table["target"].tolist() == [2, 2, 3, 3]
    by_name = labelled(cli, "target=stop_sign")
    np.testing.assert_allclose(run.maps["stop_sign/0.png"], by_name.maps["stop_sign/0.png"], rtol=1e-4, atol=1e-6)
    assert run.table["target_confidence"].to_numpy() == pytest.approx(run.table["label_confidence"])


def test_labels_that_the_network_does_not_know_are_told(cli: Cli) -> None:
    folders(["tabby", "lion"])
    ended = cli(*TINY, "dataset=imagefolder", "dataset.root=set", "target=label")
    assert ended.code == 2
    assert "target=label" in ended.err
    assert "lion" in ended.err


def test_without_labels_there_is_nothing_to_explain(cli: Cli) -> None:
    ended = cli(*TINY, "target=label")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("target=label: this data set has no labels")


def test_images_without_a_label_are_rows_with_a_reason(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.data import DATASETS, Samples

    folders([NAMES[0], NAMES[3]])
    found = DATASETS["imagefolder"]

    def partly(options: object, seed: int) -> Samples:
        samples = found(options, seed)
        samples.labels = [None, *list(samples.labels or ())[1:]]
        return samples

    monkeypatch.setitem(DATASETS, "imagefolder", partly)
    ended = cli(*TINY, "dataset=imagefolder", "dataset.root=set", "target=label", "batch_size=2")
    assert ended.code == 1
    table = load_run(ended.directory).table
    assert table["status"].tolist() == ["error", "converged", "converged", "converged"]
    assert table["message"][0] == "target=label: it has none"
    assert table["target"].tolist()[1:] == [0, 3, 3]


def test_a_subset_of_given_images(cli: Cli) -> None:
    folders(["tabby"])
    ended = cli(*TINY, "image=set/tabby", "dataset.subset.n=1")
    assert ended.code == 0, ended.err
    assert load_run(ended.directory).table["image"].tolist() == ["0.png"]
