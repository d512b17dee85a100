"""Sums of spikes as bytes and gradients on tiles: the same integers as by every other path, on any processor."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.ops import spike_bytes

from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer._bridge import dense as _dense
from lavadl_ref.slayer._bridge import int8, kept, tiles
from lavadl_ref.slayer._bridge.trial import Verdict
from tests import PATIENCE

QUANTISER = neuron.cuba.Neuron(1.0, 0.5, 0.5).quantize_8bit
USED = Verdict(True, 4.0, "")
UNUSED = Verdict(False, 0.0, "not here")


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Small layers are worth every path, and tiles are there: emulated where the processor has none."""
    for module, name in ((_dense, "LEAST_WORK"), (_dense, "FEWEST_ROWS"), (tiles, "LEAST_WORK")):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(_dense, "FEWEST_OUTPUTS", 1)
    monkeypatch.setattr(tiles, "verdict", lambda: USED)


@pytest.fixture
def bytes_by_themselves(monkeypatch):
    """Bytes are the fastest from 10 % on."""
    monkeypatch.setattr(int8, "verdict", lambda operation: USED)
    monkeypatch.setattr(int8, "limits", lambda: int8.Limits(0, 0.1))


def layer(inputs, outputs, hook=QUANTISER):
    torch.manual_seed(1)
    return synapse.Dense(inputs, outputs, weight_scale=6.0, pre_hook_fx=hook)


def spikes(*shape, density=0.2):
    torch.manual_seed(2)
    return (torch.rand(shape) < density).float()


def exact_gradients(net, x, grad):
    """Of the input and of the weight, in float64."""
    weight = net.hooked_weight.detach().flatten(1).double()
    return torch.einsum("oi,not->nit", weight, grad.double()), torch.einsum("not,nit->oi", grad.double(), x.double())


# -- the conversion -----------------------------------------------------------------------------------

ENTRIES = st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, -1.0, 0.5, 1e-45, float("nan"), float("inf"), 1.0000001])


@given(st.lists(ENTRIES, max_size=40), st.integers(0, 3 * spike_bytes.BLOCK))
def test_bytes_are_made_of_zeros_and_ones_alone(values, before):
    x = np.concatenate([np.ones(before), values]).astype(np.float32)
    out = np.empty(x.size, np.uint8)
    found = spike_bytes.spikes(x, out)
    if np.isin(x, (0, 1)).all():
        assert found == np.count_nonzero(x)
        assert np.array_equal(out, x)
    else:
        assert found == -1


@given(st.lists(st.sampled_from([0.0, -4.0, 127 / 32, 1 / 32, 4.0, 1 / 64, float("nan"), float("-inf")]), max_size=9))
@example([])
def test_weights_become_bytes_if_they_have_8_bits(values):
    for before in (0, 61, 130):
        x = np.concatenate([np.full(before, -4.0), values]).astype(np.float32).reshape(1, -1)
        found = spike_bytes.weights(x)
        if np.isin(x * 32, range(-128, 128)).all():
            assert found.dtype == np.int8
            assert np.array_equal(found, x * 32)
        else:
            assert found is None


def test_packed_spikes_have_the_strides_of_the_tensor():
    x = spikes(3, 4, 5, 6)
    views = (x, x.contiguous(memory_format=torch.channels_last), x.permute(3, 0, 2, 1), x[:1], x[:, :, :, 2:3].clone())
    for view in views:
        packed = int8.pack_spikes(view)
        assert packed.bytes.dtype == torch.uint8
        assert packed.bytes.stride() == view.stride()
        assert torch.equal(packed.bytes.float(), view)
        assert packed.ones == view.sum()
    for refused in (x[::2], x.double(), x * 2, x[:, :1].expand(-1, 4, -1, -1)):
        assert int8.pack_spikes(refused) is None
    assert int8.pack_spikes(x[:0]).density == 0


# -- the same integers by every path ------------------------------------------------------------------

