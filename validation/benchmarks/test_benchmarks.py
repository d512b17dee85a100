"""The benchmarks run, at tiny sizes, and their results make a page.  Nothing here is timed."""

from __future__ import annotations

import pytest
import torch

from tests.support import c_programs, upstream
from validation.benchmarks import __main__ as program
from validation.benchmarks import backends, limits, measure, page, results
from validation.benchmarks.measure import Rounds
from validation.benchmarks.parts import PARTS

OWN = ["limits", "slopes", "backends"]  #: parts that need nothing but this package
BESIDE = ["neurons", "networks", "online", "detection", "threads"]  #: parts that need lava-dl


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Whatever else the machine does, no round is repeated and no job runs for long."""
    monkeypatch.setattr(measure, "others", lambda before: 0.0)
    monkeypatch.setattr(measure, "SHARE", float("inf"))  # also of processes that know nothing of this one
    monkeypatch.setattr(measure, "ENOUGH", 0.0)
    monkeypatch.setattr(measure, "WARM_UP", 1)


def measured(parts, folder):
    shown = []
    options = [option for part in parts for option in ("--only", part)]
    options += ["--quick", "--rounds", "1", "--json", str(folder / "r.json"), "--out", str(folder / "page.md")]
    assert program.main(options, shown.append) == 0
    return results.read(folder / "r.json"), (folder / "page.md").read_text(), "\n".join(shown)


def check(parts, folder):
    tables, text, shown = measured(parts, folder)
    assert list(tables) == [name for name in PARTS if name in parts]
    for name, table in tables.items():
        assert table.rows
        assert not table.complete
        for row in table.rows:
            assert PARTS[name].cells(row)[0] in text
            assert row["name"] in shown
        if name in ("neurons", "networks", "online", "detection", "threads", "slopes"):
            assert f"(page/{name}.svg)" in text
            assert (folder / "page" / f"{name}.svg").stat().st_size > 1000


def test_the_parts_of_this_package_are_measured_alone(tmp_path):
    check(OWN, tmp_path)


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
def test_networks_as_c_are_measured_beside_the_reference(tmp_path):
    check(["port"], tmp_path)


@pytest.mark.upstream
def test_the_parts_are_measured_beside_lava_dl(tmp_path):
    upstream.slayer()
    check(BESIDE, tmp_path)


def test_a_level_that_the_processor_lacks_is_left_out_with_a_reason(monkeypatch):
    monkeypatch.setattr(backends, "flags", lambda: {"avx2"})
    monkeypatch.setattr(backends, "child", lambda *arguments, env: '[{"name": "a step", "path": "gemm"}]')
    rows = list(backends.rows(results.Settings()))
    assert [row["name"] for row in rows] == ["a step", "", "", "a step"]
    assert "no avx512_vnni" in rows[2]["taken"]


def test_a_backend_that_no_synapse_takes_has_no_figure():
    rows = [row for row in backends.here(1, True) if row["path"] not in ("auto", "gemm")]
    assert rows
    assert all(("ours" in row) == (row["path"] in row["taken"].split(", ")) for row in rows)


def test_threads_are_restored():
    before = torch.get_num_threads()
    assert limits.on(1, lambda: float(torch.get_num_threads()))() == 1
    assert torch.get_num_threads() == before


def test_a_ratio_is_that_of_medians_with_its_range():
    found = measure.ratio("x", Rounds([(1.0, 10.0), (2.0, 10.0), (4.0, 12.0)], 0.0))
    assert (found.ours_ms, found.theirs_ms, found.times, found.low, found.high) == (2, 10, 5, 3, 10)


def interleaved(monkeypatch, *shares):
    """Two rounds while others take these shares of the machine."""
    taken, clock = iter(shares), iter([9.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(measure, "others", lambda before: next(taken))
    monkeypatch.setattr(measure, "SHARE", 0.15)
    monkeypatch.setattr(measure, "wait_for_quiet", lambda: None)
    return measure.interleaved([lambda: next(clock)], rounds=2, warm_up=1)


def test_measurements_beside_other_work_are_repeated(monkeypatch):
    found = interleaved(monkeypatch, 0.0, 0.5, 0.0, 0.9)
    assert (found.ms, found.others) == ([(1.0,), (3.0,)], 0.0)


def test_a_machine_never_at_rest_is_told(monkeypatch):
    found = interleaved(monkeypatch, 0.5, 0.4, 0.7, 0.9)
    assert (found.ms, found.others) == ([(2.0,), (1.0,)], 0.5)
    assert PARTS["limits"].cells({"name": "x", "others": found.others})[0] == "x *"


def test_parts_are_merged_and_only_whole_ones_make_a_page(tmp_path):
    row = {"name": "a copy", "ours": 1.0, "rate": 2.0, "unit": "GB/s", "others": 0.0}
    one, two, out = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "page.md"
    results.write(one, {"limits": results.Table("a machine", [row], complete=True)})
    results.write(two, {"slopes": results.Table("a machine", [], complete=False)})
    shown = []
    assert program.main([str(one), str(two), "--out", str(out)], shown.append) == 2
    assert "slopes was not measured in full" in shown[-1]
    assert not out.exists()
    assert program.main([str(one), "--out", str(out)], shown.append) == 0
    assert "| a copy | 1.00 | 2.0 | GB/s |" in out.read_text()


def test_another_file_is_not_results(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"limits": 3}')
    with pytest.raises(ValueError, match="does not hold results"):
        results.read(path)


def test_the_same_results_make_the_same_page(tmp_path):
    row = {"name": "x", "ours": 1.0, "theirs": 3.0, "times": 3.0, "pairs": [2.0, 4.0], "others": 0.0}
    tables = {"neurons": results.Table("a machine", [row], complete=True)}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        page.write(tmp_path / name / "page.md", tables)
    files = ("page.md", "page/neurons.svg")
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
