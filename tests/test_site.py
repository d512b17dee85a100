"""The documentation site: it is built without a warning, its links lead somewhere, every public name is in it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest

pytest.importorskip("sphinx", reason="needs the extra docs")
pytest.importorskip("furo", reason="needs the extra docs")
pytest.importorskip("myst_parser", reason="needs the extra docs")
pytest.importorskip("torch")

from sphinx.util.inventory import InventoryFile

from lavadl_ref.netx import lava_support
from tests import PATIENCE
from tests.support.browser import browse, needs_chromium
from tests.support.tree import MODULES, ROOT, is_public


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the built site, and what Sphinx said: of a copy of the pages, as a build writes others there.

    No tutorial is executed: `test_tutorials` runs them, and ``.ci/run docs`` builds the site with their output.
    """
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("api", "__pycache__"))
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-D", "execute_tutorials=0",
         folder / "docs", folder / "site"],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return folder / "site", done


def test_the_site_is_built_without_a_warning(built):
    _, done = built
    assert (done.returncode, done.stderr) == (0, "")


class Page(HTMLParser):
    """Links of a page, the files that it needs, and the places that others link to."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.links, self.ids, self.text = [], {"", "top"}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.update(found[name] for name in ("id", "name") if found.get(name))
        self.links += [found[name] for name in ("href", "src") if found.get(name)]

    def handle_data(self, data):
        self.text.append(data)


def broken(pages, folder):
    """Links to files that are not there, and to places that their pages do not have."""
    found = []
    for path, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(unquote(link))
            if re.match(r"[a-z]+:|//", target):
                continue
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            missing = not there.is_relative_to(folder) or not there.is_file()
            if missing or (there in pages and fragment not in pages[there].ids):
                found.append((path.name, link))
    return found


@pytest.fixture(scope="module")
def pages(built):
    folder = built[0].resolve()
    return {path: Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts}


def test_every_link_within_the_site_has_a_target(built, pages):
    assert len(pages) > 80
    assert broken(pages, built[0].resolve()) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path):
    (tmp_path / "a.html").write_text("<a href='b.html#x'></a><a href='a.html#y'></a><a id='z' href='#z'></a>")
    (tmp_path / "c.html").write_text("<a href='https://x.invalid'></a><img src='a.html'><a href='../out.html'>")
    found = {path: Page(path) for path in tmp_path.glob("*.html")}
    assert broken(found, tmp_path) == [
        ("a.html", "b.html#x"), ("a.html", "a.html#y"), ("c.html", "../out.html")
    ]  # fmt: skip


def public(module):
    """Public names of a module by its source: what ``__all__`` lists, classes and functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "__all__"
            and isinstance(node.value, ast.List)
        ):
            names.update(ast.literal_eval(node.value))
    return {f"{module}.{name}" for name in names}


def test_every_public_name_is_found(built):
    inventory = InventoryFile.loads((built[0] / "objects.inv").read_bytes(), uri="")
    found = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    shown = [name for name in MODULES if is_public(name)]
    if not lava_support.available()[0]:
        shown = [name for name in shown if not name.startswith("lavadl_ref.netx")]
    wanted = {name for module in shown for name in public(module)}
    assert len(wanted) > 900
    assert sorted(wanted - found) == []
    searched = (built[0] / "searchindex.js").read_text(encoding="utf-8")
    for name in ("lavadl_ref.slayer.block.cuba", "lavadl_ref.exchange", "lavadl_kernels.fixed_point", "saturate24"):
        assert name in searched