VALUES = {
    "spikes": [0.0, 1.0],
    "signed zeros": [0.0, -0.0, 1.0],
    "integers": [0.0, 1.0, 2.0, -3.0],
    "fractions": [0.0, 1.0, 0.5, 0.25],
    "one other": [0.0, 2.0],
}


@given(
    st.sampled_from(sorted(VALUES)),
    st.floats(0, 1),
    st.tuples(st.integers(1, 4), st.integers(1, 130), st.integers(1, 9), st.integers(1, 70)),
    st.sampled_from(["random", -4.0, 127 / 32]),
    st.booleans(),
    st.integers(0, 999),
)
@example("spikes", 1.0, (2, 1000, 3, 20), -4.0, False, 0)
@example("spikes", 1.0, (2, 1000, 3, 20), 127 / 32, True, 0)
def test_no_input_makes_two_paths_of_dense_differ(values, density, shape, weight, time_first, seed):
    source = torch.Generator().manual_seed(seed)
    samples, inputs, steps, outputs = shape
    chosen = torch.tensor(VALUES[values])
    x = chosen[torch.randint(len(chosen), (samples, inputs, steps), generator=source)]
    x = torch.where(torch.rand(x.shape, generator=source) < density, x, torch.zeros(()))
    if time_first:
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    net = layer(inputs, outputs, None)
    mantissas = torch.randint(-128, 128, (outputs, inputs), generator=source).float() / 32
    net.weight.data = (mantissas if weight == "random" else torch.full_like(mantissas, weight)).reshape(net.shape)
    exact = torch.einsum("oi,nit->not", net.weight.detach().flatten(1).double(), x.double())
    for path in ("gemm", "events", "int8", "amx", "auto"):
        with synapse.path(path):
            assert torch.equal(net(x).detach().double(), exact), path
            with torch.no_grad():
                assert torch.equal(net(x).double(), exact), path
    with synapse.path("int8"):
        net(x)
    binary = bool(((x == 0) | (x == 1)).all())
    assert net.taken.forward == ("int8" if binary and int8.verdict("linear").exact else "gemm")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0, 0.5, 1e-45])
@pytest.mark.parametrize("path", ["int8", "amx"])
def test_an_input_that_is_not_of_spikes_is_multiplied_in_float32(value, path):
    net, x = layer(20, 40), spikes(2, 20, 6)
    x[1, 4, 3] = value
    with synapse.path(path):
        z = net(x)
    assert net.taken == synapse.ChosenPath("gemm", "gemm", None)
    with synapse.path("gemm"):
        assert torch.equal(torch.nan_to_num(z, nan=7.0), torch.nan_to_num(net(x), nan=7.0))


@pytest.mark.parametrize("path", ["int8", "amx"])
def test_weights_of_more_than_8_bits_are_multiplied_in_float32(path):
    net = layer(20, 40, None)
    with synapse.path(path):
        z = net(spikes(2, 20, 6))
    assert net.taken == synapse.ChosenPath("gemm", "gemm", None)
    with synapse.path("gemm"):
        assert torch.equal(z, net(spikes(2, 20, 6)))


# -- gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["int8", "amx"])
@pytest.mark.parametrize("layout", ["N C T", "time first"])
def test_gradients_of_bytes_and_tiles_are_those_of_float64(path, layout):
    net, x = layer(70, 65), spikes(3, 70, 11)
    x = x if layout == "N C T" else x.movedim(-1, 0).contiguous().movedim(0, -1)
    x.requires_grad_()
    grad = torch.randn(3, 65, 11)
    with synapse.path(path):
        z = net(x)
    z.backward(grad)
    assert net.taken.backward == ("gemm" if path == "int8" else "amx")
    assert net.taken.to_input == ("gemm" if path == "int8" else "amx")
    to_input, to_weight = exact_gradients(net, x.detach(), grad)
    torch.testing.assert_close(x.grad.double(), to_input, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net.weight.grad.flatten(1).double(), to_weight, rtol=1e-5, atol=1e-5)


