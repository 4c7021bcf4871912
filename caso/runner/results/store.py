"""A run's directory: what is written while a run goes on, and how it is read back.

Layout::

    parts/               rows and maps as they were written, two files a process, see `caso.runner.results.segments`
    results.csv          a row per image and setting, see COLUMNS; written when the run ends
    regions.csv          with regions, a row per image and region, by rank
    pictures/000000.png  the photograph beside its map (named by the image's index in the data set)
    contact_sheet.png    small pictures of the first images
    summary.json         how the run ended, and its figures in short
    environment.json     versions, device, seed and command
    run.json, config.yaml  what the directory is for, see `caso.runner.results.manifest`
    caso.log, .hydra/    the log, and the configuration as Hydra composed it last

No file is named by an image's id, so that no id can leave the directory.
"""

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caso.runner.results.manifest import CONFIG, whole
from caso.runner.results.record import COLUMNS, typed
from caso.runner.results.regions import COLUMNS as REGION_COLUMNS
from caso.runner.results.segments import PARTS, Follower, read_labels, read_map

RESULTS = "results.csv"
REGIONS = "regions.csv"
CLASSES = "classes.csv"
SUMMARY = "summary.json"
DEFINITIONS = "metrics.json"
_SHOWN = ("image", "predicted_name", "confidence", "lambda1", "sparsity", "kkt_residual", "error_bound", "status")
_ROWS = 20


class Maps(Mapping[str, NDArray[Any]]):
    """Maps by image id, signed and at full precision, read from their files only when asked for.

    An image with one setting has a map ``[C, H, W]``; with several, ``[L, C, H, W]`` in the table's order. Images
    without a map are not among the keys.
    """

    def __init__(self, directory: Path, table: pd.DataFrame) -> None:
        """Keep where each image's maps lie."""
        self._directory = directory
        self._locators: dict[str, list[str]] = {}
        for image, locator in zip(table["image"], table["map"], strict=True):
            if locator:
                self._locators.setdefault(image, []).append(locator)

    def __getitem__(self, image: str) -> NDArray[Any]:
        """Read an image's map."""
        arrays = [read_map(self._directory, locator) for locator in self._locators[image]]
        return arrays[0] if len(arrays) == 1 else np.stack(arrays)

    def __iter__(self) -> Iterator[str]:
        """Go through the image ids, in the table's order."""
        return iter(self._locators)

    def __len__(self) -> int:
        """Count the images with a map."""
        return len(self._locators)


