"""Every tutorial runs in small, ends exact, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import ast
import errno
import importlib
import io
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

import torch
from matplotlib import pyplot

from lavadl_ref import reference
from lavadl_ref.netx import lava_support
from tests import PATIENCE

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
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
needs_lava = pytest.mark.skipif(not USABLE, reason=WHY)


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(name, *arguments)`` runs a tutorial here: its globals, and what it printed."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("COLUMNS", "100")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def job(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        found = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        assert pyplot.get_fignums() == []  # outside a notebook, no figure stays open
        return found, capsys.readouterr().out

    yield job
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def assert_all_speak(trained, deployed):
    """No layer but one that is read out is silent."""
    *hidden, last = deployed.layers
    assert [result.position for result in hidden if not result.spikes] == []
    *hidden, last = trained.layers
    assert [result.position for result in hidden if not result.spikes] == []
    # what is compared of a layer that is read out is no spikes, but their sums
    assert last.spikes or last.layer.neuron is None or last.paths["slayer"].compared


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("tutorials")


@pytest.mark.parametrize("name", TRAINED)
def test_a_tutorial_trains_and_is_exact(run, out, name):
    found, said = run(name, "--small", "--out", out / name)
    trained, deployed = found["trained"], found["deployed"]
    assert trained.exact
    assert deployed.exact
    paths = {path for result in deployed.layers for path in result.paths}
    assert paths == ({"slayer", "lava"} if USABLE else {"slayer"})
    assert f"{trained.compared + deployed.compared:,}, all equal" in said
    assert len(found["stats"].testing.loss_log) == found["asked"].epochs
    assert_all_speak(trained, deployed)
    for file in (TRAINED[name], "loss.png"):
        assert (found["asked"].out / file).read_bytes().startswith(b"\x89PNG")
    for file in (f"{name}.net", "loss.txt", "checkpoint.pt"):
        assert (found["asked"].out / file).is_file()


@pytest.mark.parametrize("family", ["alif", "rf_iz", "sigma_delta"])
def test_the_bootstrap_tutorial_takes_other_neurons(run, out, family):
    found, said = run("mnist_bootstrap", "--small", "--family", family, "--out", out / "rates")
    assert found["trained"].exact
    assert found["deployed"].exact
    assert_all_speak(found["trained"], found["deployed"])
    assert f"test accuracy, spikes │ {found['spiking']:.6g}" in " ".join(said.split())
    assert (out / "rates" / family / "mnist_bootstrap.net").is_file()


def test_the_regression_tutorial_learns(run, out):
    found, said = run("xor_regression", "--small", "--out", out / "xor")
    assert found["right"] == 1
    assert "answered right" in said
    found, _ = run("oxford", "--small", "--epochs", 12, "--out", out / "learnt")
    losses = found["stats"].testing.loss_log
    assert losses[-1] < 0.5 * losses[0]


def test_the_tutorial_on_dynamics_shows_every_family(run, out):
    found, said = run("neuron_dynamics", "--small", "--out", out / "dynamics")
    assert len(found["seen"]) == 7
    assert (out / "dynamics" / "neurons.png").read_bytes().startswith(b"\x89PNG")
    for name, (_, sent, _) in found["seen"].items():
        assert sent.count_nonzero() > 0, name
        assert name in said


def test_the_tutorial_on_rules_compares_them(run, out):
    found, said = run("online_digits", "--small", "--seeds", 2, "--out", out / "rules")
    assert found["compared"].exact
    assert found["deployed"].exact
    assert_all_speak(found["compared"], found["deployed"])
    for way in found["ways"]:
        assert way in said
        assert [len(values) for values in found["accuracy"][way]] == [found["asked"].epochs] * 2
    assert (out / "rules" / "rules.png").read_bytes().startswith(b"\x89PNG")


def test_the_tutorial_on_rules_goes_on_after_its_end(run, tmp_path):
    whole, _ = run("online_digits", "--small", "--epochs", 2, "--out", tmp_path / "whole")
    run("online_digits", "--small", "--epochs", 1, "--out", tmp_path / "parts")
    parts, _ = run("online_digits", "--small", "--epochs", 2, "--out", tmp_path / "parts", "--resume")
    assert parts["accuracy"] == whole["accuracy"]
    files = [found["asked"].path.read_bytes() for found in (whole, parts)]
    assert files[0] == files[1]


@needs_lava
def test_the_tutorial_on_drift_changes_only_the_learning_network(run, out):
    found, said = run("online_drift", "--small", "--out", out / "drift")
    assert "goes on learning: turned test digits" in said
    first = found["deployed"].net.net.state_dict()
    for way, learns in found["ways"].items():
        after = found["after"][way].net.state_dict()
        assert all(torch.equal(first[key], after[key]) for key in first) != learns
    assert (out / "drift" / "drift.png").read_bytes().startswith(b"\x89PNG")


@needs_lava
@pytest.mark.parametrize(
    ("name", "maker", "family"),
    [
        ("netx_oxford", "oxford", ""),
        ("netx_pilotnet_sdnn", "pilotnet_sdnn", ""),
        ("netx_pilotnet_lif", "pilotnet_lif", ""),
        ("netx_mnist", "mnist_bootstrap", "cuba"),
    ],
)
def test_the_tutorials_on_inference_are_exact(run, out, name, maker, family):
    net = out / maker / family / f"{maker}.net"
    if not net.is_file():
        run(maker, "--small", "--out", out / maker)
    found, said = run(name, "--small", "--out", out / name)
    assert found["asked"].net == net
    assert "True" in said
    assert "Lava processes" in said
    assert list((out / name).glob("*.png"))


def test_digits_in_a_stream_are_classified_as_one_by_one(run, out):
    if not USABLE:
        pytest.skip(WHY)
    trained, _ = run("mnist_bootstrap", "--small", "--out", out / "rates")
    found, _ = run("netx_mnist", "--small", "--net", trained["asked"].path, "--out", out / "netx_mnist")
    alone = reference.Network(found["network"])  # without resets
    one_by_one = [
        found["answers"](alone.run(found["stream"](found["numbers"][i : i + 1])).output).item()
        for i in range(len(found["numbers"]))
    ]
    assert one_by_one == [answer.item() for part in found["said"] for answer in part]
    assert len(set(one_by_one)) > 1


@needs_lava
def test_a_recording_is_reproduced(run, out, data):
    if not (data / "pilotnet_lif" / "network.net").is_file():
        pytest.skip(f"no pilotnet_lif in {data}")
    _, said = run("netx_pilotnet_lif", "--small", "--out", out / "recorded", "--data", data / "pilotnet_lif")
    assert said.count(" 0 differ") == 9


@pytest.mark.parametrize("name", ["netx_oxford", "netx_pilotnet_lif", "netx_mnist"])
def test_inference_says_what_makes_its_network(run, tmp_path, name):
    maker = {"netx_mnist": "mnist_bootstrap"}.get(name, name.removeprefix("netx_"))
    with pytest.raises(SystemExit, match=rf"docs/tutorials/{maker}\.py makes it; --net names"):
        run(name, "--small", "--out", tmp_path / name)


def test_the_oxford_tutorial_takes_the_real_data(run, out, data):
    if not (data / "oxford").is_dir():
        pytest.skip(f"no oxford in {data}")
    found, _ = run("oxford", "--small", "--epochs", 3, "--out", out / "given", "--data", data / "oxford")
    assert int(found["target"].sum()) == 10361


# -- going on --------------------------------------------------------------------------------------------------------


def same(one, other):
    """Assert that two runs have the same log, random generators, network and file."""
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
def test_more_epochs_may_follow_the_end(run, tmp_path, name, epochs):
    whole, _ = run(name, "--small", "--epochs", epochs, "--out", tmp_path / "whole")
    run(name, "--small", "--epochs", epochs // 2, "--out", tmp_path / "parts")
    parts, _ = run(name, "--small", "--epochs", epochs, "--out", tmp_path / "parts", "--resume")
    assert len(parts["stats"].testing.loss_log) == epochs
    same(whole, parts)


@contextmanager
def interrupting(monkeypatch, at):
    """Raise KeyboardInterrupt in the middle of training step `at`, counted from 0."""
    from lavadl_ref import slayer

    train, done = slayer.utils.Assistant.train, []

    def broken(self, *batch):
        found = train(self, *batch)  # the network has been changed, and the checkpoint must not be
        if len(done) == at:
            raise KeyboardInterrupt
        done.append(0)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(slayer.utils.Assistant, "train", broken)
        yield


@pytest.mark.parametrize("at", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["nmnist", "mnist_bootstrap", "pilotnet_sdnn"])
def test_a_tutorial_goes_on_after_an_interruption_within_an_epoch(run, tmp_path, monkeypatch, capsys, name, at):
    """The interruption comes in the middle of a step, before any checkpoint was due."""
    settings = "--small", "--epochs", 2 if name != "pilotnet_sdnn" else 4
    whole, _ = run(name, *settings, "--out", tmp_path / "whole")
    with interrupting(monkeypatch, at), pytest.raises(SystemExit) as ended:
        run(name, *settings, "--out", tmp_path / "parts")
    assert ended.value.code == 130
    state = torch.load(next((tmp_path / "parts").rglob("checkpoint.pt")), weights_only=True)
    steps = 2 if name != "pilotnet_sdnn" else 1
    # at the end of an epoch what is left to be done of it is its test
    assert state["epoch"] * steps + -(-state["place"] // 32) == at
    said = capsys.readouterr().err
    step = -(-state["place"] // 32)
    assert said == f"interrupted after epoch {state['epoch']}, step {step}; --resume goes on\n"
    torch.rand(7)
    parts, _ = run(name, *settings, "--out", tmp_path / "parts", "--resume")
    same(whole, parts)


def test_a_tutorial_goes_on_after_an_interruption_in_its_test(run, tmp_path, monkeypatch):
    from lavadl_ref import slayer

    settings = "--small", "--epochs", 2
    whole, _ = run("nmnist", *settings, "--out", tmp_path / "whole")
    test, done = slayer.utils.Assistant.test, []

    def broken(self, *batch):
        done.append(test(self, *batch))
        if len(done) == 3:  # of two batches an epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(slayer.utils.Assistant, "test", broken)
        with pytest.raises(SystemExit):
            run("nmnist", *settings, "--out", tmp_path / "parts")
    parts, _ = run("nmnist", *settings, "--out", tmp_path / "parts", "--resume")
    same(whole, parts)


def test_a_full_disk_keeps_the_checkpoint_before(run, tmp_path, monkeypatch):
    from lavadl_ref.exchange import atomic

    settings = "xor_regression", "--small", "--out", tmp_path
    run(*settings, "--epochs", 2)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; the checkpoint before.* is kept: '.*checkpoint.pt'$"):
        run(*settings, "--epochs", 4, "--resume")
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "must be a checkpoint, got a file that cannot be read"),
        (lambda content: content[: len(content) // 2], "must be a checkpoint, got a file that cannot be read"),
        (lambda content: b"x" * 1000, "must be a checkpoint, got a file that cannot be read"),
        (lambda content: saved({"a": torch.zeros(3)}), "must be a checkpoint of a training, got something else"),
        (lambda content: saved([1]), "must be a checkpoint of a training, got something else"),
        (lambda content: saved(object()), "must be a checkpoint, got a file that cannot be read"),
        (lambda content: changed(content, net={"x": torch.zeros(1)}), "must fit this training"),
        (lambda content: changed(content, random=3), "must fit this training"),
        (lambda content: changed(content, stats=3), "must be a checkpoint of a training"),
    ],
)  # fmt: skip
def test_a_bad_checkpoint_is_refused_in_one_line(run, tmp_path, damage, message):
    run("xor_regression", "--small", "--epochs", 1, "--out", tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"checkpoint.pt {message}") as refused:
        run("xor_regression", "--small", "--epochs", 2, "--out", tmp_path, "--resume")
    assert "\n" not in str(refused.value)


def saved(value):
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


def changed(content, **values):
    return saved(torch.load(io.BytesIO(content), weights_only=True) | values)


# -- what is silent shows nothing ------------------------------------------------------------------------------------


def test_a_silent_network_proves_nothing(run, tmp_path, monkeypatch):
    from lavadl_ref import slayer

    dense = slayer.block.cuba.Dense

    def deaf(neuron, *sizes, **options):
        return dense({**neuron, "threshold": 1000}, *sizes, **options)

    with monkeypatch.context() as patch:
        patch.setattr(slayer.block.cuba, "Dense", deaf)
        with pytest.raises(SystemExit, match=r"^layers 0 and 1 sent nothing: that all paths agree there shows nothing"):
            run("oxford", "--small", "--epochs", 1, "--out", tmp_path / "oxford")
        if USABLE:
            with pytest.raises(SystemExit, match=r"^layers 0 and 1 sent nothing"):
                run("netx_oxford", "--small", "--out", tmp_path / "netx_oxford")


@pytest.mark.usefixtures("run")
def test_what_is_read_out_is_not_silent(tmp_path):
    from lavadl_ref import slayer

    common = importlib.import_module("_common")
    asked = common.Options("x", None, 1, 0, tmp_path, False, True, tmp_path)
    torch.manual_seed(0)
    neuron = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1}
    blocks = [slayer.block.cuba.Dense(neuron, 4, 8), slayer.block.cuba.Affine(neuron, 8, 1, dynamics=False)]
    x = (torch.rand(2, 4, 20) < 0.5).float()
    common.compare(asked, blocks, x, x[0].numpy().astype(int))
    x[0] = 0  # what is deployed is silent, and what is compared as trained is not
    with pytest.raises(SystemExit, match=r"^layer 0 sent nothing"):
        common.compare(asked, blocks, x, x[0].numpy().astype(int))
    torch.nn.init.zeros_(blocks[1].synapse.weight)
    with pytest.raises(SystemExit, match=r"^layers 0 and 1 sent nothing"):
        common.compare(asked, blocks, x, x[0].numpy().astype(int))


# -- ends in one line ------------------------------------------------------------------------------------------------

#: A tutorial that writes its checkpoint at each step, so that one sees from outside that it trains.
OFTEN = """
import runpy, sys
sys.path.insert(0, {folder!r})
import _interrupted
from lavadl_ref.slayer.utils import checkpoint
checkpoint.SAVE_EVERY = 0
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
"""


def started(folder, *command):
    """A program of Python's in a folder of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("name", ["xor_regression", "object_detection"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_in_one_line_and_with_a_checkpoint(tmp_path, number, name):
    code = OFTEN.format(folder=str(FOLDER), script=str(FOLDER / f"{name}.py"))
    process = started(tmp_path, "-c", code, "--small", "--epochs", 10**6, "--out", "out")
    path = tmp_path / "out" / "checkpoint.pt"
    while not path.is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    process.send_signal(number)  # once is as good as twice
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, said
    lines = [line for line in said.splitlines() if "compiling" not in line]
    assert len(lines) == 1, said
    assert re.fullmatch(r"interrupted after epoch \d+, step \d+; --resume goes on", lines[0])
    assert "net" in torch.load(path, weights_only=True)
    assert sorted(file.name for file in path.parent.iterdir()) == ["checkpoint.pt"]


