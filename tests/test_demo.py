"""The main job in small: it ends exact on all paths and leaves a network and a picture."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lavadl_ref import exchange  # noqa: E402
from lavadl_ref.cli import demo  # noqa: E402
from lavadl_ref.deployed import reference  # noqa: E402
from lavadl_ref.netx import lava_support  # noqa: E402

USABLE, WHY = lava_support.available()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Two epochs and five digits, without Lava."""
    calls = []
    folder = tmp_path_factory.mktemp("demo") / "deep" / "er"
    outcome = demo.run(folder, 2, 5, lava=False, progress=lambda *call: calls.append(call))
    demo.draw(outcome, folder / "digits.png", sample=3)
    return outcome, calls


def test_the_demo_is_exact(short):
    outcome, _ = short
    assert outcome.exact
    assert outcome.training.samples == 5
    assert [sorted(r.paths) for r in outcome.training.layers] == [["slayer"], ["slayer"]]
    assert [sorted(r.paths) for r in outcome.deployed.layers] == [["slayer"], ["slayer"]]
    assert all(result.spikes > 0 for result in outcome.training.layers)
    assert outcome.training.exceeded == outcome.deployed.exceeded == ()


def test_the_demo_learns_the_digits(short):
    outcome, calls = short
    assert outcome.test_accuracy > 0.85
    assert outcome.train_accuracy > 0.85
    assert outcome.losses[1] < outcome.losses[0]
    assert [call[:2] for call in calls] == [(1, 2), (2, 2)]
    assert outcome.train_seconds > 0


def test_deployed_digits_are_classified_as_trained(short):
    outcome, _ = short
    rates = outcome.training.run.output.sum(-1)
    labels = demo.load(0).test_labels[:5].numpy()
    assert outcome.deployed_accuracy["slayer"] == (rates.argmax(1) == labels).mean()
    assert outcome.deployed_accuracy["deployed"] == outcome.deployed_accuracy["slayer"]


def test_the_demo_writes_the_network(short):
    outcome, _ = short
    assert outcome.path.name == "digits.net"
    network = exchange.read(outcome.path)
    assert [layer.shape for layer in network.layers] == [(256,), (10,)]
    again = reference.Network(network).run(outcome.inputs).output
    np.testing.assert_array_equal(again, outcome.training.run.output)


def test_the_demo_makes_a_picture(short):
    outcome, _ = short
    picture = (outcome.path.parent / "digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_the_same_seed_gives_the_same_network(short, tmp_path):
    outcome, _ = short
    again = demo.run(tmp_path / "again", 2, 5, lava=False)
    assert again.losses == outcome.losses
    assert again.path.read_bytes() == outcome.path.read_bytes()


def test_another_seed_of_the_demo_gives_another_network(short, tmp_path):
    outcome, _ = short
    other = demo.run(tmp_path, 1, 1, seed=1, lava=False)
    assert other.path.read_bytes() != outcome.path.read_bytes()
    assert other.exact


def test_a_path_that_differs_is_not_exact(monkeypatch, tmp_path):
    run = reference.Network.run

    def wrong(self, x, *arguments, **options):
        result = run(self, x, *arguments, **options)
        if np.ndim(x) == 2 and np.shape(x)[-1] > 1:
            result.layers[0].spikes[7, 30] ^= 1
        return result

    monkeypatch.setattr(reference.Network, "run", wrong)
    outcome = demo.run(tmp_path, 1, 3, lava=False)
    assert outcome.training.exact
    assert not outcome.deployed.exact
    assert not outcome.exact


def test_spike_trains_have_as_many_spikes_as_the_grey_level():
    levels = np.arange(17.0).reshape(17, 1, 1)
    trains = demo.spike_trains(levels)
    assert trains.shape == (17, 1, demo.STEPS)
    assert trains.sum(-1).flatten().tolist() == list(range(17))
    assert set(trains.unique().tolist()) == {0.0, 1.0}


def test_a_fifth_of_the_digits_is_held_out():
    data = demo.load(3)
    assert (len(data.train), len(data.train_labels), len(data.test), len(data.test_labels)) == (1437, 1437, 360, 360)
    again, other = demo.load(3), demo.load(4)
    assert torch.equal(data.test, again.test)
    assert not torch.equal(data.test, other.test)
    # all digits are there once
    assert torch.cat([data.train, data.test]).sum() == torch.cat([other.train, other.test]).sum()


@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_the_demo_is_exact_on_lava_too(tmp_path):
    outcome = demo.run(tmp_path, 2, 5)
    assert outcome.exact
    assert outcome.deployed.skipped == {}
    assert [sorted(r.paths) for r in outcome.deployed.layers] == [["lava", "slayer"]] * 2
    steps = outcome.deployed.steps
    assert [r.paths["lava"].compared for r in outcome.deployed.layers] == [256 * (steps + 2), 10 * (steps + 2)]
