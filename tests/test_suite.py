"""The suite itself: its names are sentences, its files import in one direction, and the pages name tests that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.tree import ROOT

FILES = {
    path.relative_to(ROOT).as_posix(): path for top in ("tests", "validation") for path in (ROOT / top).rglob("*.py")
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in sorted(FILES.items())}
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}

# -- names ----------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words of a name that say what its subject does, in their basic form. No program tells verbs from nouns in English, so
#: they are listed: a test with a verb of its own adds it here.
VERBS = _words(
    """
    accept act add agree allow answer apply arrive ask average become begin behave believe belong bend blame bound
    branch build call carry cause change claim clear close come compare compile contain continue contradict copy
    cost count cover cut damage decide depend describe differ disturb divide do draw drive drop end enter equal
    exist expand explain extend fail fall fill find fire fit flatten flood follow forget gather get give go grow
    handle hang happen have hide hold ignore import include judge keep know lack launch lead leak learn leave let
    lie list live load lose lower make match matter meet mirror move multiply name need outgrow outlive pass persist
    place predict print prove put quantise raise reach read record reduce refuse remain remember remove repeat
    replace report require resemble reset reshape restore return round run saturate save say scale see select send
    sense set share shift show silence sit spike spread stand start stay stop store subtract suffice sum survive
    take tell touch train translate transpose truncate turn undo update use vanish vary wait warn work wrap write
    """
)
FORMS = _words("is are was were has had does did can cannot could may must shall should will would left ran took went")
#: Words that open a subordinate clause, which has a verb of its own: the sentence needs another one.
OPENERS = _words("that what which whatever who whose where when while until unless if whether because")
#: Words with which no subject begins.
FRAGMENTS = _words(
    """
    after also against as at because before behind beside besides beyond by during for from how if in into is never not
    of on once only over since there to too under unless until when whether where which while why with within without
    are was were has have had does did can cannot could may must shall should will would
    """
)
#: Verbs that are nouns too, and may begin a sentence as its subject.
NOUNS = _words(
    """
    act average bound branch call change claim copy cost count cover damage draw drive drop end fire fit flatten
    flood handle import lack launch list load match mirror move name need place record report reset return round run
    scale set share shift show silence spike start stop store sum take turn update use wait work
    """
)
#: Two words behind which "that" and "what" open no clause: "that of", "what to".
PRONOUNS = ("of", "to")


def _basic(word: str) -> Iterator[str]:
    """Basic forms that `word` can be of: itself, and without the ending of the third person."""
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]


def flaw(name: str) -> str:
    """The reason why a test's name is no sentence with a subject, "" where it is one."""
    words = name.removeprefix("test_").split("_")
    if len(words) < 3:
        return "has fewer than three words"
    if words[0] in FRAGMENTS:
        return f"begins with {words[0]!r}, without a subject"
    if any(form in VERBS for form in _basic(words[0])) and not any(form in NOUNS for form in _basic(words[0])):
        return f"begins with the verb {words[0]!r}, without a subject"
    verbs = sum(word in FORMS or any(form in VERBS for form in _basic(word)) for word in words[1:])
    behind = zip(words, [*words[1:], ""], strict=True)
    clauses = sum(word in OPENERS and after not in PRONOUNS for word, after in behind)
    return "" if verbs > clauses else "has no verb that says what its subject does"


def names_of(tree: ast.AST) -> list[str]:
    """Names of the tests in a file, those of classes included."""
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]


@pytest.mark.parametrize("name", TREES)
def test_every_name_of_a_test_is_a_sentence(name):
    assert {test: flaw(test) for test in names_of(TREES[name]) if flaw(test)} == {}


def test_every_name_of_a_test_is_unique():
    counted = Counter(test for tree in TREES.values() for test in names_of(tree))
    assert len(counted) > 2000
    assert [test for test, times in counted.items() if times > 1] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_forward", "fewer than three words"),
        ("test_gradients_again", "fewer than three words"),
        ("test_as_in_training", "begins with 'as'"),
        ("test_without_the_compiler", "begins with 'without'"),
        ("test_is_the_runtime_of_its_processes", "begins with 'is'"),
        ("test_refuses_what_does_not_fit", "begins with the verb 'refuses'"),
        ("test_keep_the_last_value", "begins with the verb 'keep'"),
        ("test_device_parameters_and_back", "has no verb"),
        ("test_a_file_that_claims_terabytes", "has no verb"),
        ("test_what_is_missing_without_a_word", "has no verb"),
    ],
)
def test_a_name_that_is_no_sentence_is_seen(name, said):
    assert said in flaw(name)


