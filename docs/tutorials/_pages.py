"""Write each tutorial as a page: ``_pages.py`` makes ``NAME.md`` of every ``NAME.py`` beside it.

A tutorial is a script in cells: ``# %%`` begins one of code, ``# %% [markdown]`` one of text. Its docstring is first.
A script without cells is shown whole.
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
            # one paragraph follows the heading
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
