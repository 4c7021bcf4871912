"""A run's pictures: one per image, and a contact sheet."""

import math
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from caso.plot.paths import spread
from caso.runner.results.panel import Look, Panel, RegionOverlay, contact_sheet, draw
from caso.runner.results.regions import RegionRow, Regions

CONTACT_SHEET = "contact_sheet.png"
_AXES = 2  # of an image of labels
_MOST_MAPS = 6  # of a path, in one strip
_MOST_PICTURES = 48  # on a contact sheet


def panel(
    rows: list[dict[str, Any]], maps: list[NDArray[Any] | None], pixels: Tensor, regions: Regions | None = None
) -> Panel | None:
    """Compose the picture of an image from its rows and maps.

    Args:
        rows: One for each setting.
        maps: Their maps, None where there is none.
        pixels: The image, ``[C, H, W]`` in [0, 1].
        regions: Of the image, or None.

    Returns:
        The picture's content, or None where there is no map at all. Of a long path, some maps, evenly spaced in
        sparsity.
    """
    pairs = [(row, torch.from_numpy(m)) for row, m in zip(rows, maps, strict=True) if m is not None]
    if not pairs:
        return None
    if len(pairs) > _MOST_MAPS:
        pairs = [pairs[i] for i in spread([float(row["sparsity"]) for row, _ in pairs], _MOST_MAPS)]
    first, overlay = pairs[0][0], None if regions is None else overlay_of(regions)
    title = f"{first['image']}: {first['predicted_name']} {first['confidence']:.3f}"
    if first["target"] != first["predicted"]:
        title += f", explained: {first['target_name']}"
    if first["status"] == "computed":  # by a method without a solver
        details = f"{first['explainer'].replace('_', ' ')}  {_sparse(first, regions)}"
        return Panel(pixels, [pairs[0][1]], [""], title, details, overlay)
    method = str(first["explainer"]).upper()
    if len(rows) == 1:
        details = (
            f"{method}  lambda1 {first['lambda1']:.2g}  {_sparse(first, regions)}"
            f"  residual {_short(first['kkt_residual'])}"
        )
        return Panel(pixels, [pairs[0][1]], [""], title, details, overlay)
    worst = max((row["kkt_residual"] for row in rows), default=math.nan)
    details = f"{method}  {len(rows)} values of lambda1  largest residual {_short(worst)}"
    labels = [f"lambda1 {row['lambda1']:.1e}  sparsity {row['sparsity']:.2f}" for row, _ in pairs]
    return Panel(pixels, [m for _, m in pairs], labels, title, details, overlay)


def _sparse(row: dict[str, Any], regions: Regions | None) -> str:
    if regions is None:
        return f"sparsity {row['sparsity']:.3f}"
    kept = sum(RegionRow(*values).weight > 0 for values in regions.rows)
    return f"{kept} of {len(regions.rows)} regions"


def overlay_of(regions: Regions) -> RegionOverlay | None:
    """The regions that are in the map; None where they differ from channel to channel."""
    labels = regions.labels
    if labels.ndim > _AXES:
        if not (labels == labels[:1]).all():
            return None
        labels = labels[0]
    present = [row for row in (RegionRow(*values) for values in regions.rows) if row.weight > 0]
    return RegionOverlay(labels, {row.region: row.weight for row in present})


def write_picture(content: Panel, path: Path, look: Look) -> None:
    """Draw and write one picture."""
    draw(content, look).save(path, compress_level=1)


def write_contact_sheet(directory: Path, pictures: list[str], total: int) -> None:
    """Write a run's contact sheet from its pictures; none where there are no pictures.

    Args:
        directory: The run's.
        pictures: The first pictures, by path below the directory.
        total: How many pictures there are in all.
    """
    if not pictures:
        return
    note = f"the first {len(pictures)} of {total} images" if total > len(pictures) else ""
    contact_sheet([directory / name for name in pictures], note).save(directory / CONTACT_SHEET, compress_level=1)


def on_sheet(count: int) -> bool:
    """Tell whether one more picture still fits a contact sheet of ``count``."""
    return count < _MOST_PICTURES


def _short(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1e}"
