"""``slayer.io`` against lava-dl where it is right.

It is for events of both polarities (it moves a single one to channel 0), at one event an element (it loses
the others when they should add up), neurons below 256, and payloads at a sampling time of 1.
"""

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import io as ours
from tests.support import upstream
from validation.conformance._compare import signature

pytestmark = pytest.mark.upstream
theirs = upstream.slayer().io

FUNCTIONS = [
    "tensor_to_event",
    "read_1d_spikes",
    "encode_1d_spikes",
    "read_2d_spikes",
    "encode_2d_spikes",
    "read_np_spikes",
    "encode_np_spikes",
]
METHODS = ["__init__", "to_tensor", "fill_tensor", "show", "anim"]


@pytest.mark.parametrize("name", [*FUNCTIONS, *(f"Event.{name}" for name in METHODS)])
def test_io_has_the_arguments_of_lava_dl(name):
    actual, expected = ours, theirs
    for part in name.split("."):
        actual, expected = getattr(actual, part), getattr(expected, part)
    assert signature(actual) == signature(expected)


def recording(seed, dim, graded=False, most=40):
    """Columns of 30 events at different places, both polarities among them."""
    rng = np.random.default_rng(seed)
    x, y = (rng.permutation(most)[:30] for _ in range(2))
    c = np.r_[0, 1, rng.integers(0, 2, 28)]
    t = rng.integers(3_000, 60_000, 30) / 1000
    return x, y if dim == 2 else None, c, t, rng.normal(size=30) if graded else None


def both(columns):
    """Our event and theirs; each gets its own arrays, which they write to."""
    return ours.Event(*columns), theirs.Event(*(None if column is None else column.copy() for column in columns))


def same(actual, expected):
    np.testing.assert_array_equal(actual.x, expected.x)
    np.testing.assert_array_equal(actual.c, expected.c)
    # Theirs changes a time's unit twice, and rounds twice.
    np.testing.assert_allclose(actual.t, expected.t, rtol=3e-16)
    assert (actual.dim, actual.graded) == (expected.dim, expected.graded)
    if actual.dim == 2:
        np.testing.assert_array_equal(actual.y, expected.y)
    if actual.graded:
        np.testing.assert_array_equal(actual.p, expected.p)


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(("graded", "sampling_time"), [(False, 1), (False, 2), (False, 0.5), (True, 1)])
def test_the_tensor_of_an_event_is_the_same(dim, graded, sampling_time):
    actual, expected = both(recording(1, dim, graded))
    tensor = actual.to_tensor(sampling_time)
    np.testing.assert_array_equal(tensor, expected.to_tensor(sampling_time))
    assert tensor.any()
    shape = (2, 50, 45) if dim == 1 else (2, 30, 50, 45)
    np.testing.assert_array_equal(actual.to_tensor(dim=shape), expected.to_tensor(dim=shape))


@pytest.mark.parametrize("mode", ["OR", "SUM"])
@pytest.mark.parametrize("shape", [(2, 40, 40, 61), (2, 20, 50, 30), (1, 40, 40, 60)])
def test_a_filled_tensor_is_the_same(mode, shape):
    actual, expected = both(recording(2, 2))
    filled = actual.fill_tensor(torch.zeros(shape), binning_mode=mode)
    assert torch.equal(filled, expected.fill_tensor(torch.zeros(shape), binning_mode=mode))
    assert filled.any()


def test_a_tensor_filled_after_augmentation_is_the_same():
    pair = both(recording(3, 2))
    filled = []
    for event in pair:
        event.x, event.y = event.x * 0.9 - event.y * 0.3 + 2, event.x * 0.3 + event.y * 0.9 - 5
        filled.append(event.fill_tensor(torch.zeros(2, 34, 34, 61)))
    assert torch.equal(*filled)
    assert 0 < filled[0].sum() < 30


def test_the_random_shift_is_drawn_as_by_lava_dl():
    pair = both(recording(4, 1))
    np.random.seed(5)  # noqa: NPY002
    actual = [pair[0].fill_tensor(torch.zeros(2, 1, 40, 60), random_shift=True) for _ in range(10)]
    np.random.seed(5)  # noqa: NPY002
    expected = [pair[1].fill_tensor(torch.zeros(2, 1, 40, 60), random_shift=True) for _ in range(10)]
    assert all(map(torch.equal, actual, expected))
    assert len({int(tensor.nonzero()[:, 3].min()) for tensor in actual}) > 1


