"""A run's directory: what is written while a run goes on, and how it is read back.

Layout::

    results.csv          a row per image and setting, see COLUMNS
    maps/000000.npy      the map of row 0, signed, [C, H, W], at full precision
    pictures/000000.png  the photograph beside its map (named by the image's first row)
    contact_sheet.png    small pictures of the first images
    summary.json         how the run ended, and its figures in short
    environment.json     versions, device, seed and command
    caso.log, .hydra/    the log, and the resolved configuration

Files are named by number, never by image id, so that no id can leave the directory.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TEXT_COLUMNS = (
    "image",
    "target_name",
    "predicted_name",
    "order",
    "regularization",
    "certificate",
    "status",
    "message",
    "solver",
    "curvature",
    "curvature_exact",
    "model",
    "map",
    "picture",
)
COLUMNS = (
    "image",
    "target",
    "target_name",
    "predicted",
    "predicted_name",
    "confidence",
    "order",
    "regularization",
    "lambda1",
    "lambda2",
    "lambda2_effective",
    "lambda_max",
    "lambda_max_error",
    "sparsity",
    "kkt_residual",
    "error_bound",
    "certificate",
    "floor",
    "hvps",
    "seconds",
    "status",
    "message",
    "solver",
    "curvature",
    "curvature_exact",
    "smooth",
    "times_input",
    "magnitude",
    "seed",
    "model",
    "map",
    "picture",
)
RESULTS = "results.csv"
SUMMARY = "summary.json"


class Store:
    """Write rows and maps as they come, so that nothing is lost when something fails later.

    Args:
        directory: The run's directory; made if needed.
    """

    def __init__(self, directory: Path) -> None:
        """Open the table."""
        self.directory = directory
        (directory / "maps").mkdir(parents=True, exist_ok=True)
        (directory / "pictures").mkdir(exist_ok=True)
        # File names that are not valid text must survive the way to the table and back.
        path = directory / RESULTS
        self._file = path.open("w", newline="", encoding="utf-8", errors="surrogateescape")
        self._writer = csv.DictWriter(self._file, COLUMNS)
        self._writer.writeheader()
        self._file.flush()
        self.rows = 0

    def add(self, row: Mapping[str, Any], attribution: NDArray[Any] | None = None) -> dict[str, Any]:
        """Write a row, and its map where there is one.

        Args:
            row: Values by column; columns left out stay empty.
            attribution: The map, ``[C, H, W]``.

        Returns:
            The row as it was written.
        """
        written = dict(row)
        if attribution is not None:
            written["map"] = f"maps/{self.rows:06d}.npy"
            np.save(self.directory / written["map"], np.ascontiguousarray(attribution))
        self._writer.writerow({key: _cell(value) for key, value in written.items()})
        self._file.flush()
        self.rows += 1
        return written

    def picture_path(self) -> str:
        """Name the picture of the image whose first row comes next."""
        return f"pictures/{self.rows:06d}.png"

    def close(self) -> None:
        """Close the table."""
        self._file.close()


class Maps(Mapping[str, NDArray[Any]]):
    """Maps by image id, read from their files only when asked for.

    An image with one setting has a map ``[C, H, W]``; with several, ``[L, C, H, W]`` in the table's order. Images
    without a map are not among the keys.
    """

    def __init__(self, directory: Path, table: pd.DataFrame) -> None:
        """Keep which files belong to which image."""
        self._files: dict[str, list[Path]] = {}
        for image, name in zip(table["image"], table["map"], strict=True):
            if name:
                self._files.setdefault(image, []).append(directory / name)

    def __getitem__(self, image: str) -> NDArray[Any]:
        """Read an image's map."""
        arrays = [np.load(path, allow_pickle=False) for path in self._files[image]]
        return arrays[0] if len(arrays) == 1 else np.stack(arrays)

    def __iter__(self) -> Iterator[str]:
        """Go through the image ids, in the table's order."""
        return iter(self._files)

    def __len__(self) -> int:
        """Count the images with a map."""
        return len(self._files)


class Run:
    """A finished or interrupted run, read back.

    Attributes:
        directory: Where it lies.
        table: A row per image and setting; the columns are :data:`COLUMNS`.
        maps: The maps by image id.
    """

    def __init__(self, directory: Path) -> None:
        """Read the table."""
        self.directory = directory
        self.table = _read_table(directory / RESULTS)
        self.maps = Maps(directory, self.table)

    @property
    def config(self) -> Any:
        """The resolved configuration, an ``omegaconf.DictConfig``."""
        from omegaconf import OmegaConf

        return OmegaConf.load(self.directory / ".hydra" / "config.yaml")

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
    if not (directory / RESULTS).is_file():
        raise FileNotFoundError(f"{directory} is not a run's directory: it has no {RESULTS}")
    return Run(directory)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that people read."""
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8", errors="backslashreplace")


def _read_table(path: Path) -> pd.DataFrame:
    # All is text first, in Python's own strings: an image may be called "NA" or "1.0", or be no valid text at all.
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    table = pd.DataFrame(rows, columns=header, dtype=object)
    for column in table.columns:
        if column in ("smooth", "times_input", "magnitude"):
            table[column] = table[column].map({"True": True, "False": False})
        elif column in ("target", "predicted", "hvps", "seed"):
            numbers = pd.to_numeric(table[column].replace(["", "nan"], np.nan))
            table[column] = numbers.astype("Int64")  # an integer type that knows missing values
        elif column not in TEXT_COLUMNS:
            table[column] = pd.to_numeric(table[column].replace(["", "nan"], np.nan)).astype(float)
    return table


def _cell(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value
