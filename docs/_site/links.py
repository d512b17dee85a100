"""Links of the pages to files of the repository that are no pages of the site.

The pages are plain Markdown whose links work in the repository too. A link to a file that is itself a page elsewhere on
the site leads there; any other file outside of ``docs`` becomes its name, as code, because the site does not know where
the repository is.
"""

from __future__ import annotations

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

#: Files at the root of the repository, and the pages that include them or stand for them.
PAGES = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}


class OutsideLinks(SphinxTransform):
    """Give links to files outside of the source folder a page of the site, or make code of them."""

    default_priority = 5  # before references are collected, and files to download

    def apply(self) -> None:
        for node in list(self.document.findall(_is_link)):
            found = self._outside(node["reftarget"])
            if found is None:
                continue
            page = PAGES.get(found, PAGES.get(f"{found}.md"))
            if page is None:
                node.replace_self(nodes.literal("", node.astext()))
                continue
            link = addnodes.pending_xref(
                "", *node.children, refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True, refwarn=True
            )
            link["refdoc"] = self.env.docname
            node.replace_self(link)

    def _outside(self, target: str) -> str | None:
        """The path, from the root of the repository, of what a link names outside of ``docs``; None if it is inside."""
        source = Path(self.env.srcdir)
        path = os.path.relpath(os.path.normpath((source / self.env.docname).parent / target), source)
        return path.removeprefix("../") if path.startswith("../") else None


def _is_link(node: nodes.Node) -> bool:
    return isinstance(node, addnodes.download_reference | addnodes.pending_xref) and node.get("reftype") == "myst"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform to Sphinx."""
    app.add_transform(OutsideLinks)
    return {"parallel_read_safe": True}