@pytest.mark.parametrize(
    "name",
    [
        "test_kernels_are_compiled_once_per_installation",
        "test_a_file_that_claims_terabytes_is_refused",
        "test_resets_make_samples_of_a_stream",
        "test_a_missing_package_is_told_with_what_to_type",
        "test_frequencies_vary_by_channel",
    ],
)
def test_a_name_that_is_a_sentence_passes(name):
    assert flaw(name) == ""


# -- imports --------------------------------------------------------------------------------------


def imported(tree: ast.AST) -> list[str]:
    """Full names of all that a file imports, also within its functions."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def as_library(names: list[str]) -> list[str]:
    """Those of the imported names that are test modules, or of one."""
    return [
        name
        for name in names
        if name.split(".")[0] in ("tests", "validation") and any(part.startswith("test_") for part in name.split("."))
    ]


def beyond_support(names: list[str]) -> list[str]:
    """Those of the imported names that are of the tests, but not of what these share."""
    return [name for name in names if name.split(".")[0] == "tests" and not f"{name}.".startswith("tests.support.")]


@pytest.mark.parametrize("name", TREES)
def test_no_file_takes_a_test_module_as_a_library(name):
    assert as_library(imported(TREES[name])) == []


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("validation/")])
def test_validation_imports_the_support_of_tests_alone(name):
    assert beyond_support(imported(TREES[name])) == []


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("tests/")])
def test_no_test_depends_on_validation(name):
    assert [found for found in imported(TREES[name]) if found.split(".")[0] == "validation"] == []


def test_an_import_of_the_wrong_kind_is_seen():
    code = """
import tests.kernels.test_cuba
from tests.netx import test_runtime
from tests.support import oracle
def late():
    from tests.slayer.test_io import same
    from tests.netx.conftest import USABLE
"""
    names = imported(ast.parse(code))
    wrong = ["tests.kernels.test_cuba", "tests.netx.test_runtime", "tests.slayer.test_io.same"]
    assert as_library(names) == wrong
    assert beyond_support(names) == [*wrong, "tests.netx.conftest.USABLE"]
    assert imported(ast.parse("from tests import PATIENCE")) == ["tests.PATIENCE"]
    assert beyond_support(["tests.PATIENCE", "tests.support.PATIENCE"]) == ["tests.PATIENCE"]


# -- pages ----------------------------------------------------------------------------------------

_NAMED = re.compile(r"((?:tests|validation)/[\w/]+\.py)(?:::(test_\w+))?")


def missing(page: str, trees: dict[str, ast.Module]) -> list[str]:
    """Files and tests that a page names and that are not there; names of tests by themselves are looked up anywhere."""
    found = [
        f"{path}::{test}" if test else path
        for path, test in _NAMED.findall(page)
        if path not in trees or (test and test not in names_of(trees[path]))
    ]
    everywhere = {test for tree in trees.values() for test in names_of(tree)}
    files = {path.rpartition("/")[2].removesuffix(".py") for path in trees}
    alone = re.findall(r"`(test_\w+)`", page)
    return found + [test for test in alone if test not in everywhere and test not in files]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_names_tests_that_exist(name):
    assert missing(PAGES[name], TREES) == []


def test_a_page_that_names_a_missing_test_is_seen():
    trees = {"tests/test_a.py": ast.parse("def test_a_file_is_read(): pass")}
    page = "`tests/test_a.py::test_a_file_is_read`, `test_a_file_is_read`, `test_a`, `tests/test_b.py`"
    assert missing(page, trees) == ["tests/test_b.py"]
    page = "`tests/test_a.py::test_nothing_is_read` and `test_nothing_is_read`"
    assert missing(page, trees) == ["tests/test_a.py::test_nothing_is_read", "test_nothing_is_read"]


def test_every_file_that_runs_without_torch_is_imported_without_it():
    """Pytest collects a file that it is given by name, whatever it is told to ignore."""
    named = [
        word
        for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        if line.startswith(("leg ", "short=", "kernels="))
        for word in re.findall(r"tests/[\w/{},*]+(?:\.py)?", line)
    ]
    expanded = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {' '.join(named)}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [name for name in expanded.stdout.split() if name.endswith(".py")]
    assert "tests/test_doctor.py" in files
    needing = subprocess.run(
        [sys.executable, ".ci/needs_torch.py", *files], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert needing.stdout.split() == []