def test_a_gradient_that_is_not_finite_is_left_to_float32():
    net, x = layer(20, 33), spikes(2, 20, 6).requires_grad_()
    grad = torch.randn(2, 33, 6)
    grad[1, 3, 2] = float("inf")
    found = []
    for path in ("amx", "gemm"):
        x.grad = net.weight.grad = None
        with synapse.path(path):
            net(x).backward(grad)
        found.append((x.grad, net.weight.grad))
    for tiled, plain in zip(*found, strict=True):
        assert not torch.isfinite(tiled).all()
        torch.testing.assert_close(tiled, plain, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_a_complex_dense_takes_bytes_and_tiles():
    torch.manual_seed(1)
    net = synapse.complex.Dense(20, 40, weight_scale=6, pre_hook_fx=QUANTISER)
    x = spikes(2, 20, 6).requires_grad_()
    for path, forward in (("int8", "int8"), ("amx", "gemm")):
        x.grad = None
        with synapse.path(path):
            real, imag = net(x)
        assert net.real.taken.forward == net.imag.taken.forward == forward
        (2 * real + 3 * imag).sum().backward()
        expected = (2 * net.real.hooked_weight + 3 * net.imag.hooked_weight).flatten(1).sum(0)
        torch.testing.assert_close(x.grad, expected[None, :, None].expand_as(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", ["int8", "amx"])
@pytest.mark.parametrize("layout", ["N C T", "time first"])
def test_bytes_and_tiles_notice_a_change_in_place(path, layout):
    net, x = layer(20, 40), spikes(2, 20, 6)
    x = x if layout == "N C T" else x.movedim(-1, 0).contiguous().movedim(0, -1)
    with synapse.path(path):
        z = net(x)
    with torch.no_grad():
        x[0] = 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


# -- the choice ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bytes_by_themselves")
def test_dense_spikes_are_multiplied_as_bytes_by_themselves(monkeypatch):
    net = layer(64, 40)
    for density, forward, backward in ((0.03, "events", "events"), (0.15, "int8", "amx"), (0.9, "int8", "amx")):
        x = spikes(4, 64, 30, density=density).requires_grad_()
        z = net(x)
        assert (net.taken.forward, net.taken.backward, net.taken.to_input) == (forward, backward, "amx")
        grad = torch.randn(z.shape)
        net.zero_grad()
        z.backward(grad)
        to_input, to_weight = exact_gradients(net, x.detach(), grad)
        torch.testing.assert_close(x.grad.double(), to_input, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(net.weight.grad.flatten(1).double(), to_weight, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(tiles, "verdict", lambda: UNUSED)
    for density, backward in ((0.15, "events"), (0.6, "gemm")):
        net.zero_grad()
        x = spikes(4, 64, 30, density=density).requires_grad_()
        z = net(x)
        assert (net.taken.forward, net.taken.backward, net.taken.to_input) == ("int8", backward, "gemm")
        z.sum().backward()
        counts = x.detach().sum((0, 2)).expand(40, -1)
        torch.testing.assert_close(net.weight.grad.flatten(1), counts)
    net(spikes(4, 64, 30, density=0.9) / 0.95)
    assert net.taken.forward == "gemm"


@pytest.mark.usefixtures("bytes_by_themselves")
def test_a_weight_for_few_rows_is_packed_once_it_has_come_twice(monkeypatch):
    monkeypatch.setattr(int8, "limits", lambda: int8.Limits(1000, 0.1))
    weight = kept.track((torch.randint(-128, 128, (40, 64)) / 32).requires_grad_())
    x = spikes(2, 64, 30, density=0.9)
    taken = []
    with torch.no_grad():
        for _ in range(3):
            taken.append(_dense.sums(x, [weight])[1].forward)
        taken.append(_dense.sums(x, [weight.clone()])[1].forward)
    taken.append(_dense.sums(x, [weight])[1].forward)
    assert taken == ["gemm", "int8", "int8", "gemm", "gemm"]


def test_what_is_made_of_a_weight_is_kept_until_it_changes():
    weight, made = kept.track(torch.ones(3, 4, 1)), []

    def make(given):
        made.append(given.sum().item())
        return made[-1]

    with torch.no_grad():
        assert [kept.kept(weight.flatten(1), "sum", make) for _ in range(2)] == [12, 12]
        assert kept.kept(weight[:2], "sum", make) == 8  # a part is another weight
        assert kept.kept(weight.flatten(1), "other", make) == 12
        weight.mul_(2)
        assert kept.kept(weight.flatten(1), "sum", make) == 24
    assert kept.kept(weight, "sum", make) == 24
    assert made == [12, 8, 12, 24, 24]
    number = id(weight)
    assert number in kept._entries
    del weight
    gc.collect()
    assert number not in kept._entries


@pytest.mark.parametrize("path", ["auto", "events", "int8", "gemm"])
def test_nothing_is_kept_of_a_parameter_that_changes_without_a_version(path):
    net = synapse.Dense(600, 200)
    net.weight.data = torch.randint(-128, 128, net.weight.shape) / 32
    x = spikes(2, 600, 100, density=0.1)
    with torch.no_grad(), synapse.path(path):
        before = net(x)
        assert torch.equal(net(x), before)
        net.weight.data.neg_()
        assert torch.equal(net(x), -before)


def test_inference_mode_keeps_nothing_and_computes_the_same():
    net = layer(20, 40)
    with torch.inference_mode(), synapse.path("int8"):
        x = spikes(2, 20, 6)
        z = net(x)
    with synapse.path("gemm"):
        assert torch.equal(z, net(x).detach())


# -- trials -------------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    """Trials that are made anew, and again after the test."""
    for tried in (int8.verdict, int8.limits):
        tried.cache_clear()
    yield
    for tried in (int8.verdict, int8.limits):
        tried.cache_clear()


def gone(*arguments):
    raise AttributeError("no such operator")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", ["linear", "linear_weight"])
def test_a_private_operator_that_is_gone_is_done_without(monkeypatch, name):
    monkeypatch.setattr(int8, name, gone)
    found = int8.verdict("linear")
    assert (found.exact, found.usable, found.reason) == (False, False, "torch does not offer it here (AttributeError)")
    net, x = layer(20, 40), spikes(2, 20, 6, density=0.9)
    for path in ("int8", "auto"):
        with synapse.path(path):
            net(x)
        assert net.taken.forward == "gemm"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("operation", ["linear", "convolution"])
def test_an_operator_that_saturates_is_found_out(monkeypatch, operation):
    """As pairs of products do in 16 bits where inputs are of 8 bits: only extremes show it."""
    right = getattr(int8, operation)
    monkeypatch.setattr(int8, operation, lambda *arguments: right(*arguments).clamp(max=800.0))
    found = int8.verdict(operation)
    assert (found.exact, found.reason) == (False, "its sums differ from those of float32 here")


@pytest.mark.usefixtures("fresh")
def test_a_slow_operator_is_used_only_where_it_is_pinned(monkeypatch):
    if not int8.verdict("linear").exact:
        pytest.skip("torch does not offer it here")
    int8.verdict.cache_clear()
    monkeypatch.setattr(int8, "fastest", lambda calls: [1.0, 2.0])
    found = int8.verdict("linear")
    assert (found.exact, found.usable, found.gain) == (True, False, 0.5)
    assert found.reason == "it takes 2.00 of the time of float32 here, too much to pay"
    net, x = layer(20, 40), spikes(2, 20, 6, density=0.9)
    net(x)
    assert net.taken.forward == "gemm"
    with synapse.path("int8"):
        net(x)
    assert net.taken.forward == "int8"


@pytest.mark.parametrize(("times", "rows", "density"), [
    ((512 * 3.0, 512 * 1.0, 1000.0, 256.0, 768.0), 500.0, 0.2),
    ((512 * 3.0, 512 * 1.0, 1000.0, 600.0, 768.0), 500.0, 0.0),
    ((512 * 3.0, 512 * 1.0, 1000.0, 100.0, 110.0), 500.0, 1.0),
    ((512 * 1.0, 512 * 1.0, 1000.0, 256.0, 256.0), float("inf"), 1.0),
])  # fmt: skip
@pytest.mark.usefixtures("fresh")
def test_limits_follow_from_measured_times(monkeypatch, times, rows, density):
    monkeypatch.setattr(int8, "fastest", lambda calls: list(times))
    found = int8.limits()
    assert found.rows == rows
    assert found.density == pytest.approx(density)


def test_trials_leave_the_number_of_threads_and_the_random_numbers_alone():
    before = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    int8.verdict.cache_clear()
    int8.verdict("linear")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == before


def test_tiles_that_are_wrong_or_fail_are_not_used(monkeypatch):
    monkeypatch.undo()
    tried = tiles.verdict.__wrapped__
    monkeypatch.setattr(tiles.amx, "missing", lambda: "no tiles")
    assert tried() == Verdict(False, 0.0, "no tiles")
    monkeypatch.setattr(tiles.amx, "missing", lambda: "")
    # emulated they are right and slow, on tiles right and fast
    found = tried()
    assert found.exact
    right = tiles._tiles.input_gradient
    monkeypatch.setattr(tiles._tiles, "input_gradient", lambda g, w: right(g, w) * np.float32(1 + 2e-6))
    assert tried() == Verdict(False, 0.0, "its products are not as accurate as those of float32 here")
    monkeypatch.setattr(tiles._tiles, "input_gradient", gone)
    assert tried() == Verdict(False, 0.0, "it fails here (AttributeError)")


PROCESSORS = ("ALL", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI")
ON_A_PROCESSOR = """
import json, torch
from lavadl_ref.slayer import synapse
from lavadl_ref.slayer._bridge import dense, int8
dense.LEAST_WORK = dense.FEWEST_ROWS = 0
dense.FEWEST_OUTPUTS = 1
source = torch.Generator().manual_seed(0)
equal, taken = True, set()
for inputs, outputs in ((700, 65), (64, 64), (33, 10)):
    net = synapse.Dense(inputs, outputs)
    random = torch.randint(-128, 128, net.weight.shape, generator=source) / 32
    for weight in (random, torch.full_like(random, -4.0), torch.full_like(random, 127 / 32)):
        net.weight.data = weight
        for density in (0.05, 0.5, 1.0):
            x = (torch.rand(3, inputs, 7, generator=source) < density).float()
            exact = torch.einsum("oi,nit->not", weight.flatten(1).double(), x.double())
            for path in ("gemm", "events", "int8", "amx", "auto"):
                with synapse.path(path):
                    equal &= torch.equal(net(x).detach().double(), exact)
                if path == "int8":
                    taken.add(net.taken.forward)
found = [int8.verdict(operation) for operation in ("linear", "convolution")]
convolved = True
x = torch.ones(3, 40, 9, 11).contiguous(memory_format=torch.channels_last)
for value in (-4.0, 127 / 32):
    weight = torch.full((24, 40, 3, 3), value)
    geometry = int8.Geometry((2, 1), (1, 0))
    packed = int8.convolution_weight(weight, x.shape, geometry)
    if found[1].exact:
        z = int8.convolution(int8.pack_spikes(x).bytes, packed, geometry)
        convolved &= torch.equal(z, torch.nn.functional.conv2d(x, weight, None, *geometry))
print(json.dumps([equal, convolved, sorted(taken), [verdict.exact for verdict in found]]))
"""


@pytest.mark.parametrize("processor", PROCESSORS)
def test_all_paths_give_the_same_integers_on_lesser_processors(processor):
    """oneDNN is told to do without the instructions of the greater ones."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ON_A_PROCESSOR)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": processor},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    equal, convolved, taken, exact = json.loads(done.stdout)
    assert equal
    assert convolved
    assert taken == (["int8"] if exact[0] else ["gemm"])