@pytest.mark.parametrize("shape", [(2, 6, 9), (2, 4, 5, 9)])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("sampling_time", [1, 2])
def test_tensor_to_event_gives_the_same(shape, graded, sampling_time):
    generator = torch.Generator().manual_seed(6)
    tensor = (torch.rand(shape, generator=generator) < 0.3).float() / sampling_time
    if graded:
        tensor = tensor * torch.randint(1, 9, shape, generator=generator) / 4
    # Given a tensor, theirs warns under NumPy 2.
    same(ours.tensor_to_event(tensor, sampling_time), theirs.tensor_to_event(tensor.numpy(), sampling_time))


FORMATS = [("1d", 1, 256), ("2d", 2, 256), ("np", 1, 60_000), ("np", 2, 60_000)]


@pytest.mark.parametrize(("form", "dim", "most"), FORMATS)
def test_event_files_have_the_same_bytes(tmp_path, form, dim, most):
    """The same bytes, and each reads the other's."""
    actual, expected = both(recording(7, dim, most=most))
    paths = [tmp_path / "ours.npy", tmp_path / "theirs.npy"]
    for module, path, event in zip((ours, theirs), paths, (actual, expected), strict=True):
        getattr(module, f"encode_{form}_spikes")(str(path), event)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    same(getattr(ours, f"read_{form}_spikes")(str(paths[1])), getattr(theirs, f"read_{form}_spikes")(str(paths[0])))
    same(getattr(ours, f"read_{form}_spikes")(str(paths[1])), actual)


def test_an_array_in_microseconds_is_read_the_same(tmp_path):
    path = str(tmp_path / "a.npy")
    np.save(path, np.array([[3, 0, 1500], [1, 1, 7_000_000]]))
    actual, expected = (module.read_np_spikes(path, time_unit=1e-6) for module in (ours, theirs))
    np.testing.assert_allclose(actual.t, expected.t, rtol=1e-15)


@pytest.mark.parametrize("name", ["input.bs1", "output.bs1"])
def test_recorded_files_are_read_the_same(data, name):
    """They have one polarity, which a tensor of one channel takes."""
    path = data / "oxford" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    shape = (1, 1, 200, 2000)
    actual, expected = (module.read_1d_spikes(str(path)).fill_tensor(torch.zeros(shape)) for module in (ours, theirs))
    assert torch.equal(actual, expected)
    assert actual.any()


def test_their_times_may_leave_the_half_of_a_step(tmp_path):
    """They multiply by the unit and by 1000, which rounds twice: times at x.5 may move, others keep their step."""
    path = str(tmp_path / "a.npy")
    at = np.arange(0, 4000, 0.25)
    np.save(path, np.stack([at * 0, at * 0, at], axis=1))
    actual, expected = (np.round(module.read_np_spikes(path).t) for module in (ours, theirs))
    np.testing.assert_array_equal(actual, np.round(at))
    ties = at % 1 == 0.5
    np.testing.assert_array_equal(actual[~ties], expected[~ties])
    assert (actual[ties] != expected[ties]).any()


def test_a_recording_in_milliseconds_is_read_the_same(data, tmp_path):
    """Of a recorded train as an array: a tensor has each event where the file of five bytes an event has it."""
    source = data / "oxford" / "input.bs1"
    if not source.is_file():
        pytest.skip(f"{source} is absent")
    event, path = theirs.read_1d_spikes(str(source)), str(tmp_path / "a.npy")
    np.save(path, np.stack([event.x, event.c, event.t], axis=1))
    plain, actual, expected = (
        each.fill_tensor(torch.zeros(1, 1, 200, 2000))
        for each in (event, ours.read_np_spikes(path), theirs.read_np_spikes(path))
    )
    assert torch.equal(actual, plain)
    moved = (actual != expected).nonzero()
    assert len(moved) == 20  # ten events, one step later there
