"""Check that every link and every picture of a built site leads somewhere: `python scripts/check_site.py docs/_build`.

Links to other sites are not followed, but a page may load nothing from one: it has to work offline.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page refers to, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        """Read a page."""
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's references and its anchor."""
        has = {name: value or "" for name, value in attrs}
        self.anchors |= {has[name] for name in ("id", "name") if name in has}
        if tag == "a":
            self.links |= {has[name] for name in ("href",) if name in has}
        elif not (tag == "link" and has.get("rel") not in ("stylesheet", "icon", "preload")):
            self.loaded |= {has[name] for name in ("href", "src") if name in has}


def mistakes(site: Path) -> Iterator[str]:
    """Name each page with what it refers to in vain."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for target in sorted(page.links | page.loaded):
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if target in page.loaded:
                    yield f"{path.relative_to(site.resolve())}: loads {target} from another site"
                continue
            leads_to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not leads_to.is_file():
                yield f"{path.relative_to(site.resolve())}: no file {target}"
            elif parts.fragment and leads_to in pages and unquote(parts.fragment) not in pages[leads_to].anchors:
                yield f"{path.relative_to(site.resolve())}: no anchor {target}"


if __name__ == "__main__":
    found = list(mistakes(Path(sys.argv[1])))
    print("\n".join(found) or "every link and picture leads somewhere")
    sys.exit(bool(found))
