"""Names in all scripts: by the system's fonts where it has them, as escapes elsewhere."""

import pytest
from matplotlib.ft2font import FT2Font

from caso.plot import fonts


def test_latin_greek_and_cyrillic_come_with_matplotlib() -> None:
    text = "größe λ1 кошка ½"
    assert fonts.runs(text) == [(fonts.DEFAULT, text)]
    assert fonts.families(text) == (text, ["DejaVu Sans"])
    assert fonts.runs("") == []


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "_system", lambda: ())
    fonts._written.cache_clear()
    yield
    fonts._written.cache_clear()


@pytest.mark.usefixtures("no_system_fonts")
def test_characters_that_no_font_has_become_escapes() -> None:
    assert fonts.families("a中\U0001f9a2") == ("a\\u4e2d\\U0001f9a2", ["DejaVu Sans"])


def test_what_cannot_be_printed_becomes_escapes() -> None:
    assert fonts.families("a\nb\x1b\udce9") == ("a\\nb\\x1b\\udce9", ["DejaVu Sans"])


def test_a_system_font_writes_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which fonts a machine has is not known: matplotlib's own with mathematical signs stands for any."""
    other = fonts.DEFAULT.replace("DejaVuSans.ttf", "STIXGeneral.ttf")
    only = sorted(set(FT2Font(other).get_charmap()) - set(FT2Font(fonts.DEFAULT).get_charmap()))
    character = next(chr(code) for code in only if chr(code).isprintable() and code < 0xE000)
    monkeypatch.setattr(fonts, "_system", lambda: ("/nowhere.ttf", other))
    fonts._written.cache_clear()
    fonts._characters.cache_clear()
    try:
        assert fonts.runs(f"a{character}b") == [(fonts.DEFAULT, "a"), (other, character), (fonts.DEFAULT, "b")]
        assert fonts.families(f"a{character}b") == (f"a{character}b", ["DejaVu Sans", "STIXGeneral"])
    finally:
        fonts._written.cache_clear()
        fonts._characters.cache_clear()
