"""The network of Lava-DL's README, trained and exported: slayer = reference = Lava, in every message."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange, verify
from lavadl_ref.netx import lava_support

pytest.importorskip("torch")
from tests.support import PATIENCE
from tests.support import readme_network as readme

USABLE, WHY = lava_support.available()
training = readme.training  # a fixture


@pytest.fixture(scope="module")
def trained(training, tmp_path_factory):
    """The trained network, and its file."""
    net, _ = training
    file = tmp_path_factory.mktemp("readme") / "network.net"
    net.eval().export_hdf5(file)
    return net, file


def test_the_readme_network_runs_as_trained(trained, compared):
    report = verify.trained(trained[0].blocks, readme.bars())
    assert report.divergences == []
    assert report.exceeded == ()
    assert all(result.spikes > 0 for result in report.layers)
    compared("slayer", "reference", report.compared)


@pytest.mark.timeout(1500)
@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
@pytest.mark.parametrize("in_process", [True, False])
def test_the_readme_network_runs_on_lava(trained, compared, in_process):
    """One picture, quantised as the input block does."""
    net, file = trained
    picture = net.blocks[0].pre_hook_fx(readme.bars()[0]).numpy() * 64
    report = verify.verify(file, picture.astype(np.int64), in_process=in_process, timeout=PATIENCE)
    assert report.divergences == []
    assert report.skipped == {}
    assert [sorted(result.paths) for result in report.layers if result.layer.kind != "flatten"] == [
        ["lava", "slayer"]
    ] * (len(exchange.read(file).layers) - 1)
    compared("Lava in process" if in_process else "Lava, multiprocessing", "reference", report.compared)