def test_the_reference_of_commands_has_all_of_them(pages):
    typer = pytest.importorskip("typer")
    from lavadl_ref.cli.main import app

    text = "".join(next(page for path, page in pages.items() if path.name == "commands.html").text)
    for name, command in typer.main.get_command(app).commands.items():
        assert f"lavadl-ref {name}" in text
        for parameter in command.params:
            assert all(option in text for option in parameter.opts if option.startswith("--"))


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs" / "tutorials").glob("[a-z]*.py")))
def test_a_notebook_has_the_code_of_its_tutorial(built, pages, name):
    jupytext = pytest.importorskip("jupytext", reason="needs the extra docs")
    (found,) = built[0].rglob(f"{name}.ipynb")
    notebook = jupytext.read(found)
    options, *cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    about, *script = ast.parse((ROOT / "docs" / "tutorials" / f"{name}.py").read_text(encoding="utf-8")).body
    assert ast.unparse(ast.parse("\n".join(cells))) == ast.unparse(script)
    assert f'sys.argv = ["{name}", "--small"]' in options
    assert notebook.cells[0].source == f"# {name}\n\n{inspect.cleandoc(about.value.value)}"
    page = next(page for path, page in pages.items() if path.stem == name and path.parent.name == "tutorials")
    assert any(link.endswith(f"/{name}.ipynb") for link in page.links)
    assert "the build was told not to" in "".join(page.text)


SCRIPT = '''"""A tutorial.

With `--data DIR`, it reads data.
"""

# %%
from pathlib import Path

import _shared

from matplotlib import pyplot

# %% [markdown]
# ## Output

# %%
Path("runs.txt").open("a").write("x")
print(_shared.WORD, __file__)
pyplot.plot([1, 2]);
'''


@pytest.fixture
def notebooks(monkeypatch):
    pytest.importorskip("jupytext", reason="needs the extra docs")
    pytest.importorskip("nbclient", reason="needs the extra docs")
    pytest.importorskip("ipykernel", reason="needs the extra docs")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    return importlib.import_module("notebooks")


@pytest.fixture
def source(tmp_path):
    """A folder of pages with one tutorial."""
    folder = tmp_path / "docs" / "tutorials"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text(SCRIPT)
    (folder / "_shared.py").write_text("WORD = 'first'\n")
    return folder.parent


def test_a_tutorial_is_executed_once_and_shown_with_its_output(notebooks, source, tmp_path):
    def shown():
        made, why = notebooks.executed(source, tmp_path / "cache")
        runs = next((tmp_path / "cache").rglob("runs.txt")).read_text()
        readme = "### one\n\n99 % right\n\n### two\n\n98 %\n"
        return notebooks.page(made["one"], "one", tmp_path, readme, why), runs

    page, runs = shown()
    assert "\nfirst one.py\n```\n\n![" in page
    (picture,) = tmp_path.glob("one-*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert page.count("## Output") == page.count("**Results of a full run.** 99 % right") == 1
    assert "--small" in page
    assert "on data that is made" in page
    assert "98 %" not in page
    script = source / "tutorials" / "one.py"
    script.write_text(script.read_text().replace("## Output", "## Text"))
    assert shown() == (page.replace("## Output", "## Text"), runs)  # a change of the text executes nothing
    (source / "tutorials" / "_shared.py").write_text("WORD = 'second'\n")
    page, runs = shown()
    assert "\nsecond one.py\n" in page
    assert runs == "x"
    script.write_text(script.read_text() + "print('more')\n")
    assert shown()[1] == "xx"


@pytest.mark.parametrize(
    ("code", "said"), [("1 / 0", "ZeroDivisionError"), ("import warnings; warnings.warn('old')", "UserWarning: old")]
)
def test_a_cell_that_fails_or_warns_ends_the_build(notebooks, source, tmp_path, code, said):
    from sphinx.errors import ExtensionError

    (source / "tutorials" / "one.py").write_text(f'"""A tutorial."""\n\n# %%\n{code}\n')
    with pytest.raises(ExtensionError, match=said):
        notebooks.executed(source, tmp_path / "cache")


@needs_chromium
@pytest.mark.parametrize("name", ["index", "tour", "api/lavadl_ref.exchange", "benchmarks"])
@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "narrow"])
def test_a_browser_shows_a_page_of_the_site(built, tmp_path, name, width):
    console, made = browse(built[0] / f"{name}.html", tmp_path, "--screenshot=out.png", f"--window-size={width},1400")
    assert console == ""
    assert made.startswith(b"\x89PNG")
    assert len(made) > 20_000
