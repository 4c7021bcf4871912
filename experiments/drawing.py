"""How figures look, and the files that they become."""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from caso.runner.cli.messages import printable

INK = "#1c1c21"
FIRST, SECOND = "#d9822b", "#2f7bd1"
"""Of CAFO and CASO; to be distinguished on white, on black, and by colour-blind readers."""
MORE = ("#2a9d8f", "#b5489b", "#8a8f98", "#c0392b", "#6f9e2f")
_STYLE: dict[str, Any] = {
    "font.size": 9.5, "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6,
    "axes.titlesize": 10, "svg.fonttype": "none",
}  # fmt: skip
_DPI = 150
_Key = TypeVar("_Key")


@contextmanager
def _styled(**more: Any) -> Iterator[None]:
    style: Any = _STYLE | more  # matplotlib types every key as a literal
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names in alphabets that the font lacks
        yield


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure with axes, row by row.

    Args:
        rows: Of axes.
        columns: Of axes.
        size: Width and height, in inches.
        options: Of ``Figure.subplots``.
    """
    with _styled():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def text(words: str) -> str:
    """Make any text, such as a file's name, fit to be written: no control characters, and no formulas."""
    return printable(words).replace("$", r"\$")


def draw_panels(titles: Mapping[_Key, str], size: tuple[float, float], draw: Callable[[Axes, _Key], None]) -> Figure:
    """Make a figure of panels side by side, with the legend in the first.

    Args:
        titles: Of the panels, by what they show.
        size: Width and height, in inches.
        draw: Draws what a panel shows.
    """
    figure, axes = new_figure(1, len(titles), size)
    for axis, (shown, title) in zip(axes, titles.items(), strict=True):
        draw(axis, shown)
        heading(axis, title)
    if axes[0].get_legend_handles_labels()[1]:
        legend(axes[0])
    return figure


def draw_series(axis: Axes, table: pd.DataFrame, x: str, y: str, colour: str, label: str, size: float = 4) -> None:
    """Draw a column against another, as a line with dots.

    Args:
        axis: Of :func:`new_figure`.
        table: With columns ``x`` and ``y``.
        x: The name of a column.
        y: Likewise.
        colour: Of the line.
        label: Its name in the legend.
        size: Of the dots.
    """
    axis.plot(table[x], table[y], "o-", color=colour, markersize=size, label=label)


def draw_interval(axis: Axes, table: pd.DataFrame, x: str, y: str, colour: str) -> None:
    """Shade the interval of a column, between ``y_low`` and ``y_high``, along the column ``x``."""
    axis.fill_between(table[x], table[f"{y}_low"], table[f"{y}_high"], color=colour, alpha=0.12)


def heading(axis: Axes, words: str) -> None:
    """Write what an axis shows above it, flush left."""
    axis.set_title(words, loc="left", fontsize=9)


def legend(axis: Axes, **options: Any) -> None:
    """Name the lines of an axis."""
    axis.legend(frameon=False, fontsize=8, labelcolor=INK, **options)


def show_image(axis: Axes, image: NDArray[Any] | Any, title: str = "") -> None:
    """Draw an image without axes."""
    axis.imshow(np.asarray(image), cmap="gray", interpolation="antialiased")
    axis.set_axis_off()
    axis.set_title(text(title), fontsize=8)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PDF and PNG, on white.

    Args:
        figure: Of :func:`new_figure`.
        path: Without an ending.
    """
    with _styled():
        figure.savefig(path.with_name(f"{path.name}.pdf"), metadata={"CreationDate": None})
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=_DPI)


def svg(figure: Figure, name: str) -> str:
    """Draw a figure as an SVG element that takes the page's ink and font, on nothing.

    Args:
        figure: Of :func:`new_figure`.
        name: Of the figure, unique on its page: ids within are made from it.
    """
    buffer = io.StringIO()
    with _styled(**{"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=_DPI, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = re.sub(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", _smaller, drawn)
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^)"]+)', drawn))
    # The same image twice has one id twice; most ids serve nothing.
    drawn = re.sub(r' id="([^"]*)"', lambda one: f' id="{name}-{one[1]}"' if one[1] in used else "", drawn)
    drawn = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", drawn)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', drawn)
    assert size is not None
    return drawn.replace(size[0], f'style="width:100%;max-width:{float(size[1]) * 4 / 3:.0f}px;height:auto"', 1)


def _smaller(found: re.Match[str]) -> str:
    """A PNG within a drawing as WebP, a fifth of its size."""
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        return image_uri(image, 70)


def image_uri(image: Image.Image, quality: int) -> str:
    """An image as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
