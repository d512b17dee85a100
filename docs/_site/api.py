"""The reference of the site: a page for each public package, and for each module of many objects, made of docstrings.

The pages are written to ``docs/api`` when a build begins, and only where they change. `names` tells what is public.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import commands
from docutils import nodes
from names import Found, public
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxRole

#: A module of so many objects has a page of its own; others are sections on their package's page.
MANY = 10
OPTIONS = {"autoclass": ["   :members:", "   :show-inheritance:"], "autoexception": ["   :show-inheritance:"]}


def _section(found: Found, heading: str, taken: set[str]) -> list[str]:
    """The lines about one module."""
    lines = [found.name, heading * len(found.name), "", f".. automodule:: {found.name}"]
    if found.name in taken:  # the function `exchange.read` has the name of its module
        lines.append("   :no-index:")
    lines.append("")
    if len(found.documented) > 2:
        lines += [", ".join(f":py:obj:`{name} <{found.name}.{name}>`" for _, name, _ in found.documented), ""]
    for directive, name, comment in found.documented:
        if directive == "py:data":
            lines += [f".. py:data:: {name}", f"   :module: {found.name}", "", f"   {comment}", ""]
        else:
            lines += [f".. {directive}:: {found.name}::{name}", *OPTIONS.get(directive, []), ""]
    if found.elsewhere:
        links = (f":py:obj:`{name} <{full}>`" for name, full in found.elsewhere.items())
        lines += [f"Documented elsewhere: {', '.join(links)}.", ""]
    return lines


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def pages() -> tuple[dict[str, str], dict[str, list[str]]]:
    """The pages by name, as reStructuredText, and the other names of each documented object."""
    modules, others, missing = public()
    taken = {full for names in others.items() for full in (names[0], *names[1])}
    own = {one.name for one in modules if one.is_package or len(one.documented) >= MANY}
    written: dict[str, str] = {}
    for one in modules:
        if one.name not in own:
            continue
        lines = _section(one, "=", taken)
        inside = [other for other in modules if _parent(other.name) == one.name]
        below = [other.name for other in inside if other.name in own]
        if one.name.count(".") > 1:  # in the navigation of every page, all of them would double the time of a build
            lines[:0] = [":orphan:", ""]
            lines[4:4] = ["", f"Part of :doc:`{_parent(one.name)}`."]
        if below and one.name.count(".") == 0:
            entries = [f"   {name.rpartition('.')[2]} <{name}>" for name in below]
            lines += [".. toctree::", "   :maxdepth: 1", "", *entries, ""]
        elif below:
            lines += ["Modules with a page of their own:", "", *(f"- :doc:`{name}`" for name in below), ""]
        for other in inside:
            if other.name not in own:
                lines += _section(other, "-", taken)
        absent = [name for name in missing if _parent(name) == one.name]
        if absent:
            lines += [f"Not shown, because a package that it needs was not installed: ``{'``, ``'.join(absent)}``.", ""]
        written[one.name] = "\n".join(lines)
    return written, others


def write(app: Any, config: Config) -> None:
    """Write the pages that have changed, and remove those that are no more."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    written, app.other_names = pages()
    app.documented = {name: full for full, names in app.other_names.items() for name in (full, *names)}
    leaves = Counter(full.rpartition(".")[2] for full in app.other_names)
    app.documented |= {
        full.rpartition(".")[2]: full for full in app.other_names if leaves[full.rpartition(".")[2]] == 1
    }
    written["commands"] = commands.page()
    for name, text in written.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.rst"):
        if path.stem not in written:
            path.unlink()


def name_again(app: Any, doctree: nodes.document) -> None:
    """Make every other name of an object lead to where it is documented, from links and from other projects."""
    domain: Any = app.env.domains.python_domain
    for signature in doctree.findall(addnodes.desc_signature):
        for node_id in signature["ids"]:
            documented = domain.objects.get(node_id)
            for other in app.other_names.get(node_id, ()) if documented else ():
                if other not in domain.objects:
                    domain.note_object(other, documented.objtype, node_id, aliased=True, location=signature)


def _full_name(app: Any, name: str, context: Mapping[str, str | None]) -> str | None:
    """The full name of something of ours: looked for where it is named, in the modules around, in both packages."""
    around = ".".join(filter(None, (context.get("py:module"), context.get("py:class")))).split(".")
    scopes = [*(".".join(around[:count]) for count in range(len(around), 0, -1)), "lavadl_kernels", "lavadl_ref"]
    candidates = [*(f"{scope}.{name}" for scope in scopes), name]
    return next((app.documented[one] for one in candidates if one in app.documented), None)


class Code(SphinxRole):
    """Text in single backticks: code, and a link where it names something of ours."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the node."""
        code = nodes.literal(self.rawtext, self.text)
        full = _full_name(self.env.app, self.text.removesuffix("()"), self.env.ref_context)
        if full is None:
            return [code], []
        link = addnodes.pending_xref(self.rawtext, code, refdomain="py", reftype="obj", reftarget=full, refwarn=True)
        link["refdoc"] = self.env.docname
        return [link], []


class Types(SphinxTransform):
    """Names of types in lists of parameters: links by the same rule, as Sphinx takes any object that ends alike."""

    default_priority = 5

    def apply(self) -> None:
        """Give each its full name, or make text of it."""
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node.get("refdomain") == "py" and node.get("refspecific"):
                full = _full_name(self.app, node["reftarget"], node)
                if full is None:
                    node.parent.replace(node, node.children)
                else:
                    node["reftarget"], node["refspecific"] = full, False


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the reference before Sphinx reads the pages."""
    app.add_role("ours", Code())
    app.add_transform(Types)
    app.connect("config-inited", write)
    app.connect("doctree-read", name_again)
    return {"parallel_read_safe": True}
