"""The blocks of code of the pages, for what runs them. Imports nothing that must be installed."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a page in one language, those within lists too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]
