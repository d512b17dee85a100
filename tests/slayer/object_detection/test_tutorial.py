"""The training script runs, goes on from its checkpoint, and all paths agree."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from lavadl_ref import exchange

pytest.importorskip("PIL.Image")

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "tutorials" / "object_detection.py"


@pytest.fixture(scope="module")
def tutorial():
    spec = importlib.util.spec_from_file_location("object_detection_tutorial", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_trains_and_resumes(tutorial, tmp_path, capsys):
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


def test_resuming_is_going_on(tutorial, tmp_path):
    recipe = tutorial.replace(tutorial.SMALL, epochs=2, clips=8)
    whole = tutorial.Training.of(recipe, None, 0)
    tutorial.train(whole, 1, tmp_path)
    parted = tutorial.Training.of(recipe, None, 0)
    parted.resume(tmp_path / "checkpoint.pt")
    tutorial.train(parted, 2, tmp_path)
    again = tutorial.Training.of(recipe, None, 0)
    tutorial.train(again, 2, tmp_path)
    assert [epoch["loss"] for epoch in parted.history] == [epoch["loss"] for epoch in again.history]


def test_arguments(tutorial, capsys):
    with pytest.raises(SystemExit):
        tutorial.parsed(["--epochs", "0"])
    assert "--epochs must be at least 1, got 0" in capsys.readouterr().err
