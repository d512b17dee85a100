"""The reader survives corrupted files, and what would not be seen as such."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import FAMILIES, LAYERS
from lavadl_ref.testing import fuzz
from lavadl_ref.testing.fuzz import _bases
from tests import PATIENCE

FILES = 300


@pytest.fixture(scope="module")
def report():
    return fuzz.run(FILES, seed=1, seconds=PATIENCE, timeout=PATIENCE)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return fuzz.Corpus(tmp_path_factory.mktemp("corpus"), seed=1)


def test_the_reader_survives(report):
    assert [str(failure) for failure in report.failures] == []
    assert [found.index for found in report.outcomes] == list(range(FILES))
    assert sum(sum(counts.values()) for counts in report.counts.values()) == FILES
    assert len(report.counts) == len(fuzz.DAMAGES)
    assert {name for counts in report.counts.values() for name in counts} == set(fuzz.SURVIVED) - {fuzz.LEGAL}
    assert 30 < report.slowest.megabytes <= report.largest.megabytes < 300


def test_each_damage_is_refused_or_changes_nothing(report):
    refused = ("truncation", "shift", "renamed", "link", "claim", "inflating chunk", "data elsewhere", "shared data")
    assert {name for name in refused if set(report.counts[name]) != {"refused"}} == set()
    assert set(report.counts["attribute"]) == {"same"}
    assert set(report.counts["bytes"]) == {"same", "refused"}
    assert all(found.message for found in report.outcomes if found.outcome == "refused")


@pytest.mark.parametrize(
    ("reader", "outcome", "message"),
    [
        ("crash", "crash", "the program ended without an answer, signal 6"),
        ("hang", "hang", "no answer within 1 s"),
        ("memory", "memory", " MB"),
        ("slow", "slow", " s"),
        ("another_exception", "exception", "KeyError: 'weight'"),
        ("no_name", "bad message", "bad file"),
        ("two_lines", "bad message", "bad\nfile"),
        ("another_network", "different", ""),
    ],
)
def test_a_bad_reader_is_seen(reader, outcome, message):
    timeout = 1 if reader == "hang" else PATIENCE
    found = fuzz.run(
        2,
        workers=1,
        timeout=timeout,
        seconds=0.5 if reader == "slow" else PATIENCE,
        reader=f"tests.support.bad_readers:{reader}",
    )
    assert [one.outcome for one in found.failures] == [outcome] * 2
    assert all(message in one.message for one in found.failures)
    assert outcome in fuzz.FAILURES


def test_every_family_and_kind_of_layer_is_damaged():
    networks = _bases.networks(3)
    seen = {(layer.kind, layer.neuron and layer.neuron.type) for network in networks for layer in network.layers}
    wanted = {(kind, family) for kind in LAYERS if "neuron" in exchange.layout.LAYER_KEYS[kind] for family in FAMILIES}
    assert wanted - {("dense_rec", "SDNN")} <= seen
    assert {kind for kind, _ in seen} == set(LAYERS)


def test_files_depend_on_seed_and_number_only(corpus, tmp_path):
    again = fuzz.Corpus(tmp_path, seed=1)
    for index in (0, 7, 5):
        assert again.file(index)[2] == corpus.file(index)[2]
    assert corpus.file(0)[2] != corpus.file(1)[2]
    assert fuzz.corrupted(7, seed=1) == corpus.file(7)[2] != fuzz.corrupted(7, seed=2)


@pytest.mark.parametrize("layout", _bases.LAYOUTS)
def test_each_layout_says_the_same(corpus, layout, tmp_path):
    _, base, _ = corpus.file(0)
    (tmp_path / "x.net").write_bytes(_bases.laid_out(base, layout))
    assert exchange.digest(exchange.read(tmp_path / "x.net")) == exchange.digest(exchange.read(base))
    assert (base.read_bytes() == (tmp_path / "x.net").read_bytes()) == (layout == "as written")


@pytest.mark.parametrize("name", fuzz.DAMAGES)
def test_each_damage_changes_the_file(corpus, name):
    _, base, _ = corpus.file(0)
    whole = base.read_bytes()
    made = [fuzz.DAMAGES[name](fuzz.Seeded(np.random.default_rng(seed)), whole) for seed in range(3)]
    assert any(data != whole for data in made)


@pytest.mark.parametrize(
    "options", [{"files": 0}, {"seed": -1}, {"megabytes": 0}, {"timeout": 0}, {"workers": 0}, {"megabytes": np.nan}]
)
def test_arguments_of_the_fuzzer_are_checked(options):
    """The message names the one that is wrong."""
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"^{name} must be (positive|at least [01]), got {value}$"):
        fuzz.run(**options)


def test_the_fuzzer_may_use_some_damages_alone():
    found = fuzz.run(12, damages=["nested type", "shared chunks"], seconds=PATIENCE, timeout=PATIENCE)
    assert [str(failure) for failure in found.failures] == []
    assert set(found.counts) == {"nested type", "shared chunks"}
    assert set(found.worst) == set(found.counts)
    for wrong in ({"damages": ["nested"]}, {"damages": ["bytes"], "words": True}):
        with pytest.raises(ValueError, match="damages must be among"):
            fuzz.run(1, **wrong)


def test_the_fuzzer_replaces_words(tmp_path):
    found = fuzz.run(FILES, words=True, seconds=PATIENCE, timeout=PATIENCE)
    assert [str(failure) for failure in found.failures] == []
    assert set(found.counts) == {"word"}
    assert set(found.counts["word"]) == set(fuzz.SURVIVED) - {fuzz.LEGAL}


def test_each_word_is_replaced_by_each_number(tmp_path):
    words = fuzz.Words(tmp_path, 0)
    sizes = [len(data) for _, data in words._whole]
    assert len(words) == sum(size // 8 * 9 for size in sizes)
    assert {path.stem.removeprefix("words-") for path, _ in words._whole} == set(FAMILIES) - {"LOIHI"}
    assert np.gcd(fuzz._STRIDE, len(words)) == 1
    changed = set()
    for index in range(0, len(words), 501):
        _, base, data = words.file(index)
        whole = next(content for path, content in words._whole if path == base and len(content) == len(data))
        changed.add(sum(a != b for a, b in zip(whole, data, strict=True)) <= 8)
    assert changed == {True}


def test_nothing_is_left_in_the_current_folder(tmp_path):
    code = "from lavadl_ref.testing import fuzz; assert not fuzz.run(3).failures"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
    environment.pop("HYPOTHESIS_STORAGE_DIRECTORY", None)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_the_reader_of_graphs_survives():
    pytest.importorskip("nir", reason="needs the package nir")
    kinds = ["bytes", "attribute", *(name for name in fuzz.GRAPH_DAMAGES if name not in fuzz.DAMAGES)]
    found = fuzz.run(60, seed=1, graphs=True, damages=kinds, seconds=PATIENCE, timeout=PATIENCE)
    assert [str(failure) for failure in found.failures] == []
    assert set(found.counts) == set(kinds)
    assert {name for counts in found.counts.values() for name in counts} == set(fuzz.SURVIVED)


def test_every_damage_of_graphs_changes_the_file(tmp_path):
    pytest.importorskip("nir", reason="needs the package nir")
    corpus = fuzz.Graphs(tmp_path, seed=1)
    wholes = [path.read_bytes() for path, _ in corpus._bases[:4]]
    assert {path.name.partition("-")[0] for path, _ in corpus._bases} == {"base", "bare"}
    for name in set(fuzz.GRAPH_DAMAGES) - set(fuzz.DAMAGES):
        damage = fuzz.GRAPH_DAMAGES[name]
        made = [damage(fuzz.Seeded(np.random.default_rng(seed)), whole) for seed, whole in enumerate(wholes)]
        assert any(data != whole for data, whole in zip(made, wholes, strict=True)), name
    assert corpus.file(5)[2] == corpus.file(5)[2]


def test_a_bad_reader_of_graphs_is_seen():
    pytest.importorskip("nir", reason="needs the package nir")
    found = fuzz.run(
        2,
        graphs=True,
        workers=1,
        timeout=PATIENCE,
        seconds=PATIENCE,
        reader="tests.support.bad_readers:another_network",
    )
    assert {one.outcome for one in found.outcomes} == {"different"}


def test_words_of_graphs_are_refused():
    with pytest.raises(ValueError, match=r"^words must be of \.net files, got words together with graphs$"):
        fuzz.run(1, words=True, graphs=True, seconds=PATIENCE, timeout=PATIENCE)
    with pytest.raises(ValueError, match=r"^damages must be among .*, got 'shared data'$"):
        fuzz.run(1, graphs=True, damages=["shared data"], seconds=PATIENCE, timeout=PATIENCE)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["fuzz", *map(str, arguments)])


def test_the_fuzz_command_tells_its_files_and_seed():
    result = run("--files", 20, "--seed", 4)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "20 files, seed 4" in result.stdout
    assert result.stdout.splitlines()[-1] == "no failures"


def test_the_fuzz_command_reads_graphs():
    pytest.importorskip("nir", reason="needs the package nir")
    result = run("--nir", "--files", 3, "--damage", "other edges", "--seconds", PATIENCE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "other edges" in result.stdout


def test_the_fuzz_command_reports_too_little_memory():
    result = run("--files", 3, "--memory-mb", 1, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    assert (found["files"], found["survived"], len(found["failures"])) == (3, False, 3)
    assert {failure["outcome"] for failure in found["failures"]} == {"memory"}
    assert sum(sum(counts.values()) for counts in found["counts"].values()) == 3


def test_bad_arguments_of_the_fuzz_command_are_refused():
    result = run("--memory-mb", 0)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: megabytes must be positive, got 0")
