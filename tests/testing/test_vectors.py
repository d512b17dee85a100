"""Golden vectors: what is written, and that other implementations are compared with it exactly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lavadl_ref.exchange import FAMILIES
from lavadl_ref.testing import vectors
from lavadl_ref.testing.vectors.definitions import DEFINITIONS
from lavadl_ref.testing.vectors.recipes import RECIPES
from tests import PATIENCE
from tests.support import oracle as naive
from tests.support.families import BY_ADAPTATION

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = [sys.executable, "-m", "tests.support.foreign"]


EVERY = {recipe.name for recipe in RECIPES}


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def cases():
    return {case.label: case for case in vectors.cases()}


def test_every_family_has_vectors():
    assert set(DEFINITIONS) == set(FAMILIES)


def test_the_naive_oracle_agrees_with_every_case(cases):
    report = vectors.check(FOREIGN, timeout=PATIENCE)
    assert report.divergences == ()
    assert report.exact
    integers = sum(case.steps * case.lanes * (len(case.states) + 1) for case in cases.values())
    assert (report.total, report.equal, report.integers) == (len(cases), len(cases), integers)
    assert str(report) == f"{len(cases)} of {len(cases)} cases exact, {integers:,} integers compared"


@pytest.mark.parametrize(
    ("fault", "family", "wrong", "first"),
    [
        ("equality", "CUBA", {"ties", "zero-threshold", "units"}, ("CUBA/ties-slayer", "voltage", 1, 0)),
        ("no width", "CUBA", {"wide", "limits", "exponents"}, ("CUBA/wide-loihi", "current", 0, 0)),
        ("forgetful", "ALIF", {"usual", "chunks", "ties", "negative", "edges", "wide", "units", "limits"}, None),
        ("floor", "RF_PHASE", EVERY - {"exponents"}, None),
    ],
)
def test_a_wrong_implementation_is_caught_and_located(cases, fault, family, wrong, first):
    report = vectors.check([*FOREIGN, fault], family, timeout=PATIENCE)
    assert not report.exact
    assert report.failure is None
    assert {re.split("[/-]", d.case, maxsplit=1)[1].rpartition("-")[0] for d in report.divergences} == wrong
    assert report.equal == report.total - len(report.divergences)
    found = report.divergences[0]
    case = cases[found.case]
    if first is not None:
        assert (found.case, found.quantity, found.step, found.lane) == first
    rows = case.spike if found.quantity == "spike" else case.states[found.quantity]
    assert rows[found.step][found.lane] == found.expected != found.found
    assert str(report).startswith(
        f"first divergence: {found.case}: {found.quantity} at step {found.step}, lane {found.lane}: "
        f"expected {found.expected}, found {found.found}\n"
    )


def test_the_first_difference_of_a_later_piece_has_its_step_in_the_whole_case(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import json, sys\n"
        "from tests.support.foreign import answer\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line)\n"
        "    found = answer(request)\n"
        "    if request['steps'] == 16:\n"
        "        found['spike'][3][5] += 7\n"
        "    print(json.dumps(found), flush=True)\n"
    )
    code = f"import runpy, sys; sys.path.insert(0, '.'); runpy.run_path({str(wrong)!r})"
    report = vectors.check([sys.executable, "-c", code], "RF_PHASE", "loihi", timeout=PATIENCE)
    (found,) = report.divergences
    assert (found.case, found.quantity, found.step, found.lane) == ("RF_PHASE/chunks-loihi", "spike", 1 + 7 + 3, 5)
    assert found.found == found.expected + 7


def test_the_cases_contain_what_they_claim(cases):
    def flat(rows):
        return np.array(rows).ravel()

    for family, definition in DEFINITIONS.items():
        for name in ("usual", "chunks", "ties", "edges", "zero-threshold", "wide", "limits"):
            spikes = flat(cases[f"{family}/{name}-slayer"].spike)
            assert 0 < np.count_nonzero(spikes) < spikes.size, (family, name)
        wide = cases[f"{family}/wide-slayer"], cases[f"{family}/wide-loihi"]
        assert wide[0].inputs == wide[1].inputs
        assert wide[0].states != wide[1].states
        limit = 2**31 if family == "SDNN" else 2**23
        assert max(abs(flat(rows)).max() for rows in wide[0].states.values()) > limit
        if family == "SDNN":
            assert all(naive.wrap32(int(n)) == n for rows in wide[1].states.values() for n in flat(rows))
        negative = cases[f"{family}/negative-slayer"]
        assert all(min(values) < 0 for name, values in negative.state.items() if name != "error")
        edges = cases[f"{family}/edges-slayer"].parameters
        for name in definition.parameters:
            if name.endswith("_decay"):
                assert {0, 4096} <= set(edges[name])
        assert len(cases[f"{family}/chunks-loihi"].chunks) > 2


def test_ties_are_ties(cases):
    case = cases["CUBA/ties-slayer"]
    gaps = np.array(case.compared["voltage_before_reset"]) - case.parameters["threshold"]
    assert set(gaps.ravel().tolist()) == {-1, 0, 1}
    assert np.array_equal(gaps > 0, np.array(case.spike) == 1)
    for family in BY_ADAPTATION.values():
        case = cases[f"{family.type}/ties-slayer"]
        value = family.record.carried
        levels = np.array(case.compared["threshold_level"]) + case.compared["refractory_level"]
        assert set((np.array(case.states[value]) - levels).ravel().tolist()) == {-1, 0, 1}
    imag = np.array(cases["RF_IZHIKEVICH/ties-slayer"].compared["imag_before_reset"])
    gaps = imag - cases["RF_IZHIKEVICH/ties-slayer"].parameters["threshold"]
    assert set(gaps.ravel().tolist()) == {-1, 0, 1}
    phase = cases["RF_PHASE/ties-slayer"]
    assert set(np.array(phase.states["imag"]).ravel().tolist()) == {-1, 0}
    assert set((np.array(phase.states["real"]) - phase.parameters["threshold"]).ravel().tolist()) == {-1, 0, 1}


def test_the_states_of_each_step_give_the_next(cases):
    for label, case in cases.items():
        definition = DEFINITIONS[case.family]
        for lane in range(case.lanes):
            parameters = {name: values[lane] for name, values in case.parameters.items()}
            state = {name: values[lane] for name, values in case.state.items()}
            for t in range(min(case.steps, 6)):
                inputs = {name: rows[t][lane] for name, rows in case.inputs.items()}
                result = definition.advance(state, inputs, parameters, case.widths == "loihi")
                state = {name: rows[t][lane] for name, rows in case.states.items()}
                assert (result.state, result.spike) == (state, case.spike[t][lane]), label


def test_files_hold_the_cases(tmp_path, cases):
    folders = vectors.write(tmp_path / "out", ["CUBA", "SDNN"])
    cases = {label: case for label, case in cases.items() if case.family in ("CUBA", "SDNN")}
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["cases"] == list(cases)
    assert index["version"] == 1
    assert [folder.relative_to(tmp_path / "out").as_posix() for folder in folders] == list(cases)
    for folder, case in zip(folders, cases.values(), strict=True):
        described = json.loads((folder / "case.json").read_text())
        assert (described["case"], described["steps"], described["lanes"]) == (case.label, case.steps, case.lanes)
        assert (described["parameters"], described["state"]) == (case.parameters, case.state)
        assert described["units"] == index["units"][case.family]
        assert sum(described["chunks"]) == case.steps
        assert described["state_after"] == {name: rows[-1] for name, rows in case.states.items()}
        arrays = described["arrays"]
        for key in ("inputs", "states", "compared"):
            assert {name: _loaded(folder, entry) for name, entry in arrays[key].items()} == getattr(case, key)
        assert _loaded(folder, arrays["spike"]) == case.spike


def _loaded(folder, entry):
    """As documented: the last 8 T M bytes, without a reader for the format."""
    count = entry["shape"][0] * entry["shape"][1]
    raw = (folder / entry["file"]).read_bytes()[-8 * count :]
    values = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)]
    array = np.load(folder / entry["file"])
    assert (array.dtype.str, array.shape) == (entry["dtype"], tuple(entry["shape"]))
    assert array.ravel().tolist() == values
    return array.tolist()


def test_writing_again_changes_nothing(tmp_path):
    def content():
        vectors.write(tmp_path, "RF_IZHIKEVICH", ["loihi"])
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    first = content()
    assert first == content()
    assert json.loads((tmp_path / "index.json").read_text())["units"].keys() == {"RF_IZHIKEVICH"}
    assert {path.parent.name.rpartition("-")[2] for path in first if path.parent != tmp_path} == {"loihi"}


@pytest.mark.parametrize("function", [vectors.cases, lambda *a: vectors.check(FOREIGN, *a, timeout=PATIENCE)])
def test_unknown_names_are_refused(function):
    with pytest.raises(ValueError, match=r"family must be some of CUBA, ALIF, .*, got LIF"):
        function(["CUBA", "LIF"])
    with pytest.raises(ValueError, match=r"widths must be some of slayer, loihi, got none"):
        function(None, [])


@pytest.mark.parametrize("modules", ["lavadl_ref.testing", "lavadl_ref.testing.vectors"])
def test_neither_torch_nor_lava_nor_hypothesis_is_needed(modules):
    code = f"import sys; sys.modules.update(torch=None, lava=None, hypothesis=None); import {modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


PORTING = (ROOT / "docs" / "porting.md").read_text()


def test_the_documented_program_is_exact(tmp_path):
    (source,) = (text for text in re.findall(r"```python\n(.*?)```", PORTING, re.DOTALL) if "sys.stdin" in text)
    port = tmp_path / "port.py"
    port.write_text(source)
    report = vectors.check([sys.executable, str(port)], "CUBA", timeout=PATIENCE)
    assert report.exact, str(report)
    assert report.total == 20


def test_the_documentation_lists_every_case_and_family(cases):
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PORTING, re.MULTILINE)) >= {case.name for case in cases.values()}
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PORTING, re.MULTILINE)) == set(DEFINITIONS)


def test_the_documented_strategies_run():
    pytest.importorskip("hypothesis")
    sources = [text for text in re.findall(r"```python\n(.*?)```", PORTING, re.DOTALL) if "hypothesis" in text]
    run = []
    for source in sources:
        names: dict = {}
        exec(source, names)
        for name, value in names.items():
            if name.startswith("test_"):
                value()
                run.append(name)
    assert run == [
        "test_my_loader_accepts_what_can_be_written",
        "test_my_simulator_takes_spikes",
        "test_my_simulator_is_exact",
    ]


def test_the_documented_simulator_is_looked_at():
    """A leak that rounds down instead of toward zero is found."""
    pytest.importorskip("hypothesis")
    (source,) = (text for text in re.findall(r"```python\n(.*?)```", PORTING, re.DOTALL) if "my_simulator_is" in text)
    wrong = source.replace("return np.sign(product) * (abs(product) >> 12)", "return product >> 12")
    names: dict = {}
    exec(wrong, names)
    assert wrong != source
    with pytest.raises(AssertionError):
        names["test_my_simulator_is_exact"]()
