"""A certificate: its numbers are those of verify, prove and audit, and a check of it finds what has changed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.audit import audit
from lavadl_ref.certify import DIFFERS, HOLDS, LEFT_OUT, certify, check
from lavadl_ref.certify.checking import claims
from lavadl_ref.certify.contents import fingerprint
from lavadl_ref.certify.differences import changed
from lavadl_ref.certify.limits import without_folders
from lavadl_ref.certify.making import default_domain
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import Dense, Input, Network, Neuron
from lavadl_ref.netx import lava_support
from lavadl_ref.proof import Domain, prove
from lavadl_ref.verify import random_input, verify

USABLE, WHY = lava_support.available()
CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
RF = Neuron("RF_PHASE", {"sin_decay": 2000, "cos_decay": 3560, "threshold": 300})
CHANGES = Neuron("SDNN", {"activation": "relu", "threshold": 3})
STEPS = 12
TRIES = 0  #: no search for witnesses, which takes seconds where a sum grows without end; test_page has one


def dense(outputs, inputs, neuron, **more):
    rng = np.random.default_rng(outputs)
    return Dense(shape=(outputs,), weight=2 * rng.integers(-20, 50, (outputs, inputs)), neuron=neuron, **more)


NETWORKS = {
    "CUBA": Network((dense(4, 5, CUBA, delay=np.array([0, 2, 1, 0])), dense(3, 4, CUBA))),
    "RF_PHASE": Network((dense(4, 5, RF, weight_imag=np.full((4, 5), 6)), dense(2, 4, CUBA))),
    "SDNN": Network((dense(4, 5, CHANGES), dense(2, 4, CHANGES))),
}


class Made(dict):
    """Certificates of the networks, each made when it is first asked for."""

    def __missing__(self, name):
        self[name] = certify(NETWORKS[name], steps=STEPS, lava=False, seeds=(0, 7), tries=TRIES)
        return self[name]


@pytest.fixture(scope="module")
def certificates():
    return Made()


def plain(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_of_a_certificate_are_those_of_verify(certificates, name):
    for seed, entry in zip((0, 7), certificates[name].content["comparisons"], strict=True):
        report = verify(NETWORKS[name], steps=STEPS, seed=seed, lava=False)
        assert entry["input"]["told"] == report.random
        assert entry["input"]["seed"] == seed
        compared = {path: sum(r.paths[path].compared for r in report.layers) for path in entry["paths"]}
        assert {path: outcome["compared"] for path, outcome in entry["paths"].items()} == compared
        assert [layer["spikes"] for layer in entry["layers"]] == [result.spikes for result in report.layers]
        assert entry["skipped"].keys() == report.skipped.keys()
        assert entry["command"] == f"lavadl-ref verify network --steps {STEPS} --seed {seed} --no-lava"


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_of_a_certificate_are_those_of_prove(certificates, name):
    found = prove(NETWORKS[name], default_domain(NETWORKS[name]), tries=TRIES)
    told = dict(certificates[name].content["proof"])
    assert told.pop("command").startswith("lavadl-ref prove network --input ")
    assert told.pop("told") == str(found)
    assert told == plain(found.as_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_of_a_certificate_are_those_of_audit(certificates, name):
    found = plain(asdict(audit(NETWORKS[name], steps=STEPS, seed=0)))
    told = certificates[name].content["audit"]
    assert told["totals"] == found["totals"]
    assert told["outside"] == found["outside"]
    for ours, theirs in zip(told["layers"], found["layers"], strict=True):
        assert ours == {key: theirs[key] for key in ours}
        assert ours["head_room"]


def test_parameters_are_told_as_integers_in_units_and_on_the_chip(certificates):
    first = certificates["CUBA"].content["file"]["layers"][0]
    told = {entry["name"]: entry for entry in first["parameters"]}
    assert told["threshold"] == {
        "name": "threshold", "count": 1, "integers": [80, 80], "scale": 64, "chip": [5120, 5120]
    }  # fmt: skip
    assert (told["voltage_decay"]["integers"], told["voltage_decay"]["scale"]) == ([128, 128], 4096)
    weight = NETWORKS["CUBA"].layers[0].weight
    assert told["weight"]["integers"] == [weight.min(), weight.max()]
    assert told["delay"]["chip"] == [0, 2]


def test_the_same_inputs_give_the_same_content(certificates):
    again = certify(NETWORKS["CUBA"], steps=STEPS, lava=False, seeds=(0, 7), tries=TRIES).as_dict()
    first = certificates["CUBA"].as_dict()
    assert again.pop("made").keys() == first.pop("made").keys()
    assert again == first


def test_the_example_run_shows_a_bounded_sample():
    network = Network((dense(200, 3, CUBA),))
    found = certify(network, steps=300, slayer=False, lava=False)
    (layer,) = found.content["example"]["layers"]
    assert (layer["neurons"], len(layer["rows"]), len(layer["traces"])) == (200, 24, 3)
    assert [layer["rows"][index]["neuron"] for index in (0, -1)] == [0, 199]
    assert {len(trace["values"]) for trace in layer["traces"]} == {256}
    spikes = verify(network, steps=300, seed=0, slayer=False, lava=False).run.layers[0].spikes
    assert all(row["all"] == spikes[row["neuron"]].sum() for row in layer["rows"])
    assert "a sample of 24, evenly spaced, of 200 neurons" in found.html()
    assert not found.exact  # nothing was compared


def test_what_was_not_checked_is_said():
    told = "\n".join(certify(NETWORKS["CUBA"], steps=4, slayer=False, lava=False).content["not_checked"])
    assert "The chip itself" in told
    assert "slayer = reference: it was left out on request" in told
    assert "lava = reference: it was left out on request" in told


def test_inputs_beyond_the_domain_of_the_proof_are_named():
    network = NETWORKS["CUBA"]
    x = np.zeros((5, 6), int)
    x[0, 0] = 3
    found = certify(network, {"x.npy": x}, seeds=(), lava=False, slayer=False)
    assert any("leave its domain (binary): x.npy" in line for line in found.content["not_checked"])
    wide = certify(network, {"x.npy": x}, seeds=(), lava=False, slayer=False, domain=Domain("graded", 0, 3))
    assert not any("leave its domain" in line for line in wide.content["not_checked"])


def test_random_inputs_lie_in_the_domain_of_the_proof():
    driven = Network((Input(shape=(2,), neuron=CUBA),))
    for network in (driven, *NETWORKS.values()):
        x, domain = random_input(network, 200), default_domain(network)
        assert domain.low <= x.min() <= x.max() <= domain.high


def test_reasons_name_no_folder_of_the_machine():
    assert without_folders("see /usr/lib/x.so and 1/64 of a/b") == "see x.so and 1/64 of a/b"


@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_lava_is_compared_where_it_runs():
    found = certify(NETWORKS["CUBA"], steps=6, in_process=True)
    report = verify(NETWORKS["CUBA"], steps=6, in_process=True)
    (entry,) = found.content["comparisons"]
    assert entry["paths"]["lava"]["compared"] == sum(r.paths["lava"].compared for r in report.layers)
    assert entry["command"].endswith("--in-process")
    assert check(found, NETWORKS["CUBA"]).holds
    left = check(found, NETWORKS["CUBA"], lava=False)
    assert left.holds
    assert [claim.outcome for claim in left.claims if claim.name.startswith("lava")] == [LEFT_OUT]


# -- check ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_certificate_holds_for_its_file(certificates, name):
    checked = check(plain(certificates[name].as_dict()), NETWORKS[name])
    assert checked.holds, str(checked)
    assert {claim.outcome for claim in checked.claims} == {HOLDS}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_changed_weight_is_named(certificates, name):
    layers = list(NETWORKS[name].layers)
    weight = layers[1].weight.copy()
    weight[1, 2] += 2
    layers[1] = replace(layers[1], weight=weight)
    checked = check(certificates[name], Network(tuple(layers)))
    assert not checked.holds
    file = checked.claims[0]
    assert file.outcome == DIFFERS
    assert file.details[0].startswith("digest: was ")
    assert f"layer 1, weight: [1, 2] is {weight[1, 2]} now" in file.details


def test_another_threshold_is_named_with_both_values(certificates):
    other = Neuron("CUBA", {**CUBA.parameters, "threshold": 81})
    layers = (NETWORKS["CUBA"].layers[0], replace(NETWORKS["CUBA"].layers[1], neuron=other))
    details = check(certificates["CUBA"], Network(layers)).claims[0].details
    assert "layer 1, parameters, threshold, integers: was [80, 80], is [81, 81]" in details


def test_a_file_on_which_the_inputs_do_not_fit_is_another_one(certificates):
    found = certify(NETWORKS["CUBA"], {"x.npy": np.ones((5, 4), int)}, seeds=(), lava=False, slayer=False)
    checked = check(found, Network((dense(4, 9, CUBA),)), {"x.npy": np.ones((5, 4), int)})
    assert not checked.holds
    assert "cannot be repeated: input must have shape (9, T)" in str(checked)


def test_changes_of_many_numbers_are_told_by_their_lines():
    values = np.arange(12).reshape(3, 4)
    other = values.copy()
    other[1, 0] += 1
    other[2, 3] += 1
    told = changed(fingerprint("weight", values), fingerprint("weight", other), other)
    assert told == "numbers changed at these indices: axis 0: 1, 2; axis 1: 0, 3"
    assert changed(fingerprint("w", values), fingerprint("w", values.T), values.T) == "shape was [3, 4], is [4, 3]"


FORGED = [
    (("comparisons", 0, "paths", "slayer", "compared"), 10**6, "slayer = reference"),
    (("comparisons", 0, "paths", "slayer", "exact"), False, "slayer differs from the reference"),
    (("comparisons", 1, "layers", 0, "spikes"), 1, "the reference run"),
    (("comparisons", 0, "input", "digest"), "0" * 64, "the reference run"),
    (("proof", "layers", 0, "bounds", 0, "largest"), 1, "the proof"),
    (("audit", "layers", 1, "work", "events"), 0.5, "the audit"),
    (("example", "layers", 0, "traces", 0, "values", 3), -7, "the example run"),
    (("file", "digest"), "0" * 64, "the file"),
]


@pytest.mark.parametrize(("place", "value", "claim"), FORGED)
def test_a_number_that_was_altered_by_hand_does_not_hold(certificates, place, value, claim):
    content = plain(certificates["CUBA"].as_dict())
    assert altered(content, place, value) != value
    checked = check(content, NETWORKS["CUBA"])
    assert not checked.holds
    wrong = [found.name for found in checked.claims if found.outcome == DIFFERS]
    assert len(wrong) == 1
    assert wrong[0].startswith(claim)


def altered(content, place, value):
    """Set one place of plain values; what was there."""
    for key in place[:-1]:
        content = content[key]
    was, content[place[-1]] = content[place[-1]], value
    return was


def places(value, where=()):
    """All places of plain values, those of containers included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inside:
        yield (*where, key)
        yield from places(entry, (*where, key))


