"""Templates of pages that need nothing but a browser: one base for runs, sweeps and experiments."""

from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from caso.results.words import number
from caso.runner.cli.messages import printable
from caso.runner.results.manifest import whole
from caso.runner.results.report_words import share

_BASE = Path(__file__).resolve().parent / "template"


def environment(*folders: Path) -> Environment:
    """Find templates, which show every value as text, whatever markup it holds: in HTML always.

    Args:
        folders: Beside that of the base.
    """
    made = Environment(
        loader=FileSystemLoader([*folders, _BASE]), autoescape=_is_page, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}

    def inline(name: str) -> Markup:
        assert made.loader is not None
        return Markup(made.loader.get_source(made, name)[0])

    made.globals["inline"] = inline
    made.filters["number"] = number
    made.filters["share"] = share
    made.filters["shown"] = lambda value: printable(str(value))
    made.filters["link"] = lambda path: quote(str(path), errors="surrogateescape")
    return made


def write_page(path: Path, template: str, **content: object) -> None:
    """Write a page piece by piece, whole or not at all; what it iterates over may be read meanwhile.

    Args:
        path: Of the page.
        template: In the folder of the base.
        content: What the template shows.
    """
    stream = environment().get_template(template).stream(content)
    stream.enable_buffering(64)
    with whole(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8", errors="backslashreplace")


def _is_page(template: str | None) -> bool:
    return template is not None and template.endswith(".html.j2")
