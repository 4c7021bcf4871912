"""The images on a page: what is shown of each, read one by one."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from caso.results.words import number
from caso.runner.results.regions import RegionRow
from caso.runner.results.report_words import certificate, share
from caso.runner.results.segments import read_bytes

Row = Mapping[str, Any]
SPARSE = 0.9
"""Where the slider of a path begins: at the value of lambda1 whose maps are about so sparse."""


@dataclass
class Budget:
    """How much of a page thumbnails may take, so that it opens at once.

    Attributes:
        bytes: That are left.
        without: Images with a map that have no thumbnail on the page.
    """

    bytes: int = 20_000_000
    without: int = 0


@dataclass(frozen=True)
class Setting:
    """One map of an image.

    Attributes:
        lambda1: Its value, NaN for methods without.
        sparsity: The map's.
        residual: Likewise.
        status: How it ended.
        words: Its certificate.
        thumbnail: A data URI, or empty.
    """

    lambda1: float
    sparsity: float
    residual: float
    status: str
    words: str
    thumbnail: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """What the slider needs, ready for JSON."""
        numbers = {"lambda1": number, "sparsity": share, "residual": number}
        values = {key: getattr(self, key) for key in numbers}
        return {key: [numbers[key](value), None if math.isnan(value) else value] for key, value in values.items()} | {
            "words": self.words,
            "map": self.thumbnail,
        }


@dataclass(frozen=True)
class Entry:
    """What a page shows of one image.

    Attributes:
        image: Its id.
        predicted: The predicted class.
        explained: The class explained, where that is another, or empty.
        truth: What is known of the true class, or empty.
        confidence: NaN where there is no prediction.
        lambda_max: NaN where it was not sought.
        picture: Path of its picture below the run's directory, or empty.
        settings: By ascending lambda1.
        at: Which of them is shown first.
        photograph: A data URI, or empty.
        outlines: Of its regions, likewise.
        regions: How many of them are in the map, in words, or empty.
        scores: Of the setting shown, by metric.
    """

    image: str
    predicted: str
    explained: str
    truth: str
    confidence: float
    lambda_max: float
    picture: str
    settings: list[Setting]
    at: int
    photograph: str
    outlines: str
    regions: str
    scores: Mapping[str, float]

    @property
    def shown(self) -> Setting:
        """The setting that is shown first."""
        return self.settings[self.at]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What the slider goes through; nothing where there is one setting, or no thumbnail."""
        moves = len(self.settings) > 1 and bool(self.photograph)
        return [one.plain for one in self.settings] if moves else []


def entries(directory: Path, rows: Sequence[Row], at: int, budget: Budget) -> Iterator[Entry]:
    """Read what a page shows of images, one by one.

    Args:
        directory: The run's.
        rows: Of its results, the images in their order.
        at: The setting that is shown first, by ascending lambda1.
        budget: Is used up; images that come after it have no thumbnails.
    """
    for _, group in groupby(rows, key=lambda row: row["image"]):
        own = list(group)
        first = own[0]
        pictures = _thumbnails(directory, own) if budget.bytes > 0 else {}
        if pictures:
            budget.bytes -= sum(map(len, pictures.values())) + 200 * len(own)  # and the words of the path's steps
        budget.without += not pictures and any(row.get("map") for row in own)
        ordered = sorted(own, key=_lambda1)
        settings = [_setting(row, pictures.get(row.get("thumbnail") or "", "")) for row in ordered]
        place = min(at, len(settings) - 1)
        predicted, target = (str(first.get(key) or "") for key in ("predicted_name", "target_name"))
        yield Entry(
            image=str(first["image"]),
            predicted=predicted,
            explained=target if target != predicted else "",
            truth=_truth(first),
            confidence=_float(first.get("confidence")),
            lambda_max=_float(first.get("lambda_max")),
            picture=str(first.get("picture") or ""),
            settings=settings,
            at=place,
            photograph=pictures.get(first.get("photograph") or "", ""),
            outlines=pictures.get(first.get("outlines") or "", ""),
            regions=_regions(first),
            scores=ordered[place].get("scores", {}),
        )


def _truth(row: Row) -> str:
    if not row.get("label_name"):
        return ""
    return "that is right" if row.get("correct") else f"true: {row['label_name']}"


def _setting(row: Row, thumbnail: str) -> Setting:
    lambda1, sparsity, residual = (_float(row.get(key)) for key in ("lambda1", "sparsity", "kkt_residual"))
    return Setting(lambda1, sparsity, residual, str(row["status"]), certificate(row), thumbnail)


def middle(rows: Sequence[Row]) -> int:
    """Find the setting of a path, by ascending lambda1, whose maps are nearest to :data:`SPARSE`, at the median.

    One whose maps are zero is found only where there is no other.
    """
    table: list[list[float]] = []
    for _, group in groupby(rows, key=lambda row: row["image"]):
        for place, row in enumerate(sorted(group, key=_lambda1)):
            if place == len(table):
                table.append([])
            table[place].append(_float(row.get("sparsity")))
    medians = [sorted(values)[len(values) // 2] for values in table]
    distances = [abs(value - SPARSE) if value < 1 else math.inf for value in medians]
    return distances.index(min(distances)) if distances else 0


def _thumbnails(directory: Path, rows: Sequence[Row]) -> dict[str, str]:
    """Read an image's thumbnails, by where they lie; none where one is damaged."""
    keys = ("photograph", "outlines", "thumbnail")
    locators = [str(row[key]) for row in rows for key in keys if row.get(key)]
    try:
        return {one: data_uri(read_bytes(directory, one)) for one in locators}
    except (OSError, ValueError):
        return {}


def data_uri(webp: bytes) -> str:
    """A WebP file as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _regions(row: Row) -> str:
    rows = [RegionRow(*values) for values in row.get("regions", ())]
    return f"{sum(one.weight > 0 for one in rows)} of {len(rows)} regions" if rows else ""


def _lambda1(row: Row) -> float:
    value = _float(row.get("lambda1"))
    return -math.inf if math.isnan(value) else value


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
