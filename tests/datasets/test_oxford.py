"""The two files of the Oxford regression."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lavadl_ref.datasets import Oxford  # noqa: E402
from lavadl_ref.slayer import io  # noqa: E402


def written(folder, neurons, times, polarity=0):
    for name in ("input.bs1", "output.bs1"):
        event = io.Event(np.array(neurons), None, np.full(len(times), polarity), np.array(times))
        io.encode_1d_spikes(folder / name, event)
    return folder


@pytest.mark.parametrize("polarity", [0, 1])
def test_times_round_in_the_input_and_fall_in_the_target(tmp_path, polarity):
    data = Oxford(written(tmp_path, [3, 0, 3, 3], [1.6, 0.5, 4.0, 4.0], polarity), neurons=4, steps=5)
    assert len(data) == 1
    x, target = data[0]
    assert x.dtype == target.dtype == torch.float32
    assert x.shape == target.shape == (4, 5)
    assert x.nonzero().tolist() == [[0, 0], [3, 2], [3, 4]]
    assert target.nonzero().tolist() == [[0, 0], [3, 1], [3, 4]]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert len(list(data)) == 1


def test_nothing_is_left_out(tmp_path):
    written(tmp_path, [3, 0], [1.0, 4.0])
    with pytest.raises(ValueError, match=r"input\.bs1: every neuron must be below 3, got 3"):
        Oxford(tmp_path, neurons=3, steps=5)
    with pytest.raises(ValueError, match=r"input\.bs1: every step must be below 4, got 4"):
        Oxford(tmp_path, neurons=4, steps=4)


def test_an_oxford_file_cut_short_is_refused(tmp_path):
    written(tmp_path, [3, 0], [1.0, 4.0])
    path = tmp_path / "output.bs1"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"output\.bs1 must hold 5 bytes per event, got 9"):
        Oxford(tmp_path)


def test_a_missing_oxford_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent: there is no such folder; .* input\.bs1 and output\.bs1"):
        Oxford(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"input\.bs1: there is no such file; expected 1-D spike trains"):
        Oxford(tmp_path)
    written(tmp_path, [0], [0.0])
    with pytest.raises(NotADirectoryError, match=r"input\.bs1: expected a folder"):
        Oxford(tmp_path / "input.bs1")


@pytest.mark.parametrize("index", [1, -2])
def test_oxford_has_one_sample(tmp_path, index):
    with pytest.raises(IndexError, match="index of Oxford must be at least -1 and below 1, got"):
        Oxford(written(tmp_path, [0], [0.0]))[index]


def test_the_recorded_spike_trains_are_read(data):
    folder = data / "oxford"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    x, target = Oxford(folder)[0]
    # of the input's events, eight share a neuron and a step with another
    assert (x.shape, int(x.sum()), int(target.sum())) == ((200, 2000), 1881, 10361)
    assert [(folder / name).stat().st_size // 5 for name in ("input.bs1", "output.bs1")] == [1889, 10361]