NESTED = json.loads("[" * 500 + "]" * 500)
#: Of a certificate, what is not compared: it is used, it depends on the machine, or it follows from the rest.
NO_CLAIMS = {"format", "version", "made", "settings", "not_checked"}


def test_every_place_of_a_certificate_is_compared_whatever_it_holds(certificates):
    now = certificates["SDNN"].content
    wanted = {"slayer": True, "lava": True}
    assert {claim.outcome for claim in claims(plain(now), now, NETWORKS["SDNN"], wanted)} == {HOLDS}
    junk = (None, 2**70, "\x1b[31m" + "x" * 10**5, [], {}, NESTED, [{"position": []}], {"layers": 3}, float("nan"))
    tried = 0
    for index, place in enumerate(places(now)):
        if place[0] in NO_CLAIMS or {"command", "skipped"} & set(place) or place == ("file", "name"):
            continue
        content = plain(now)
        value = junk[index % len(junk)]
        was = altered(content, place, value)
        if was == value:
            continue
        found = list(claims(content, now, NETWORKS["SDNN"], wanted))
        assert any(claim.outcome == DIFFERS for claim in found), (place, value)
        assert all(len(line) < 500 and line.isprintable() for claim in found for line in claim.details), place
        tried += 1
    assert tried > 300


def test_inputs_that_were_given_are_needed_again():
    x = np.ones((5, 4), int)
    found = certify(NETWORKS["CUBA"], {"x.npy": x}, seeds=(), lava=False)
    assert check(found, NETWORKS["CUBA"], {"x.npy": x}).holds
    with pytest.raises(ValueError, match=r"inputs must hold 'x.npy'"):
        check(found, NETWORKS["CUBA"])
    with pytest.raises(ValueError, match=r"inputs must be those of the certificate"):
        check(found, NETWORKS["CUBA"], {"x.npy": x, "y.npy": x})
    x[2, 2] = 0
    assert "digest: was" in str(check(found, NETWORKS["CUBA"], {"x.npy": x}))


