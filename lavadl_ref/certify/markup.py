"""Pieces of HTML: every text goes through `html.escape`, every element is closed where it is opened."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from lavadl_ref._text import printable


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Markup
#: Elements without content, which HTML does not close.
EMPTY = frozenset({"meta", "br", "hr"})
STACKED = 4  #: columns beside each other that a phone has room for


def escaped(content: Content) -> Markup:
    """Content as HTML: markup as it is, any other text with its special characters escaped."""
    if isinstance(content, Markup):
        return content
    return Markup(html.escape(printable(content)))


def element(name: str, /, *content: Content, **attributes: str | None) -> Markup:
    """An element with its content.

    Parameters
    ----------
    name : str
        Of the element.
    *content : str or Markup
        What is inside, one after the other.
    **attributes : str, optional
        By their names, an underscore at the end left out and others as hyphens; None for one that is left out.
    """
    set_to = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Markup(f"<{name}{set_to}>")
    return Markup(f"<{name}{set_to}>{joined(content)}</{name}>")


def joined(parts: Iterable[Content]) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(map(escaped, parts)))


def table(
    caption: Content,
    columns: Sequence[str],
    rows: Iterable[Sequence[Content]],
    right: Iterable[str] = (),
    headers: int = 1,
    foot: Sequence[Content] | None = None,
) -> Markup:
    """A table that scrolls by itself where it is wider than the page; one of many columns is stacked on a phone.

    Parameters
    ----------
    caption : str or Markup
        Above it.
    columns : sequence of str
        Headers.
    rows : iterable of sequence of str or Markup
        Cells, as many as columns.
    right : iterable of str
        Those of `columns` that hold numbers.
    headers : int
        The first cells of a row that are headers of it.
    foot : sequence of str or Markup, optional
        A last row with sums.
    """
    numeric = set(right)
    kinds = ["number" if name in numeric else None for name in columns]

    def row(cells: Sequence[Content]) -> Markup:
        made = []
        for index, (cell, name, kind) in enumerate(zip(cells, columns, kinds, strict=True)):
            tag, scope = ("th", "row") if index < headers else ("td", None)
            made.append(element(tag, cell, scope=scope, class_=kind, data_label=name))
        return element("tr", *made)

    head = element(
        "tr", *(element("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True))
    )
    parts = [element("caption", caption), element("thead", head), element("tbody", *map(row, rows))]
    if foot is not None:
        parts.append(element("tfoot", row(foot)))
    named = caption if not isinstance(caption, Markup) else "table"
    stacked = element("table", *parts, class_="stack" if len(columns) > STACKED else None)
    return element("div", stacked, class_="wide", role="region", aria_label=named, tabindex="0")


def section(name: str, title: str, *content: Content) -> Markup:
    """A part of the page under a heading that links can lead to."""
    return element(
        "section", element("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title"
    )


def listing(items: Iterable[Content]) -> Markup:
    """A list without order."""
    return element("ul", *(element("li", item) for item in items))
