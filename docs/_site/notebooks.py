"""The tutorials: pages that show what they print and draw, and notebooks to download.

A tutorial is a script of cells. Jupytext makes a notebook of it, nbclient runs that with small settings when a build
begins, and Sphinx reads the script as the page of its cells with their output. What was run stays in
``build/tutorials`` until the code of a tutorial, the modules that tutorials share, or the package changes.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jupytext
import lavadl_kernels
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.text import Text
from sphinx.errors import ExtensionError
from sphinx.util import logging

import lavadl_ref
from lavadl_ref.netx import lava_support

FOLDER = "api"  #: within the source folder: what is generated there is not kept in the repository
SECONDS = 1800  #: time limit of a cell, on a slow machine without compiled kernels
OPTIONS = """# What the command line of the script would say: without "--small" it trains in full.
import sys

__file__ = "{name}.py"
sys.argv = ["{name}", "--small"]"""
LINKS = """The page is made of the script {{download}}`{name}.py`, and shows what it prints and draws. It is also a
{{download}}`notebook </{folder}/{name}.ipynb>`. Both import files whose names begin with `_`: keep them in the folder
of the tutorials."""
SMALL = """This is the output of `{name}.py --small`: settings that take seconds, to show what comes out. Figures of
accuracy and of error mean little here."""
DATA = """It was run without `--data`, on data that is made. The [table of tutorials](README.md) says which recorded
data it takes."""
NOT_RUN = "It was not executed when this page was made: {why}."

log = logging.getLogger(__name__)


def scripts(source: Path) -> list[Path]:
    """The tutorials in a folder of pages, each after the one whose network it runs."""
    found = (path for path in (source / "tutorials").glob("*.py") if not path.name.startswith("_"))
    return sorted(found, key=lambda path: (path.stem.startswith("netx_"), path.stem))


def notebook(script: Path) -> Any:
    """A script as a notebook without output: its docstring, a cell that has the options, and its cells."""
    source = script.read_text(encoding="utf-8")
    made = jupytext.reads(source, fmt="py:percent")
    about = ast.get_docstring(ast.parse(source))
    first = nbformat.v4.new_markdown_cell(f"# {script.stem}\n\n{about}")
    # the first cell of a script is its docstring, which a notebook would print
    made.cells[:1] = [first, nbformat.v4.new_code_cell(OPTIONS.format(name=script.stem))]
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"  # else drawn at random: two builds would differ
    return made


def digest(folder: Path) -> str:
    """The digest of what all tutorials use: the modules that they share, this module, both packages, versions."""
    packages = [Path(str(package.__file__)).parent for package in (lavadl_ref, lavadl_kernels)]
    files = [Path(__file__), *sorted(folder.glob("_*.py"))]
    files += [path for package in packages for path in sorted(package.rglob("*.py"))]
    made = hashlib.sha256(sys.version.encode())
    for name in ("torch", "numpy", "numba", "matplotlib", "ipykernel"):
        made.update(importlib.metadata.version(name).encode())
    for path in files:
        made.update(path.read_bytes())
    return made.hexdigest()[:16]


def code(made: Any) -> list[str]:
    """The sources of the cells that are executed."""
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


def execute(made: Any, imports: Path, folder: Path) -> None:
    """Execute a notebook in `folder`, with `imports` on its path; ExtensionError if a cell fails or warns."""
    path = os.pathsep.join(filter(None, (str(imports), os.environ.get("PYTHONPATH"))))
    client = NotebookClient(
        made,
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that its sockets are not encrypted
    )
    # figures are the same on the same number of threads alone, and kernels for several are others to compile
    client.execute(env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "JUPYTER_COLUMNS": "100"})
    for cell in made.cells:
        outputs = cell.get("outputs", [])
        said = "".join(output.text for output in outputs if output.get("name") == "stderr")
        if "Warning: " in said:
            raise ExtensionError(f"{folder}: a cell warns: {said}")
        if outputs:  # the rest of stderr tells that kernels are compiled, and how far
            cell.outputs = [output for output in outputs if output.get("name") != "stderr"]


def executed(source: Path, cache: Path) -> tuple[dict[str, Any], str]:
    """The notebooks by name, with the output of what is executable here, and why the others are not."""
    folder = cache / digest(source / "tutorials")
    for old in cache.glob("*"):
        if old != folder:
            shutil.rmtree(old)
    folder.mkdir(parents=True, exist_ok=True)
    usable, why = lava_support.available()
    found: dict[str, Any] = {}
    new = set()
    for script in scripts(source):
        made, kept = notebook(script), folder / f"{script.stem}.ipynb"
        before = nbformat.read(kept, as_version=4) if kept.is_file() else None
        other = script.stem.startswith("netx_") and new  # it runs the network of one that was executed again
        if before is not None and code(before) == code(made) and not other:
            outputs = iter([cell.outputs for cell in before.cells if cell.cell_type == "code"])
            for cell in made.cells:
                if cell.cell_type == "code":
                    cell.outputs = next(outputs)
        else:
            log.info("executing %s", script.name)
            try:
                execute(made, script.parent, folder)
            except CellExecutionError as error:
                if usable or error.evalue != why:
                    raise ExtensionError(f"{script}: {error}") from error
                log.info("%s needs Lava: %s", script.name, why)
                made = notebook(script)
            else:
                new.add(script.stem)
                kept.write_text(nbformat.writes(made), encoding="utf-8")
        found[script.stem] = made
    return found, why


def shown(outputs: Iterable[Any], name: str, folder: Path) -> Iterable[str]:
    """The output of a cell, as Markdown; pictures are written to `folder`, as ``NAME-0.png`` and so on."""
    text = ""
    pictures = []
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            path = folder / f"{name}-{len(pictures)}.png"
            path.write_bytes(base64.b64decode(data["image/png"]))
            pictures.append(f"![What the cell draws](/{FOLDER}/{path.name})")
        else:
            text += Text.from_ansi(data.get("text/plain", output.get("text", ""))).plain.rstrip("\n") + "\n"
    if text.strip():
        yield f"```{{code-block}} text\n:class: output\n\n{text.rstrip()}\n```"
    yield from pictures


def recorded(readme: str, name: str) -> str:
    """The paragraphs of the list of tutorials that have the results of a tutorial in full."""
    found = re.search(rf"^### {name}\n(.*?)(?=^#|^```|\Z)", readme, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


def page(made: Any, name: str, folder: Path, readme: str, why: str) -> str:
    """The page of a notebook, as Markdown."""
    first, _, *cells = made.cells
    heading, _, about = first.source.partition("\n")
    ran = any(cell.get("outputs") for cell in cells)
    note = [SMALL.format(name=name) if ran else NOT_RUN.format(why=why)]
    if ran and "--data" in about:
        note.append(DATA)
    if full := recorded(readme, name):
        note.append(f"**Results of a full run.** {full}")
    links = LINKS.format(name=name, folder=FOLDER)
    parts = [heading, about.strip(), links, "::::{note}", *note, "::::"]
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts += shown(cell.outputs, f"{name}-{number}", folder)
        else:
            parts.append(cell.source)
    return "\n\n".join(parts) + "\n"


def write(app: Any, config: Any) -> None:
    """Execute what has changed, and write notebooks and pages."""
    source = Path(app.srcdir)
    folder = source / FOLDER
    folder.mkdir(exist_ok=True)
    if config.execute_tutorials:
        made, why = executed(source, source.parent / "build" / "tutorials")
    else:
        made, why = {script.stem: notebook(script) for script in scripts(source)}, "the build was told not to"
    readme = (source / "tutorials" / "README.md").read_text(encoding="utf-8")
    app.tutorials = {}
    for name, one in made.items():
        (folder / f"{name}.ipynb").write_text(nbformat.writes(one), encoding="utf-8")
        app.tutorials[f"tutorials/{name}"] = page(one, name, folder, readme, why)


def replace(app: Any, name: str, text: list[str]) -> None:
    """Make Sphinx read the page of a tutorial where it has read the script."""
    if name in app.tutorials:
        text[0] = app.tutorials[name]
        app.env.note_dependency(Path(app.srcdir) / FOLDER / f"{name.rpartition('/')[2]}.ipynb")
        app.env.note_dependency(Path(app.srcdir) / "tutorials" / "README.md")


def setup(app: Any) -> dict[str, bool]:
    """Make the pages before Sphinx reads them."""
    app.add_config_value("execute_tutorials", True, "env")
    app.connect("config-inited", write)
    app.connect("source-read", replace)
    return {"parallel_read_safe": True}
