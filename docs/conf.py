"""How Sphinx builds this folder as a site: `make docs`."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the checkout's own code, whatever is installed

import caso  # noqa: E402

project = "caso"
author = "the caso contributors"
project_copyright = author
version = release = caso.__version__
language = "en-GB"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]  # the gallery's pages are made from its scripts, in auto_gallery
suppress_warnings = ["config.cache"]  # the gallery's settings hold functions, which Sphinx does not keep

# Pages: Markdown that reads well on a code host, too.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
highlight_language = "text"  # of indented blocks: commands and what they print

# The reference. What docstrings set in backticks is a link where it names something, and code otherwise.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 80
autosummary_generate = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),  # not the axes that a cell happens to end with
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 3600,
    "remove_config_comments": True,
    "plot_gallery": True,
}

html_theme = "furo"
html_title = "caso"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

_PAGES = {"README": "index", "CONTRIBUTING": "project/contributing", "CHANGELOG": "project/changelog"}


def _lead_to_pages(content: list[str], base: str) -> None:
    """Let links to the Markdown files beside this folder lead to the site's pages of them.

    The README's is the first page, which has other headings.
    """
    for name, page in _PAGES.items():
        anchor = r"(#[\w-]*)?" if name == "README" else ""
        content[0] = re.sub(rf"\]\((\.\./)?{name}\.md{anchor}", f"]({base}{page}.md", content[0])


def setup(app: Any) -> None:
    """Register what Sphinx calls while it reads pages."""
    app.connect("source-read", lambda _app, _page, content: _lead_to_pages(content, ""))
    app.connect("include-read", lambda _app, _path, _page, content: _lead_to_pages(content, "docs/"))
