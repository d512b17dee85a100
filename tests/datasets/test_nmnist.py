"""Folders of event files."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lavadl_ref.datasets import NMNIST  # noqa: E402
from lavadl_ref.slayer import io  # noqa: E402


def recording(x=(1, 33), y=(2, 0), polarity=(0, 1), time=(0.0, 299.4)):
    return io.Event(np.array(x), np.array(y), np.array(polarity), np.array(time))


def put(folder, part, digit, name="00002.bin", event=None):
    path = folder / part / str(digit) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    io.encode_2d_spikes(path, recording() if event is None else event)
    return path


def test_nmnist_gives_tensor_and_label(tmp_path):
    put(tmp_path, "Train", 3)
    put(tmp_path, "Train", 0, "00009.bin", recording(time=(5.0, 301.0)))
    put(tmp_path, "Test", 8)
    data = NMNIST(tmp_path)
    assert [label for _, label in data.files] == [0, 3]
    spikes, label = data[1]
    assert (label, spikes.shape, spikes.dtype) == (3, (2, 34, 34, 300), torch.float32)
    assert spikes.nonzero().tolist() == [[0, 2, 1, 0], [1, 0, 33, 299]]
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    # what comes after the last step is left out
    assert data[0][0].nonzero().tolist() == [[0, 2, 1, 5]]
    assert data[-1][1] == 3
    assert [label for _, label in NMNIST(tmp_path, train=False)] == [8]
    with pytest.raises(IndexError, match="index of NMNIST must be at least -2 and below 2, got 2"):
        _ = data[2]


def test_a_sampling_time_makes_longer_steps(tmp_path):
    put(tmp_path, "Train", 3)
    spikes, _ = NMNIST(tmp_path, sampling_time=3, steps=101)[0]
    assert spikes.nonzero().tolist() == [[0, 2, 1, 0], [1, 0, 33, 100]]
    assert spikes.max() == 1


def test_augmentation_is_drawn_by_epoch_and_index(tmp_path):
    for digit in range(3):
        put(tmp_path, "Train", digit)

    def shift(event, generator):
        event.x = event.x - generator.integers(1, 30)
        return event

    data = NMNIST(tmp_path, augment=shift, seed=1)

    def where():
        return [spikes.nonzero().tolist() for spikes, _ in data]

    first = where()
    assert first == where()
    # the event at column 1 has left the sensor
    assert all(len(places) == 1 for places in first)
    assert len({places[0][2] for places in first}) > 1
    data.set_epoch(1)
    assert where() != first
    data.set_epoch(0)
    assert where() == first
    assert [s.nonzero().tolist() for s, _ in NMNIST(tmp_path, augment=shift, seed=2)] != first


def test_a_damaged_recording_is_named_when_it_is_read(tmp_path):
    path = put(tmp_path, "Train", 3)
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(ValueError, match=r"00002\.bin must hold 5 bytes per event, got 7"):
        _ = NMNIST(tmp_path)[0]


@pytest.mark.parametrize("column", [{"x": (34, 0)}, {"y": (0, 200)}])
def test_an_event_off_the_sensor_is_refused(tmp_path, column):
    put(tmp_path, "Train", 3, event=recording(**column))
    with pytest.raises(ValueError, match=r"00002\.bin: events must be on a 34x34 sensor, got x up to"):
        _ = NMNIST(tmp_path)[0]


def test_a_missing_nmnist_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent: there is no such folder; .* Train and Test"):
        NMNIST(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"Train: there is no such folder; .* for each digit"):
        NMNIST(tmp_path)
    (tmp_path / "Train" / "3").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"the folders 0 to 9 must have \.bin files, got none"):
        NMNIST(tmp_path)
    put(tmp_path, "Train", "eight")
    with pytest.raises(ValueError, match="folders must be called 0 to 9, got eight"):
        NMNIST(tmp_path)
