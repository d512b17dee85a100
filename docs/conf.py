"""Settings of the documentation site, for Sphinx: ``make docs`` writes it to ``build/site``."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_site"))

project = "lavadl-ref"
author = "the authors of lavadl-ref"
project_copyright = author
release = version = importlib.metadata.version("lavadl-ref")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "links", "api", "notebooks"]
# a tutorial is a script, and what is read in its place is its page
source_suffix = {".rst": "restructuredtext", ".md": "markdown", ".py": "markdown"}
exclude_patterns = ["_site", "_static", "conf.py", "tutorials/_*.py"]

html_theme = "furo"
html_title = f"lavadl-ref {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# `sh` and `python` blocks hold what a terminal and a file hold; blocks without a language stay as they are
highlight_language = "text"

# a name in single backticks becomes a link where it is one of ours, and stays code where it is not
default_role = "ours"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings state types, with shapes and units
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
toc_object_entries = False  # thousands of entries, which each page's navigation would copy: minutes
