"""Regions: groups of an image's entries that enter and leave a map together.

Regions are given as labels: whole numbers, one a pixel, `[H, W]` or `[B, H, W]`, or one an entry, `[B, C, H, W]`. All
entries with the same label form a region, 0 included; entries with a negative label belong to none, and are zero in
every map. Numbers may be left out. A function from images to labels serves as well: `patches(16)`, `channels()`, or
`caso.segmentation.slic(60)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caso.arguments import Count, check
from caso.penalty import Groups

Regions = Tensor | Callable[[Tensor], Tensor] | None
"""Labels, a function that gives images `[B, ...]` their labels, or None for single entries."""

_MOST = 2**24
"""Labels from here on are hardly meant: sums are kept for each label up to the largest."""


def labels_of(regions: Regions, images: Tensor) -> Tensor | None:
    """The label of each entry of images `[B, ...]`: `[B, d]`, -1 for none; None for single entries.

    Raises:
        ValueError: labels do not fit the images.
    """
    if regions is None:
        return None
    labels = regions(images) if callable(regions) else regions
    if not isinstance(labels, Tensor):
        raise ValueError(f"regions of type {type(labels).__name__}: must be a tensor of labels, or a function to one")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"regions of {labels.dtype}: must be whole numbers, one a pixel or entry")
    if labels.numel() and int(labels.max()) >= _MOST:
        raise ValueError(f"regions with the label {int(labels.max())}: must be below {_MOST}")
    fitted = _fitted(labels.to(images.device, torch.long), images)
    if fitted is None:
        b, c, *rest = images.shape
        allowed = [list(shape) for shape in ([*rest], [b, *rest], [b, c, *rest]) if shape]
        raise ValueError(
            f"regions of shape {list(labels.shape)}: must be one of {', '.join(map(str, allowed))} to fit the images"
        )
    return fitted.clamp_min(-1).flatten(1)


def _fitted(labels: Tensor, images: Tensor) -> Tensor | None:
    """Labels of every entry, shaped like the images; None where they do not fit."""
    if labels.dim() == images.dim() - 2 and labels.dim():
        labels = labels[None]
    if labels.dim() == images.dim() - 1 and images.dim() > 2:
        labels = labels[:, None]
    same = labels.dim() == images.dim() and all(
        have in (1, want) for have, want in zip(labels.shape[:2], images.shape[:2], strict=True)
    )
    return labels.expand(images.shape) if same and labels.shape[2:] == images.shape[2:] else None


def patches(side: int) -> Callable[[Tensor], Tensor]:
    """Square patches of `side` pixels, numbered row by row: the tokens of a vision transformer.

    Those at the right and lower border are smaller where the image's sides are no multiples.

    Raises:
        ValueError: `side` is no whole number >= 1.
    """
    check("side", side, Count)

    def label(images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        rows, columns = (torch.arange(size, device=images.device) // side for size in (height, width))
        return rows[:, None] * (-(-width // side)) + columns

    return label


def channels() -> Callable[[Tensor], Tensor]:
    """One region a channel: for images of many bands."""

    def label(images: Tensor) -> Tensor:
        count = images.shape[1]
        return torch.arange(count, device=images.device).view(1, count, *[1] * (images.dim() - 2)).expand(images.shape)

    return label


@dataclass(frozen=True)
class RegionTable:
    """An image's regions by rank. All are `[R]`, R the number of regions that have entries.

    Attributes:
        label: of each region.
        rank: from 1: the order in which regions enter the map as lambda1 falls; those that enter together by falling
            weight, those that do not enter last.
        lambda1: largest of the path's values at which the region is in the map; NaN where it is in none.
        weight: mean magnitude of the map's entries in the region, at the smallest lambda1.
        signed_sum: sum of the map's entries in the region, there.
        entries: entries of the region.
        area: its pixels, in any channel.
        box: first row, first column, and the row and column behind the last, `[R, 4]`.
        centroid: mean row and column, `[R, 2]`.
    """

    label: Tensor
    rank: Tensor
    lambda1: Tensor
    weight: Tensor
    signed_sum: Tensor
    entries: Tensor
    area: Tensor
    box: Tensor
    centroid: Tensor


def region_table(labels: Tensor, maps: Tensor, lambda1: Tensor) -> RegionTable:
    """The regions of one image, with what its maps say of them.

    Args:
        labels: of its entries, `[C, H, W]`, -1 for none.
        maps: at each value of lambda1, `[L, C, H, W]`.
        lambda1: `[L]`, ascending.
    """
    flat, maps = labels.reshape(1, -1), maps.flatten(1)
    groups = Groups.of(flat)
    weight, signed = groups.sums(maps[:1].abs())[0] / groups.sizes[0], groups.sums(maps[:1])[0]
    enters = torch.full_like(weight, torch.nan)
    for value, one in zip(lambda1.double(), maps, strict=True):
        enters = torch.where(groups.norms(one[None])[0] > 0, value, enters)
    present = torch.nonzero(groups.sizes[0])[:, 0]
    by_weight = present[weight[present].argsort(descending=True, stable=True)]
    order = by_weight[enters[by_weight].nan_to_num(-1).argsort(descending=True, stable=True)]
    box, centroid, area = _geometry(labels, groups.count)
    return RegionTable(
        label=order,
        rank=torch.arange(1, len(order) + 1, device=order.device),
        lambda1=enters[order],
        weight=weight[order],
        signed_sum=signed[order],
        entries=groups.sizes[0][order],
        area=area[order],
        box=box[order],
        centroid=centroid[order],
    )


def _geometry(labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes `[count, 4]`, centroids `[count, 2]` and areas `[count]` in pixels, whatever the channels."""
    _, height, width = labels.shape
    shared = bool((labels == labels[:1]).all())
    label, row, column = _pixels(labels[:1] if shared else labels)
    row, column, label = row[label >= 0], column[label >= 0], label[label >= 0]
    if not shared:  # a pixel counts once for each region that has it in any channel
        keys = torch.unique((label * height + row) * width + column)
        label, row, column = keys // (height * width), keys // width % height, keys % width
    area = torch.bincount(label, minlength=count)
    centroid = torch.stack([torch.bincount(label, at.double(), minlength=count) / area for at in (row, column)], 1)
    empty = torch.zeros(count, dtype=torch.long, device=labels.device)
    first = [empty.scatter_reduce(0, label, at, "amin", include_self=False) for at in (row, column)]
    last = [empty.scatter_reduce(0, label, at, "amax", include_self=False) + 1 for at in (row, column)]
    return torch.stack([*first, *last], 1), centroid, area


def _pixels(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Label, row and column of each entry of `[C, H, W]`."""
    rows, columns = (torch.arange(size, device=labels.device) for size in labels.shape[1:])
    row, column = rows[:, None].expand(labels.shape), columns.expand(labels.shape)
    return labels.flatten(), row.flatten(), column.flatten()