# -- malformed reports ----------------------------------------------------------------------------

MALFORMED = [
    (("format",), "other", "report must be a certificate"),
    (("version",), 2, "report must be of version 1, got 2"),
    (("version",), True, "report must be of version 1"),
    (("settings",), 3, "settings must be an object with domain, inputs, steps"),
    (("settings", "megabytes"), 10**9, "settings must be an object with"),
    (("settings", "seeds"), list(range(65)), "seeds must be a list of at most 64"),
    (("settings", "seeds"), [], "inputs and seeds must be at least one together"),
    (("settings", "seeds"), [[[]]], "seed must be an integer, got list"),
    (("settings", "seeds"), [-1], "seed must be in 0..9223372036854775807, got -1"),
    (("settings", "inputs"), [None], "names of inputs must be texts, got None"),
    (("settings", "steps"), "12", "steps must be an integer, got '12'"),
    (("settings", "steps"), True, "steps must be an integer"),
    (("settings", "steps"), 2**31, "steps must be in 1..2147483647"),
    (("settings", "reset_offset"), None, "reset_offset must be an integer"),
    (("settings", "tries"), 10**9, "tries must be in 0..65536"),
    (("settings", "lava"), 1, "lava must be True or False, got 1"),
    (("settings", "domain"), "binary", "domain must be an object with kind, low, high"),
    (("settings", "domain"), {"kind": [], "low": 0, "high": 1}, "kind of a domain must be a text, got list"),
    (("settings", "domain"), {"kind": "all", "low": 0, "high": 1}, "kind of a domain must be one of"),
    (("file",), [], "name of the file must be a text"),
    (("file", "name"), "x" * 256, "name of the file must be a text of at most 255 characters"),
]


