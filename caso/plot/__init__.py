"""Pictures of maps, by matplotlib, which the extra `plot` brings.

On axes, which are pyplot's current ones unless given: :func:`show_map`, :func:`show_image`, :func:`show_regions`. As
figures of their own: :func:`compare_maps`, :func:`path_strip`, :func:`contact_sheet`. Save either as any matplotlib
figure, ``figure.savefig("maps.pdf")``. As arrays, for pictures made otherwise: :func:`colour`, :func:`overlay`,
:func:`photograph`, on one scale by :func:`limit_of`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caso.extras import needs as _needs

with _needs("plot", "caso.plot"):
    import PIL as _PIL  # noqa: F401

    from caso.plot.colours import STYLES, colour, limit_of, overlay, photograph

if TYPE_CHECKING:
    from caso.plot.axes import show_image, show_map, show_regions
    from caso.plot.figures import compare_maps, contact_sheet, path_strip

__all__ = [
    "STYLES",
    "colour",
    "compare_maps",
    "contact_sheet",
    "limit_of",
    "overlay",
    "path_strip",
    "photograph",
    "show_image",
    "show_map",
    "show_regions",
]

_LAZY = {
    **dict.fromkeys(("show_image", "show_map", "show_regions"), "caso.plot.axes"),
    **dict.fromkeys(("compare_maps", "contact_sheet", "path_strip"), "caso.plot.figures"),
}
"""Imported when asked for: who wants colours alone, as every run does, need not wait for pyplot."""


def __getattr__(name: str) -> Any:
    """Import what draws figures."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
