"""Mean curves of metrics with their intervals, as lines of a drawing."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from caso.metrics import mean_curve
from caso.runner.results.store import Run

WIDTH, HEIGHT = 320, 180
"""Of a drawing."""
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 36
"""What surrounds the curve in it."""
_MOST_POINTS = 60
_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A curve to draw.

    Attributes:
        metric: Whose it is.
        axes: What is along x, and along y.
        count: Images.
        line: Of the mean, points of an SVG polyline.
        band: Of the interval, points of an SVG polygon.
        across: Positions and values of the ticks along x.
        up: Likewise along y.
    """

    metric: str
    axes: tuple[str, str]
    count: int
    line: str
    band: str
    across: list[tuple[float, float]]
    up: list[tuple[float, float]]


def curves(run: Run) -> list[Curve]:
    """Draw the mean curve of each metric that has curves; none for a path, whose maps are not one method's."""
    if run.table["image"].duplicated().any():
        return []
    found = [_curve(run, name) for name, one in run.metrics.items() if one.get("x")]
    return [one for one in found if one is not None]


def _curve(run: Run, metric: str) -> Curve | None:
    x, values = run.curves(metric)
    known = values[~np.isnan(values).any(1)]
    if not len(known):
        return None
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    x = x[chosen]
    mean, low, high = (one.numpy() for one in mean_curve(torch.from_numpy(known[:, chosen])))
    ends_x, ends_y = (float(x[0]), float(x[-1])), (min(0.0, float(low.min())), float(high.max()))
    ticks = np.linspace(*ends_y, 3)
    across, up = np.array(ends_x), _scaled(ticks, ends_y, HEIGHT - BOTTOM, TOP)

    def points(y: _Values, along: _Values) -> str:
        placed = zip(_scaled(along, ends_x, LEFT, WIDTH - RIGHT), _scaled(y, ends_y, HEIGHT - BOTTOM, TOP), strict=True)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)

    axes = run.metrics[metric].get("axes") or ["", metric]
    return Curve(
        metric,
        (str(axes[0]), str(axes[1])),
        len(known),
        points(mean, x),
        points(np.concatenate([low, high[::-1]]), np.concatenate([x, x[::-1]])),
        list(zip(_scaled(across, ends_x, LEFT, WIDTH - RIGHT).tolist(), ends_x, strict=True)),
        list(zip(up.tolist(), ticks.tolist(), strict=True)),
    )


def _scaled(values: _Values, ends: tuple[float, float], start: float, end: float) -> _Values:
    """Positions between `start` and `end` of values between `ends`."""
    return start + (values - ends[0]) / ((ends[1] - ends[0]) or 1.0) * (end - start)
