"""The conformance suite: its integers never change, its text suffices, and a wrong port is found by its level."""

from __future__ import annotations

import sys

import pytest

from lavadl_ref.testing import vectors
from lavadl_ref.testing.vectors.text import files
from tests import PATIENCE
from tests.support import c_programs
from tests.support.suite_page import all_cases, page
from tests.support.tree import ROOT

PORT = [sys.executable, "-m", "tests.support.text_port"]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_no_integer_of_suite_1_ever_changes():
    """A change that lets this fail makes a suite 2: the digests of suite 1 are never written anew."""
    lines = (ROOT / "tests" / "testing" / "suite-1.txt").read_text().splitlines()
    known = {label: digest for digest, label in map(str.split, lines)}
    assert {case.label: vectors.digest(case) for case in all_cases()} == known


def test_the_page_of_coverage_shows_the_suite():
    assert (ROOT / "docs" / "conformance.md").read_text() == page(), "run `make pages`"


def test_a_digest_depends_on_every_integer():
    case = all_cases()[0]
    before = vectors.digest(case)
    assert before == vectors.digest(case)
    case.spike[-1][-1] += 1
    try:
        assert vectors.digest(case) != before
    finally:
        case.spike[-1][-1] -= 1


@pytest.mark.parametrize(("levels", "families"), [(1, ["RF_PHASE", "SDNN"]), ((2, 3), None)])
def test_a_port_that_reads_the_text_alone_gives_every_integer(levels, families):
    report = vectors.check(PORT, families, "loihi", timeout=PATIENCE, levels=levels, text=True)
    assert report.exact, str(report)
    wanted = [
        case for case in all_cases() if case.widths == "loihi" and isinstance(case, vectors.Case) == (levels == 1)
    ]
    assert report.total == sum(families is None or case.family in families for case in wanted)


@pytest.mark.parametrize(
    ("fault", "level", "first", "wrong"),
    [
        ("no reset", 2, "layers/reset-7-0-CUBA-loihi: current at step 7, lane ", {"reset"}),
        ("no feedback", 2, "layers/recurrent-CUBA-loihi: current at step ", {"recurrent", "graded"}),
        ("no width", 2, "layers/wide-windows-CUBA-loihi: current at step ", {"wide"}),
        ("no reset", 3, "networks/dense-CUBA-loihi: output at step ", {"dense", "recurrent", "input"}),
    ],
)
def test_a_wrong_port_of_layers_is_caught_and_located(fault, level, first, wrong):
    report = vectors.check([*PORT, fault], "CUBA", "loihi", timeout=PATIENCE, levels=level, text=True)
    assert report.failure is None
    assert str(report.divergences[0]).startswith(first)
    assert {found.case.split("/")[1].split("-")[0] for found in report.divergences} >= wrong


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 2", "the line of step 0 must hold 15 integers, got 2"),
        ("1 x", "the line of step 0 must hold integers, got 'x'"),
        ("1.5", "the line of step 0 must hold integers, got '1.5'"),
    ],
)
def test_a_line_that_is_no_answer_is_told(line, said):
    code = f"import sys\nfor line in sys.stdin:\n    if line[:3] == 'run': print({line!r}, flush=True)"
    report = vectors.check([sys.executable, "-c", code], "CUBA", "loihi", timeout=PATIENCE, levels=2, text=True)
    assert report.failure == f"layers/dense-CUBA-loihi: {said}"


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
def test_a_short_program_in_c_passes_the_first_level(tmp_path):
    source = (ROOT / "docs" / "cuba.c").read_text()
    assert len(source.splitlines()) < 200
    wrong = source.replace("w > threshold[i]", "w >= threshold[i]")
    for name, text in (("right", source), ("wrong", wrong)):
        (tmp_path / f"{name}.c").write_text(text)
        program = c_programs._made(tmp_path, name, (name,), "", ("-O1",))
        report = vectors.check([str(program)], "CUBA", None, timeout=PATIENCE, text=True)
        assert (report.exact, report.total) == (name == "right", 20)
        assert report.failure is None


def test_the_memories_hold_the_text():
    for case in all_cases()[::37]:
        texts = files(case)
        for name in ("expected", "stimulus"):
            words = [int(word, 16) for word in texts[f"{name}.mem"].split()]
            signed = [word - 2**64 if word >> 63 else word for word in words]
            lines = texts[f"{name}.txt"].splitlines()
            begin = next((n for n, line in enumerate(lines) if line.startswith("run")), 0)
            rows = [line for line in lines[begin:] if not line.startswith("run")]
            assert signed == [int(word) for row in rows for word in row.split()]
        assert texts["expected.txt"].count("\n") == case.steps


def test_a_level_or_a_version_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"^level must be in 1\.\.3, got 0$"):
        vectors.suite(0)
    with pytest.raises(ValueError, match=r"^level must be some of 1, 2, 3, got none$"):
        vectors.suite([])
    with pytest.raises(ValueError, match=r"^suite must be in 1\.\.1, got 2$"):
        vectors.suite(version=2)
    with pytest.raises(ValueError, match=r"^text must be true for levels 2 and 3, got false"):
        vectors.check("cat", levels=2, timeout=PATIENCE)


def test_a_network_of_ones_own_becomes_a_case(tmp_path):
    (case,) = [case for case in all_cases() if case.label == "networks/recurrent-CUBA-loihi"]
    options = {"reset_interval": 9, "reset_offset": 4}
    written = vectors.write_network(tmp_path / "own", case.network, case.inputs.T, **options)
    expected = files(case)["expected.txt"]
    assert (written / "expected.txt").read_text() == expected
    with pytest.raises(ValueError, match=r"^input must have shape \(5, T\)"):
        vectors.write_network(tmp_path / "own", case.network, case.inputs)