@pytest.mark.parametrize(("place", "value", "said"), MALFORMED)
def test_a_malformed_report_is_refused_in_one_line(certificates, place, value, said):
    content = plain(certificates["CUBA"].as_dict())
    holder = content[place[0]] if len(place) == 2 else content
    holder[place[-1]] = value
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared below
        check(content, NETWORKS["CUBA"])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_a_report_of_another_type_is_refused():
    with pytest.raises(TypeError, match="report must be a Certificate, a mapping or a path, got 3"):
        check(3, NETWORKS["CUBA"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a certificate in JSON"),
        ("[" * 100_000, "must be a certificate in JSON"),
        ("[1, 2]", "must be a certificate, a JSON object with the format"),
        ('{"format": NaN}', "must be a certificate in JSON"),
        ('{"format": 1e999}', "must be a certificate in JSON"),
        (" " * (2**24 + 1), "of at most 16,777,216 bytes"),
    ],
    ids=["empty", "deep", "a list", "NaN", "infinite", "large"],
)
def test_a_file_that_is_no_certificate_is_refused(tmp_path, text, said):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^.*report\.json must be ") as caught:
        check(path, NETWORKS["CUBA"])
    assert said in str(caught.value)


# -- the command ----------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["certify", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    exchange.write(tmp_path / "small.net", NETWORKS["CUBA"])
    return tmp_path / "small.net"


def test_the_command_writes_a_page_and_json_and_checks_them(file, tmp_path):
    page, report = tmp_path / "report.html", tmp_path / "report.json"
    done = run(file, "-o", page, "-o", report, "--steps", 9, "--seed", 5, "--no-lava")
    assert done.exit_code == 0, done.stderr
    assert "slayer = reference on random spikes, rate 0.2, seed 5, 9 steps (63 integers)" in done.stdout
    content = json.loads(report.read_text())
    assert content["file"]["name"] == "small.net"
    assert content["file"]["digest"] in page.read_text()
    assert str(tmp_path) not in report.read_text() + page.read_text()
    checked = run("--check", report, file)
    assert (checked.exit_code, checked.stdout.splitlines()[-1]) == (0, "the certificate holds"), checked.stderr
    layers = NETWORKS["CUBA"].layers
    weight = layers[0].weight.copy()
    weight[3, 4] -= 2
    exchange.write(file, Network((replace(layers[0], weight=weight), *layers[1:])))
    checked = run("--check", report, file)
    assert checked.exit_code == cli.DIFFERENT
    assert f"layer 0, weight: [3, 4] is {weight[3, 4]} now" in checked.stdout
    report.write_text(report.read_text()[:-20])
    assert run("--check", report, file).exit_code == cli.BAD_INPUT


def test_inputs_of_the_command_go_by_their_names(file, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 7), int))
    done = run(file, "--json", "--input", tmp_path / "x.npy", "--no-lava", "--no-slayer")
    assert done.exit_code == cli.DIFFERENT  # nothing was compared
    first = json.loads(done.stdout)["comparisons"][0]
    assert first["input"]["name"] == "x.npy"
    assert first["command"] == "lavadl-ref verify small.net --input x.npy --steps 7 --no-slayer --no-lava"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "certify must have -o FILE, --json or --check FILE.json, got none of them"),
        (("-o", "r.html", "--domain", "graded", 1), "--domain graded must have two integers, LO HI, after it, got 1"),
        (("-o", "r.html", 0, 3), "a range of the proof needs --domain"),
        (("-o", "r.html", "--reset-offset", 1), "--reset-offset needs --reset-interval, got it alone"),
        (("-o", "r.pdf"), "-o must be a file whose name ends in .html or .json, got r.pdf"),
        (("-o", "nowhere/r.html"), "there is no such folder"),
        (("--check", "r.json", "--steps", 3), "--check takes all settings from the certificate, got --steps too"),
        (("--check", "r.json"), "there is no such file; expected a certificate"),
        (("-o", "r.html", "--input", "a/x.npy", "--input", "b/x.npy"), "--input must have files of different names"),
    ],
)
def test_bad_arguments_of_certify_are_refused(file, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run(file, *arguments)
    assert result.exit_code == cli.BAD_INPUT
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == [file]
