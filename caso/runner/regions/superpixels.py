"""Superpixels, found in each image by scikit-image, which is imported where it is needed."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from omegaconf import MISSING

from caso.arguments import Count, NotNegative, Positive
from caso.runner.components import Component
from caso.runner.regions.base import Find, FoundRegions, RegionOptions


@dataclass
class Slic(RegionOptions):
    """Options of superpixels of similar colour."""

    n_segments: Count = MISSING
    compactness: Positive = MISSING
    sigma: NotNegative = MISSING


@dataclass
class Felzenszwalb(RegionOptions):
    """Options of regions without strong edges inside."""

    scale: Positive = MISSING
    sigma: NotNegative = MISSING
    min_size: Count = MISSING


def _slic(**options: Any) -> Find:
    from caso.segmentation import slic

    return slic(**options)


def _felzenszwalb(**options: Any) -> Find:
    from caso.segmentation import felzenszwalb

    return felzenszwalb(**options)


SLIC = Component(("slic",), Slic, partial(FoundRegions, _slic))
FELZENSZWALB = Component(("felzenszwalb",), Felzenszwalb, partial(FoundRegions, _felzenszwalb))
