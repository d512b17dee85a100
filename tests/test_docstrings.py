"""Docstrings: how they begin, what they say of arrays, and that their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.support.tree import MODULES, ROOT, is_public

#: A docstring names a thing or tells the reader to do something; a question is neither.
QUESTION = re.compile(r"(What|Whether|How|Where|Which|When|Why|Who|Whose)\b")
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
TREES = ("kernels", "lavadl_ref", "tests", "validation", "docs", ".ci")


def files() -> list[Path]:
    """Every Python file of the project."""
    return [path for top in TREES for path in sorted((ROOT / top).rglob("*.py"))]


def questions(source: str) -> list[str]:
    """Docstrings that begin with a question word, by the line they are on."""
    found = []
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, DEFINITIONS) else None
        if text and QUESTION.match(text):
            found.append(f"{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}")
    return found


def test_docstrings_begin_with_a_noun_or_an_imperative():
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files() for line in questions(path.read_text())]
    assert found == []


def test_a_docstring_that_begins_with_a_question_word_is_found():
    source = (
        'def f():\n    """Whether x."""\nclass A:\n    """The whole."""\n    def g(self):\n        """How it is."""'
    )
    assert questions(source) == ["1: Whether x.", "5: How it is."]


ARRAY = re.compile(r"\b(Tensor|ndarray|NDArray|ArrayLike|array_like|Integers|Array|Signal)\b")
#: A shape in words or letters: (N, C, T), (M,), (\*shape), (..., T), "any shape", "the shape of x", "scalar".
SHAPE = re.compile(
    r"\bshapes?\b|\bscalar\b|\blike\b|"
    r"\((?:\\?\*?\w+|\.\.\.|\d+)(?: [-+*/] \w+)?(?:,(?: (?:\\?\*?[\w|]+|\.\.\.|[^()]{1,20}))?)*\)"
)


def parameters(docstring: str) -> dict[str, str]:
    """Entries of a NumPy-style Parameters section: for each name its type and description."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}|\Z)", docstring, re.DOTALL | re.MULTILINE)
    found = {}
    for entry in re.split(r"\n(?=\S)", section[1] if section else ""):
        names, _, rest = entry.partition("\n")
        for name in names.split(":")[0].split(","):
            found[name.strip().lstrip("*\\")] = f"{names.partition(':')[2]}\n{rest}"
    return found


def shapeless(source: str) -> list[str]:
    """Public functions with an array argument of which the docstring gives no shape."""
    found = []

    def visit(owner: ast.AST, where: str, of_class: str) -> None:
        for node in ast.iter_child_nodes(owner):
            if isinstance(node, ast.ClassDef) and node.name[0] != "_":
                visit(node, f"{where}{node.name}.", ast.get_docstring(node) or "")
            elif isinstance(node, ast.FunctionDef) and (node.name[0] != "_" or node.name == "__init__"):
                own = ast.get_docstring(node) or ""
                text = own or of_class
                given = parameters(text)
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                for argument in arguments:
                    if not (argument.annotation and ARRAY.search(ast.unparse(argument.annotation))):
                        continue
                    if not SHAPE.search(given.get(argument.arg, text)):
                        found.append(f"{where}{node.name}({argument.arg})")

    visit(ast.parse(source), "", "")
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if is_public(name)])
def test_public_array_arguments_have_a_shape(module):
    assert shapeless(MODULES[module].read_text()) == []


def test_an_array_without_a_shape_is_found():
    source = '''
def f(x: Tensor, y: NDArray[np.int64], n: int):
    """Sum.

    Parameters
    ----------
    x : Tensor
        (N, C, T) float32.
    y : ndarray
        Some numbers.
    """
def g(x: Tensor): "The sum of `x` (N, T)."
def h(x: Tensor): "The sum."
def _i(x: Tensor): "The sum."
'''
    assert shapeless(source) == ["f(y)", "h(x)"]


def examples(module: str) -> list[doctest.DocTest]:
    """The examples in the docstrings of a module."""
    return doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if ">>> " in path.read_text()])
def test_examples_in_docstrings_give_what_they_show(module):
    if module.startswith("lavadl_ref.netx"):
        pytest.importorskip("lava")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    printed: list[str] = []
    for test in examples(module):
        runner.run(test, out=printed.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(printed)


#: Errors say "X must ..., got ...": no other pair of words stands for these.
OTHER_STYLE = re.compile(r"\bbut got\b|\bexpected\b.*\bfound\b|, found\b")


def other_styles(source: str) -> list[str]:
    """Texts of raised errors in another style than "X must ..., got ..."."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            parts = [part.value for part in ast.walk(node.exc) if isinstance(part, ast.Constant)]
            text = " ".join(part for part in parts if isinstance(part, str))
            if OTHER_STYLE.search(text):
                found.append(text)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_errors_say_what_must_be_and_what_was_got(module):
    assert other_styles(MODULES[module].read_text()) == []


def test_an_error_in_another_style_is_found():
    source = "raise ValueError(f'x: expected 3, found {x}')\nraise TypeError('x must be 3, but got 4')"
    assert other_styles(source) == ["x: expected 3, found ", "x must be 3, but got 4"]
    assert other_styles("raise ValueError(f'x must be 3, got {x}')") == []
