"""Write each tutorial as a page: ``_pages.py`` makes ``NAME.md`` from every ``NAME.py`` in its folder.

A tutorial is a script of cells: ``# %%`` begins a cell of code, ``# %% [markdown]`` a cell of text. The page begins
with the docstring. The source of a script without cells becomes one block of code.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
TEXT, CODE = "# %% [markdown]", "# %%"


def page(script: Path) -> str:
    """The Markdown of a tutorial."""
    source = script.read_text()
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring is not None, script
    parts = [f"# {script.stem}", f"Made of [{script.name}]({script.name}), which runs as it is.", docstring]
    cells = source.split(f"\n{CODE}")[1:]
    if not cells:
        first, _, rest = docstring.partition("\n\n")
        code = source.split('"""', 2)[2].strip()
        parts[2:] = [first, f"```text\n{rest.strip()}\n```", f"```python\n{code}\n```"]
    for cell in cells:
        heading, _, body = cell.partition("\n")
        if CODE + heading == TEXT:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
            # The first line is the heading, the others are one paragraph.
            parts.append("\n\n".join(["\n".join(lines[:1]), "\n".join(lines[1:])]).strip())
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def scripts() -> list[Path]:
    """All tutorials."""
    return sorted(path for path in HERE.glob("*.py") if not path.name.startswith("_"))


if __name__ == "__main__":
    for script in scripts():
        script.with_suffix(".md").write_text(page(script))
