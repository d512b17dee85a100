"""The training script runs, goes on from its checkpoint, and all paths agree."""

import importlib.util
import json
import signal
import sys
from pathlib import Path

import pytest
import torch

from lavadl_ref import exchange

pytest.importorskip("PIL.Image")

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "tutorials" / "object_detection.py"


@pytest.fixture(scope="module")
def tutorial():
    spec = importlib.util.spec_from_file_location("object_detection_tutorial", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook = sys.excepthook
    sys.path.insert(0, str(SCRIPT.parent))
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    sys.path.remove(str(SCRIPT.parent))
    sys.excepthook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_detection_tutorial_trains_and_goes_on(tutorial, tmp_path, capsys):
    common = ["--small", "--out", str(tmp_path), "--seed", "3"]
    assert tutorial.main([*common, "--epochs", "1"]) == 0
    first = json.loads((tmp_path / "history.json").read_text())
    assert len(first) == 1
    assert tutorial.main([*common, "--epochs", "2", "--resume"]) == 0
    history = json.loads((tmp_path / "history.json").read_text())
    assert history[:1] == first
    assert history[1]["loss"] < history[0]["loss"]
    said = capsys.readouterr().out
    assert "slayer and the reference: equal in every message" in said
    for file in ("detections.png", "detections.gif", "training.png", "checkpoint.pt"):
        assert (tmp_path / file).stat().st_size > 1000
    assert len(exchange.read(tmp_path / "yolo_kp.net").layers) == 11


def run(tutorial, out, epochs=2, resume=False):
    """A training of two steps an epoch, without its export."""
    recipe = tutorial.replace(tutorial.SMALL, epochs=2, clips=16)
    out.mkdir(exist_ok=True)
    training = tutorial.Training.of(recipe, None, 0, out)
    if resume:
        training.resume()
    tutorial.train(training, epochs)
    return training


def same(one, other):
    """Assert that two trainings have reached the same step with the same network, bit by bit."""
    assert [epoch["loss"] for epoch in one.history] == [epoch["loss"] for epoch in other.history]
    assert [epoch["ap"] for epoch in one.history] == [epoch["ap"] for epoch in other.history]
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name
    assert one.schedule.state_dict() == other.schedule.state_dict()


def test_a_resumed_detection_is_one_that_goes_on(tutorial, tmp_path):
    whole = run(tutorial, tmp_path / "whole")
    run(tutorial, tmp_path / "parts", 1)
    same(whole, run(tutorial, tmp_path / "parts", 2, resume=True))


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_the_detection_tutorial_goes_on_after_an_interruption(tutorial, tmp_path, monkeypatch, capsys, at):
    whole = run(tutorial, tmp_path / "whole")
    step, done = torch.optim.AdamW.step, []

    def broken(self, *rest):
        found = step(self, *rest)
        if len(done) == at:
            raise KeyboardInterrupt  # between the optimizer and the schedule
        done.append(0)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", broken)
        with pytest.raises(SystemExit) as ended:
            run(tutorial, tmp_path / "parts")
    assert ended.value.code == 130
    said = f"interrupted after epoch {at // 2}, step {at % 2}; --resume goes on\n"
    assert capsys.readouterr().err == said
    torch.rand(7)
    same(whole, run(tutorial, tmp_path / "parts", resume=True))


def test_a_detection_checkpoint_of_other_settings_is_refused(tutorial, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file, and so nothing to resume"):
        run(tutorial, tmp_path, resume=True)
    run(tutorial, tmp_path, 0)
    recipe = tutorial.replace(tutorial.SMALL, clips=8)
    with pytest.raises(ValueError, match="got other settings"):
        tutorial.Training.of(recipe, None, 0, tmp_path).resume()


def test_silent_layers_prove_nothing(tutorial, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "silent", lambda *compared: "layer 3 sent nothing")
    assert tutorial.main(["--small", "--out", str(tmp_path), "--epochs", "1"]) == 1
    assert "layer 3 sent nothing: that all paths agree there shows nothing" in capsys.readouterr().err


def test_bad_arguments_of_the_detection_tutorial_are_refused(tutorial, capsys):
    with pytest.raises(SystemExit):
        tutorial.parsed(["--epochs", "0"])
    assert "argument --epochs: must be at least 1, got 0" in capsys.readouterr().err
