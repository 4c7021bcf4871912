"""One region a channel."""

from functools import partial

from caso.regions import channels
from caso.runner.components import Component
from caso.runner.regions.base import FoundRegions, RegionOptions

COMPONENT = Component(("channels",), RegionOptions, partial(FoundRegions, channels, noun="channel"))