def test_a_signal_during_an_import_ends_in_one_line(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import _interrupted, time; print('in', flush=True); "
    process = started(tmp_path, "-c", code + "time.sleep(3600)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[1] == "interrupted\n"
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import no_such_module",
            r"No module named 'no_such_module': pip install 'lavadl-ref\[pictures\]' installs .*",
        ),
        (
            "from lavadl_ref import datasets; datasets.Oxford('nowhere')",
            "nowhere: there is no such folder; expected .*",
        ),
        ("from lavadl_ref import datasets; datasets.XOR(0)", "steps of XOR must be at least 1, got 0"),
        ("open('nowhere/x', 'w')", "nowhere/x: No such file or directory"),
    ],
)
def test_what_the_user_can_mend_ends_in_one_line(tmp_path, code, message):
    process = started(tmp_path, "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import _interrupted; {code}")
    said = process.communicate(timeout=PATIENCE)[1]
    assert re.fullmatch(message + "\n", said)
    assert process.returncode == 1


def test_other_errors_show_where_they_come_from(tmp_path):
    process = started(tmp_path, "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import _interrupted; int('x')")
    assert "Traceback" in process.communicate(timeout=PATIENCE)[1]


@pytest.mark.parametrize("name", ["oxford", "nmnist", "mnist_bootstrap", "pilotnet_sdnn", "pilotnet_lif"])
def test_a_folder_without_data_is_named_in_one_line(tmp_path, name):
    process = started(tmp_path, FOLDER / f"{name}.py", "--small", "--data", "nowhere")
    said = process.communicate(timeout=PATIENCE)[1]
    assert re.fullmatch(rf"{name}.py:\d+: nowhere: there is no such folder; expected .*\n", said)
    assert process.returncode == 1


