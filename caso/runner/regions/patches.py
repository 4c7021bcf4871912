"""Square patches."""

from dataclasses import dataclass
from functools import partial

from omegaconf import MISSING

from caso.arguments import Count
from caso.regions import patches
from caso.runner.components import Component
from caso.runner.regions.base import FoundRegions, RegionOptions


@dataclass
class Patches(RegionOptions):
    """Options of square patches."""

    side: Count = MISSING


COMPONENT = Component(("patches",), Patches, partial(FoundRegions, patches))
