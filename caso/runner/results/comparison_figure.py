"""The figure of a sweep's methods: a panel a metric, a row and a colour a method, means with intervals."""

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from caso.plot import fonts
from caso.runner.cli.messages import printable

_LABEL = 40  # characters
_ACROSS = 4  # panels, at most
_TEN = 10  # colours that are easily told apart


def draw_comparison(table: pd.DataFrame, path: Path) -> None:
    """Draw the methods' means with their 95 % intervals.

    Args:
        table: Of :func:`caso.runner.results.comparison.compare`. Where a method is better than every other, image by
            image, its dot is a diamond with an edge.
        path: Of the PNG.
    """
    from matplotlib.figure import Figure  # slow to import, and most runs compare nothing

    metrics, methods = (list(dict.fromkeys(table[name])) for name in ("metric", "method"))
    down = -(-len(metrics) // _ACROSS)
    across = -(-len(metrics) // down)  # as even as may be
    figure = Figure(figsize=(3.2 * across + 1.2, (0.28 * len(methods) + 0.95) * down + 0.35), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    few = len(methods) <= _TEN
    shades = matplotlib.colormaps["tab10" if few else "tab20"](range(_TEN if few else 2 * _TEN))
    for axis, metric in zip(axes, metrics, strict=False):
        _draw_metric(axis, table[table["metric"] == metric].set_index("method").reindex(methods), metric, shades)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    note = "means with 95 % bootstrap intervals over the images"
    if table["best"].any():
        note += "; a diamond: better than every other by the interval of the paired differences"
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.01, ha="left")
    figure.savefig(path, dpi=150)


def _draw_metric(axis: Any, rows: pd.DataFrame, metric: str, shades: Any) -> None:
    for height, row in enumerate(rows.itertuples()):
        colour = shades[height % len(shades)]
        axis.plot([row.mean_low, row.mean_high], [height, height], color=colour, linewidth=2.2, solid_capstyle="butt")
        # A thin line through both ends, so that an interval narrower than its dot is seen as such.
        axis.plot([row.mean_low, row.mean_high], [height, height], "|", color=colour, markersize=8)
        best = bool(row.best) and row.mean == row.mean  # NaN where a method has no such score
        edge = {"markeredgecolor": "black", "markersize": 7} if best else {"markersize": 5}
        axis.plot([row.mean], [height], "D" if best else "o", color=colour, **edge)
    arrow = {"higher": "  (→ better)", "lower": "  (better ←)", "": ""}[rows["better"].dropna().iloc[0]]
    axis.set_title(f"{metric.replace('_', ' ')}{arrow}", fontsize=9, loc="left", parse_math=False)
    names = [fonts.families(_label(str(name))) for name in rows.index]
    families = list(dict.fromkeys(family for _, several in names for family in several))
    written = [text for text, _ in names]
    axis.set_yticks(range(len(rows)), written, fontsize=8, fontfamily=families, parse_math=False)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", linewidth=0.4)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _label(name: str) -> str:
    """A name that leaves room for the figure."""
    shown = printable(name)
    return shown if len(shown) <= _LABEL else f"{shown[:_LABEL]}..."
