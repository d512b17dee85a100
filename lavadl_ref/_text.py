"""Text as it may be printed."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what does not print, line ends included, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
