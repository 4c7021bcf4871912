"""Regions of images, found by the group ``regions``: by a function of the pixels, or in the user's own label images."""

from typing import Any

from caso.runner.components import Component, components
from caso.runner.regions.base import Find, Regions

__all__ = ["REGIONS", "Find", "Regions", "make_regions"]

REGIONS: dict[str, Component] = components(__name__, __path__)
"""Every way to find regions by the name it has in the configuration; ``none``, single entries, is not among them."""


def make_regions(options: Any) -> Regions | None:
    """Make what a checked configuration's group ``regions`` describes; None for single entries.

    Raises:
        ConfigError: If there is no such file.
    """
    made: Regions | None = None if options.name == "none" else REGIONS[options.name](options)
    return made
