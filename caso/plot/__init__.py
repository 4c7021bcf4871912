"""Pictures of maps, by matplotlib's colours."""

from caso.plot.colours import STYLES, colour, limit_of, overlay, photograph

__all__ = ["STYLES", "colour", "limit_of", "overlay", "photograph"]
