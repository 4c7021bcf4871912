r"""Names in all scripts of the world: which font has a character, and what stands for one that no font has.

Matplotlib's own DejaVu Sans has most alphabets. Others, such as those of East Asia, are written where the system has a
font with them; elsewhere their characters become escapes, as ``\u4e2d``, rather than boxes.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

DEFAULT = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
"""The file of DejaVu Sans that comes with matplotlib."""


def runs(text: str) -> list[tuple[str, str]]:
    """Cut a text where its font changes.

    Returns:
        Files of fonts, each with the part of the text that it writes. Together the parts are the text, but that
        control characters, broken code points and what no font has are escapes.
    """
    written = [_written(character) for character in text]
    return [(font, "".join(part for _, part in same)) for font, same in groupby(written, key=lambda one: one[0])]


def families(text: str) -> tuple[str, list[str]]:
    """Give matplotlib a text that it can write, and the families of fonts to do it with, in the order to be tried."""
    cut = runs(text)
    names = dict.fromkeys(["DejaVu Sans", *(FT2Font(font).family_name for font, _ in cut if font != DEFAULT)])
    return "".join(part for _, part in cut), list(names)


@cache
def _written(character: str) -> tuple[str, str]:
    """The font that has a character, and the character or its escape."""
    code = ord(character)
    if character.isprintable():  # which half a surrogate pair is not
        if code in _characters(DEFAULT):
            return DEFAULT, character
        for font in _system():
            if code in _characters(font):
                return font, character
    return DEFAULT, character.encode("unicode_escape").decode()


@cache
def _characters(font: str) -> frozenset[int]:
    """The code points that a font has; none of one that cannot be read, or that holds pictures of one size."""
    try:
        face = FT2Font(font)
        return frozenset(face.get_charmap()) if face.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _system() -> tuple[str, ...]:
    """The system's upright fonts, those made for many scripts first."""
    from matplotlib.font_manager import fontManager  # slow: looks through the system's folders

    upright = {
        entry.fname: entry.name
        for entry in fontManager.ttflist
        if entry.style == "normal"
        and str(entry.weight) in ("400", "normal", "regular")
        and not entry.name.startswith("Last Resort")  # matplotlib's: a box for each character there is
    }
    return tuple(sorted(upright, key=lambda path: (not upright[path].startswith("Noto Sans"), upright[path], path)))
