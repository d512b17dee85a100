"""The page of recipes: its code runs, on stand-ins for the other libraries with the parts that it uses."""

from __future__ import annotations

import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests import PATIENCE
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


class Recordings(torch.utils.data.Dataset):
    """Four recordings as tonic's N-MNIST hands them over."""

    sensor_size = (34, 34, 2)

    def __init__(self, save_to, train, transform):
        self.transform = transform

    def __len__(self):
        return 4

    @staticmethod
    def events(number):
        rng = np.random.default_rng(number)
        found = np.zeros(500, [("x", int), ("y", int), ("t", int), ("p", int)])
        for name, end in (("x", 34), ("y", 34), ("t", 299_000), ("p", 2)):
            found[name] = rng.integers(0, end, 500)
        return found

    def __getitem__(self, number):
        return self.transform(self.events(number)), number


class LightningModule(torch.nn.Module):
    """The part of Lightning's module that a recipe uses."""

    def log(self, name, value):
        self.__dict__.setdefault("logged", []).append((name, value.item()))


class Trainer:
    """The part of Lightning's trainer that a recipe uses."""

    def __init__(self, max_epochs, accelerator, logger, enable_checkpointing):
        self.epochs = max_epochs

    def fit(self, module, loader):
        optimizer = module.configure_optimizers()
        for _ in range(self.epochs):
            for index, batch in enumerate(loader):
                optimizer.zero_grad()
                module.training_step(batch, index).backward()
                optimizer.step()


def stand_in(monkeypatch, name, **parts):
    module = ModuleType(name)
    vars(module).update(parts)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_recipes_run_as_they_stand(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stand_in(monkeypatch, "tonic", datasets=SimpleNamespace(NMNIST=Recordings))
    stand_in(monkeypatch, "lightning", LightningModule=LightningModule, Trainer=Trainer)
    torch.manual_seed(0)
    found: dict = {}
    first, second = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(first, found)
    x, label = found["data"][1]
    assert (x.shape, x.dtype, label) == ((2, 34, 34, 300), torch.float32, 1)
    events = Recordings.events(1)
    steps = np.rint(events["t"] / 1000).astype(int)
    assert bool((x[events["p"], events["y"], events["x"], steps] == 1).all())
    assert int(x.sum()) == len({*zip(events["p"], events["y"], events["x"], steps, strict=True)})
    exec(second, found)
    classifier = found["classifier"]
    assert [name for name, _ in classifier.logged] == ["loss", "loss"]
    assert any(p.grad is not None and p.grad.any() for p in classifier.parameters())


def test_the_package_imports_no_library_of_the_recipes():
    code = "import sys, lavadl_ref.slayer; print({'tonic', 'lightning', 'pytorch_lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == "set()", done.stderr