class Run:
    """A finished, running or interrupted run, read back.

    Attributes:
        directory: Where it lies.
        table: A row per image and setting; the columns are :data:`COLUMNS`, then one a metric.
        maps: The maps by image id.
    """

    def __init__(self, directory: Path) -> None:
        """Read the table."""
        self.directory = directory
        self.table = _read_table(directory)
        self.maps = Maps(directory, self.table)

    def __len__(self) -> int:
        """Count the images."""
        return int(self.table["image"].nunique())

    def __repr__(self) -> str:
        """The run in a line: its images, how they ended, its method and its directory."""
        states = self.table.drop_duplicates("image")["status"].value_counts()
        said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in states.items())
        return f"Run of {len(self)} images ({said}) in {self.directory}"

    def _repr_html_(self) -> str:
        """The line, and the table's first rows and columns, for notebooks."""
        shown = self.table[[name for name in _SHOWN if name in self.table]].head(_ROWS)
        table = shown.to_html(index=False, escape=True, float_format="{:.3g}".format)
        return f"<div><p>{escape(repr(self))}</p>{table}</div>"

    @property
    def config(self) -> Any:
        """The resolved configuration, an ``omegaconf.DictConfig``."""
        from omegaconf import OmegaConf

        return OmegaConf.load(self.directory / CONFIG)

    @property
    def metrics(self) -> dict[str, Any]:
        """What the scores are: each metric's definition, with parameters, direction and source; empty without any."""
        path = self.directory / DEFINITIONS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    @property
    def classes(self) -> pd.DataFrame:
        """The table by true class: images, the share that is predicted rightly, and means of figures and scores.

        Empty where no image has a label. An image with several settings counts once, its figures with their mean.
        """
        good = self.table[self.table["label"].notna() & self.table["target"].notna()]
        scores = self.table.columns[len(COLUMNS) :]
        figures = ["correct", "label_confidence", "confidence", "lambda_max", "sparsity", *scores]
        by_image = good.astype({"correct": float}).groupby(["label", "label_name", "image"])[figures].mean()
        by_class = by_image.groupby(level=["label", "label_name"])
        table = by_class.mean().rename(columns={"correct": "accuracy"})
        table.insert(0, "images", by_class.size())
        return table.reset_index()

    def curves(self, metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """A metric's curves: where they were taken, ``[S]``, and their values, ``[rows, S]``, NaN where there are none.

        Raises:
            KeyError: If the run has no curves of this metric.
        """
        x = np.asarray(self.metrics[metric]["x"], dtype=float)
        missing = [float("nan")] * len(x)
        values = [row.get("curves", {}).get(metric, missing) for row in read_rows(self.directory)]
        return x, np.asarray(values, dtype=float).reshape(-1, len(x))

    @property
    def regions(self) -> pd.DataFrame:
        """A row for each region of each image, by rank; the columns are :class:`RegionRow`'s. Empty without regions."""
        rows = [
            {"image": row["image"], **dict(zip(REGION_COLUMNS, region, strict=True))}
            for row in read_rows(self.directory)
            for region in row.get("regions", ())
        ]
        return pd.DataFrame(rows, columns=["image", *REGION_COLUMNS])

    def labels(self, image: str) -> NDArray[Any]:
        """The region of each pixel of an image, ``[H, W]``, or of each entry, ``[C, H, W]``; -1 for none.

        Raises:
            KeyError: If the run has no regions of this image.
        """
        for row in read_rows(self.directory):
            if row["image"] == image and "labels" in row:
                return read_labels(self.directory, row["labels"])
        raise KeyError(image)

    @property
    def summary(self) -> dict[str, Any]:
        """How the run ended; empty where it was interrupted."""
        path = self.directory / SUMMARY
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def load_run(path: str | Path) -> Run:
    """Read a run's directory back.

    Args:
        path: The directory, as the run printed it at its end.

    Returns:
        An object with ``table`` (pandas.DataFrame), ``maps`` (by image id, read lazily) and ``config``.

    Raises:
        FileNotFoundError: If the directory holds no results.
    """
    directory = Path(path).expanduser()
    if not (directory / PARTS).is_dir():
        raise FileNotFoundError(f"{directory} is not a run's directory: it has no folder {PARTS}")
    return Run(directory)


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """Read the rows of all processes, in the images' order, with what the table leaves out.

    That is: ``scores``, ``curves``, and with an image's first row ``regions``, ``labels``, ``photograph`` and
    ``outlines``; with each, ``thumbnail``. The last three, and ``labels``, are locators.
    """
    batches = sorted(Follower(directory).poll(), key=lambda one: one.batch)
    return [row for one in batches for row in one.rows]


def _read_table(directory: Path) -> pd.DataFrame:
    rows = [row | row.get("scores", {}) for row in read_rows(directory)]
    scores = dict.fromkeys(name for row in rows for name in row.get("scores", {}))
    table = pd.DataFrame(rows, columns=[*COLUMNS, *scores], dtype=object)
    for column in table.columns:
        table[column] = typed(str(column), table[column])
    return table


def write_table(run: Run) -> None:
    """Write the table, and that by class where there are labels, for people and other programs."""
    # File names that are no valid text must survive the way to the table.
    for name, table in ((RESULTS, run.table), (CLASSES, run.classes), (REGIONS, run.regions)):
        if len(table):
            with whole(run.directory / name) as path:
                table.to_csv(path, index=False, encoding="utf-8", errors="surrogateescape")
