"""Results in notebooks: a table, with thumbnails where matplotlib is at hand, and figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from caso.extras import install_command
from caso.results import table, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 12  # images
_STRIP = 5  # maps of a path
_THUMBNAIL = 96  # pixels
_CELL = "text-align:left;vertical-align:middle"


def html(result: Any) -> str:
    """An explanation or a path as a table: thumbnails, figures, and the certificate in words."""
    settings = getattr(result, "explanations", [result])
    rows = [_row(settings, index) for index in range(min(len(result), _MOST))]
    names = ("image", "map" if len(settings) == 1 else "maps", "class", "lambda1", "zeros", "certificate")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    more = f"<p>and {len(result) - _MOST} more images</p>" if len(result) > _MOST else ""
    missing = (
        "" if _can_draw() else f"<p>thumbnails need matplotlib: <code>{escape(install_command('plot'))}</code></p>"
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div><p>{escape(words.line(result))}</p>{body}{more}{missing}</div>"


def figure(result: Any, images: Any, options: dict[str, Any]) -> Figure:
    """Draw an explanation on a contact sheet, a path in strips."""
    from caso import plot

    pairs = zip(result.target.tolist(), result.target_confidence.tolist(), strict=True)
    options = {"titles": [f"class {target}, {confidence:.3f}" for target, confidence in pairs]} | options
    if hasattr(result, "explanations"):
        return plot.path_strip(result, images, **options)
    return plot.contact_sheet(result, images, **options)


def _row(settings: list[Any], index: int) -> str:
    zeros = [float(one.sparsity[index]) for one in settings]
    shown, pictures = [settings[0]], ""
    if _can_draw():
        from caso.plot.paths import spread

        shown = [settings[i] for i in spread(zeros, _STRIP)]
        pictures = _thumbnails([one.maps[index] for one in shown], index)
    ends = (shown[0], shown[-1])
    worst = max(settings, key=lambda one: float(one.kkt_residual[index]))
    cells = [
        str(index),
        pictures,
        f"{int(ends[0].target[index])} ({float(ends[0].target_confidence[index]):.3f})",
        _interval([f"{float(one.lambda1[index]):.2g}" for one in ends]),
        _interval([f"{float(one.sparsity[index]):.1%}" for one in ends]),
        escape(words.certificate(table.image_rows(worst[index])[0])),
    ]
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _interval(ends: list[str]) -> str:
    return " to ".join(dict.fromkeys(ends))


def _thumbnails(maps: list[Any], index: int) -> str:
    """The maps of an image as pictures within the page; none of what has no height and width."""
    from caso.plot.colours import colour, resolve
    from caso.plot.inline import data_uri

    try:
        style = resolve("auto", maps)
        pictures = [data_uri(colour(one, style), _THUMBNAIL) for one in maps]
    except ValueError:
        return ""
    return "".join(
        f'<img alt="map of image {index}" src="{uri}" style="display:inline;margin:1px">' for uri in pictures
    )


def _can_draw() -> bool:
    try:
        import caso.plot  # noqa: F401
    except ImportError:
        return False
    return True