def test_the_detection_tutorial_without_data_ends_in_one_line(tmp_path):
    process = started(tmp_path, FOLDER / "object_detection.py", "--small", "--data", "nowhere")
    said = process.communicate(timeout=PATIENCE)[1]
    assert re.fullmatch(r"object_detection.py:\d+: there is no folder nowhere/labels.*\n", said)


@pytest.mark.parametrize("script", sorted(FOLDER.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_signals_are_taken_before_anything_large_is_imported(script):
    imported = [
        (node.names[0].name if isinstance(node, ast.Import) else node.module).partition(".")[0]
        for node in ast.parse(script.read_text()).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    others = [name for name in imported if name not in sys.stdlib_module_names]
    assert others[0] == "_interrupted"


# -- the learning rate, settings, seeds ------------------------------------------------------------------------------


@pytest.mark.usefixtures("run")  # which makes the helpers importable
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_the_learning_rate_falls_once(tmp_path, stop):
    from lavadl_ref import datasets, slayer

    common = importlib.import_module("_common")

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
        common.fit(asked, assistant, data, data, batch=2, slower=(2,))
        return optimizer.param_groups[0]["lr"]

    assert rate(tmp_path / "one", stop) == pytest.approx(1 if stop < 3 else 0.3)
    assert rate(tmp_path / "one", 4, resume=True) == rate(tmp_path / "whole", 4) == pytest.approx(0.3)


def test_resuming_needs_a_checkpoint_of_the_same_settings(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file, and so nothing to resume"):
        run("xor_regression", "--small", "--epochs", 1, "--out", tmp_path, "--resume")
    run("xor_regression", "--small", "--epochs", 1, "--out", tmp_path)
    with pytest.raises(ValueError, match=r"must have the settings .*, got other settings"):
        run("xor_regression", "--small", "--epochs", 2, "--seed", 1, "--out", tmp_path, "--resume")


def test_a_script_closes_its_figures_where_ipykernel_is_imported(run, tmp_path, monkeypatch):
    pytest.importorskip("ipykernel", reason="needs the extra docs")
    for name in ("_interrupted", "_common"):  # which look once for a notebook, when they are imported
        monkeypatch.delitem(sys.modules, name, raising=False)
    run("neuron_dynamics", "--small", "--out", tmp_path)


def test_another_seed_of_a_tutorial_gives_another_network(run, tmp_path):
    files = [
        run("xor_regression", "--small", "--epochs", 2, "--seed", seed, "--out", tmp_path / str(seed))[0]["asked"].path
        for seed in (1, 2)
    ]
    assert files[0].read_bytes() != files[1].read_bytes()


# -- pages -----------------------------------------------------------------------------------------------------------


def test_all_tutorials_are_listed():
    index = (FOLDER / "README.md").read_text()
    names = {path.stem for path in FOLDER.glob("[a-z]*.py")}
    assert set(re.findall(r"^\| \[(\w+)\]\(\1\.py\)", index, re.MULTILINE)) == names
    assert set(re.findall(r"^### (.*)", index, re.MULTILINE)) <= names  # each is shown on the page of its tutorial
