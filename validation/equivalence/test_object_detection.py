"""YOLO-KP on Lava: every message of every layer, until what a clip changes has passed them all."""

import pytest
import torch

from lavadl_ref import verify
from lavadl_ref.netx import lava_support
from tests.support.detectors import busy, clip, exact, held, made

pytestmark = pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed")

LIMIT = 3000  #: seconds: Lava convolves each pair of channels on its own


@pytest.mark.timeout(LIMIT)
def test_a_detector_is_equal_on_every_path(tmp_path, compared):
    net = busy(made("yolo_kp"))
    net.export_hdf5(tmp_path / "yolo.net")
    with torch.no_grad():
        frames = net.normalized(clip("yolo_kp", steps=2))
        current = net.input_blocks[0].neuron.quantized_input(frames)[0] * 64
    steps = held(current, len(net.layers)).round().long().numpy()
    report = verify.verify(tmp_path / "yolo.net", steps, slayer=False, timeout=LIMIT, in_process=True)
    assert report.skipped == {}
    assert exact(report)
    compared("reference", "lava", report.compared)
