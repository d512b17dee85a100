"""Every tutorial runs in small, ends exact, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from lavadl_ref.netx import lava_support

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
USABLE, WHY = lava_support.available()
TRAINED = {
    "oxford": "trains.png",
    "nmnist": "recording.png",
    "xor_regression": "answers.png",
    "pilotnet_sdnn": "angles.png",
    "pilotnet_lif": "angles.png",
    "mnist_bootstrap": "rates.png",
}
needs_lava = pytest.mark.skipif(not USABLE, reason=WHY)


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(name, *arguments)`` runs a tutorial here: its globals, and what it printed."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("COLUMNS", "100")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def job(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        found = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return found, capsys.readouterr().out

    yield job
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("tutorials")


@pytest.mark.parametrize("name", TRAINED)
def test_trains_and_is_exact(run, out, name):
    found, said = run(name, "--small", "--out", out / name)
    trained, deployed = found["trained"], found["deployed"]
    assert trained.exact
    assert deployed.exact
    paths = {path for result in deployed.layers for path in result.paths}
    assert paths == ({"slayer", "lava"} if USABLE else {"slayer"})
    assert f"{trained.compared + deployed.compared:,}, all equal" in said
    assert len(found["stats"].testing.loss_log) == found["asked"].epochs
    for file in (TRAINED[name], "loss.png"):
        assert (found["asked"].out / file).read_bytes().startswith(b"\x89PNG")
    for file in (f"{name}.net", "loss.txt", "checkpoint.pt"):
        assert (found["asked"].out / file).is_file()


@pytest.mark.parametrize("family", ["alif", "rf_iz", "sigma_delta"])
def test_rates_of_other_neurons(run, out, family):
    found, said = run("mnist_bootstrap", "--small", "--family", family, "--out", out / "rates")
    assert found["trained"].exact
    assert found["deployed"].exact
    assert f"test accuracy, spikes │ {found['spiking']:.6g}" in " ".join(said.split())
    assert (out / "rates" / family / "mnist_bootstrap.net").is_file()


def test_regressions_learn(run, out):
    found, said = run("xor_regression", "--small", "--out", out / "xor")
    assert found["right"] == 1
    assert "answered right" in said
    found, _ = run("oxford", "--small", "--epochs", 12, "--out", out / "learnt")
    losses = found["stats"].testing.loss_log
    assert losses[-1] < 0.5 * losses[0]


def test_neuron_dynamics(run, out):
    found, said = run("neuron_dynamics", "--small", "--out", out / "dynamics")
    assert len(found["seen"]) == 7
    assert (out / "dynamics" / "neurons.png").read_bytes().startswith(b"\x89PNG")
    for name, (_, sent, _) in found["seen"].items():
        assert sent.count_nonzero() > 0, name
        assert name in said


@needs_lava
@pytest.mark.parametrize("name", ["oxford", "pilotnet_sdnn", "pilotnet_lif"])
def test_inference(run, out, name):
    net = out / name / f"{name}.net"
    if not net.is_file():
        run(name, "--small", "--out", out / name)
    found, said = run(f"netx_{name}", "--small", "--out", out / f"netx_{name}")
    assert found["asked"].net == net
    assert "True" in said
    assert "Lava processes" in said
    assert list((out / f"netx_{name}").glob("*.png"))


@needs_lava
def test_a_recording_is_reproduced(run, out, data):
    if not (data / "pilotnet_lif" / "network.net").is_file():
        pytest.skip(f"no pilotnet_lif in {data}")
    _, said = run("netx_pilotnet_lif", "--small", "--out", out / "recorded", "--data", data / "pilotnet_lif")
    assert said.count(" 0 differ") == 9


@pytest.mark.parametrize("name", ["netx_oxford", "netx_pilotnet_lif"])
def test_inference_says_what_makes_its_network(run, tmp_path, name):
    with pytest.raises(SystemExit, match=rf"docs/tutorials/{name.removeprefix('netx_')}\.py makes it; --net names"):
        run(name, "--small", "--out", tmp_path / name)


def test_the_oxford_data(run, out, data):
    if not (data / "oxford").is_dir():
        pytest.skip(f"no oxford in {data}")
    found, _ = run("oxford", "--small", "--epochs", 3, "--out", out / "given", "--data", data / "oxford")
    assert int(found["target"].sum()) == 10361


# -- going on --------------------------------------------------------------------------------------------------------


def same(one, other):
    """Whether two runs have the same log, random generators, network and file."""
    logs = [found["stats"].training.loss_log + found["stats"].testing.loss_log for found in (one, other)]
    assert logs[0] == logs[1]
    states = [torch.load(found["asked"].out / "checkpoint.pt", weights_only=True) for found in (one, other)]
    for key in ("epoch", "place", "stats"):
        assert states[0][key] == states[1][key], key
    for key in ("net", "best"):
        for name, value in states[0][key].items():
            assert torch.equal(value, states[1][key][name]), name
    for which, moments in states[0]["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, states[1]["optimizer"]["state"][which][name]), name
    assert torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])
    files = [found["asked"].path.read_bytes() for found in (one, other)]
    assert files[0] == files[1]


@pytest.mark.parametrize(("name", "epochs"), [("oxford", 6), ("nmnist", 3), ("pilotnet_sdnn", 3)])
def test_more_epochs_after_the_end(run, tmp_path, name, epochs):
    whole, _ = run(name, "--small", "--epochs", epochs, "--out", tmp_path / "whole")
    run(name, "--small", "--epochs", epochs // 2, "--out", tmp_path / "parts")
    parts, _ = run(name, "--small", "--epochs", epochs, "--out", tmp_path / "parts", "--resume")
    assert len(parts["stats"].testing.loss_log) == epochs
    same(whole, parts)


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("name", ["nmnist", "mnist_bootstrap"])
def test_interrupted_within_an_epoch(run, tmp_path, monkeypatch, name, after):
    """Two batches an epoch; the interruption comes at batch `after`, counted from 0."""
    from lavadl_ref import slayer

    settings = "--small", "--epochs", 2
    whole, _ = run(name, *settings, "--out", tmp_path / "whole")
    train, done = slayer.utils.Assistant.train, []

    def broken(self, *batch):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(0)
        return train(self, *batch)

    monkeypatch.setattr(importlib.import_module("_training"), "SAVE_EVERY", 0)
    with monkeypatch.context() as patch:
        patch.setattr(slayer.utils.Assistant, "train", broken)
        with pytest.raises(KeyboardInterrupt):
            run(name, *settings, "--out", tmp_path / "parts")
    state = torch.load(next((tmp_path / "parts").rglob("checkpoint.pt")), weights_only=True)
    assert (state["epoch"], state["place"]) == (after // 2, 32)
    torch.rand(7)
    parts, _ = run(name, *settings, "--out", tmp_path / "parts", "--resume")
    same(whole, parts)


@pytest.mark.usefixtures("run")  # which makes the helpers importable
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_the_learning_rate_falls_once(tmp_path, stop):
    from lavadl_ref import datasets, slayer

    common, training = (importlib.import_module(name) for name in ("_common", "_training"))

    def rate(folder, epochs, resume=False):
        folder.mkdir(exist_ok=True)
        asked = common.Options("xor", None, epochs, 0, folder, resume, True, folder)
        torch.manual_seed(0)
        neuron = {"threshold": 0.1, "current_decay": 0.9, "voltage_decay": 0.9}
        net = torch.nn.Sequential(slayer.block.cuba.Affine(neuron, 2, 1, dynamics=False))
        optimizer = torch.optim.Adam(net.parameters(), lr=1)
        assistant = slayer.utils.Assistant(
            net, lambda y, target: (y[..., -1] - target).square().mean(), optimizer, slayer.utils.LearningStats()
        )
        data = datasets.XOR(2)
        training.Training(asked, assistant, data, data, batch=2, prepare=tuple, slower=(2,)).run()
        return optimizer.param_groups[0]["lr"]

    assert rate(tmp_path / "one", stop) == pytest.approx(1 if stop < 3 else 0.3)
    assert rate(tmp_path / "one", 4, resume=True) == rate(tmp_path / "whole", 4) == pytest.approx(0.3)


def test_resuming_needs_a_checkpoint_of_the_same_settings(run, tmp_path):
    with pytest.raises(SystemExit, match="there is no such file, and so nothing to resume"):
        run("xor_regression", "--small", "--epochs", 1, "--out", tmp_path, "--resume")
    run("xor_regression", "--small", "--epochs", 1, "--out", tmp_path)
    with pytest.raises(SystemExit, match="is of other settings"):
        run("xor_regression", "--small", "--epochs", 2, "--seed", 1, "--out", tmp_path, "--resume")


def test_another_seed_gives_another_network(run, tmp_path):
    files = [
        run("xor_regression", "--small", "--epochs", 2, "--seed", seed, "--out", tmp_path / str(seed))[0]["asked"].path
        for seed in (1, 2)
    ]
    assert files[0].read_bytes() != files[1].read_bytes()


# -- pages -----------------------------------------------------------------------------------------------------------

PAGES = runpy.run_path(str(FOLDER / "_pages.py"))
SCRIPTS = PAGES["scripts"]()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_pages_are_up_to_date(script):
    assert script.with_suffix(".md").read_text() == PAGES["page"](script), "make docs writes the pages anew"


def test_all_tutorials_are_listed():
    index = (FOLDER / "README.md").read_text()
    assert [path.stem for path in SCRIPTS if f"[{path.stem}]({path.stem}.md)" not in index] == []
