"""What is known of an image's regions: the rows of the run's table of regions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caso.regions import region_table


@dataclass(frozen=True)
class RegionRow:
    """The columns of ``Run.regions`` beside ``image``, with their types; ``docs/regions.md`` explains each."""

    region: int
    name: str
    rank: int
    lambda1: float
    weight: float
    signed_sum: float
    entries: int
    area: int
    top: int
    left: int
    bottom: int
    right: int
    row: float
    column: float


COLUMNS = tuple(one.name for one in fields(RegionRow))


@dataclass(frozen=True)
class Regions:
    """The regions of one image.

    Attributes:
        labels: ``[H, W]`` or ``[C, H, W]``, -1 for none.
        rows: One a region, by rank, in the order of :data:`COLUMNS`.
    """

    labels: NDArray[Any]
    rows: list[list[Any]]


def regions_of(
    labels: Tensor, rows: Sequence[dict[str, Any]], maps: Sequence[NDArray[Any] | None], names: Any
) -> Regions | None:
    """Find out what an image's maps say of its regions; None where there is no map.

    Args:
        labels: ``[H, W]`` or ``[C, H, W]``.
        rows: The results, one for each setting.
        maps: Their maps.
        names: Gives a label's name.
    """
    known = [(row.get("lambda1", float("nan")), one) for row, one in zip(rows, maps, strict=True) if one is not None]
    if not known:
        return None
    known.sort(key=lambda pair: float(pair[0]))
    stack = torch.from_numpy(np.stack([one for _, one in known]))
    of_entries = labels.cpu().expand(stack.shape[1:])
    table = region_table(of_entries, stack, torch.tensor([value for value, _ in known], dtype=torch.float64))
    columns = (
        table.rank, table.lambda1, table.weight, table.signed_sum, table.entries, table.area, *table.box.unbind(1),
        *table.centroid.unbind(1),
    )  # fmt: skip
    values = zip(table.label.tolist(), *(column.tolist() for column in columns), strict=True)
    return Regions(labels.cpu().numpy(), [[label, names(label), *rest] for label, *rest in values])
