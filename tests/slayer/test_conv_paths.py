"""Convolutions: by events, on 8-bit integers and in float32, the same sums."""

import copy
import gc
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lavadl_kernels.ops import convolution as kernels
from lavadl_kernels.ops import events

from lavadl_ref.slayer import block, neuron, synapse
from lavadl_ref.slayer._bridge import convolution as _convolution
from lavadl_ref.slayer._bridge import int8
from tests.support.teams import team_of

QUANTISER = neuron.cuba.Neuron(1.0, 0.5, 0.5).quantize_8bit
PATHS = ("events", "int8", "gemm", "auto")


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Small layers are worth events too."""
    monkeypatch.setattr(_convolution, "LEAST_WORK", 0)


@pytest.fixture
def free(monkeypatch):
    """Events cost nothing: they are taken wherever results are exact."""
    for name in ("FORWARD", "FORWARD_FLOAT", "BACKWARD"):
        monkeypatch.setattr(_convolution, name, _convolution.Cost(0, 0, 0, 0))


def layer(channels, outputs, kernel_size, hook=QUANTISER, scale=6.0, **options):
    torch.manual_seed(1)
    return synapse.Conv(channels, outputs, kernel_size, weight_scale=scale, pre_hook_fx=hook, **options)


def spikes(*shape, density=0.1, graded=False):
    torch.manual_seed(2)
    values = torch.randint(-512, 512, shape) / 64 if graded else torch.ones(shape)
    return torch.where(torch.rand(shape) < density, values, 0)


def laid_out(x, layout):
    """`x` with the same values in another order of memory."""
    if layout == "contiguous":
        return x.contiguous()
    order = (4, 0, 1, 2, 3) if layout == "time first" else (4, 0, 2, 3, 1)
    return x.permute(order).contiguous().permute([order.index(i) for i in range(5)])


LAYOUTS = ("contiguous", "time first", "channels last")


def results(net, x, path):
    """Output, gradient of the input and of the weight."""
    x = x.detach().requires_grad_()
    net.zero_grad()
    with synapse.path(path):
        z = net(x)
        torch.manual_seed(3)
        z.backward(torch.randn(z.shape))
    return z.detach(), x.grad, net.weight.grad.clone()


def in_float64(net, x):
    """The same in float64, by torch alone."""
    x, weight = x.double().requires_grad_(), net.hooked_weight.detach().squeeze(-1).double().requires_grad_()
    frames = x.permute(4, 0, 1, 2, 3).flatten(0, 1)
    y = F.conv2d(frames, weight, None, net.stride[:2], net.padding[:2], net.dilation[:2])
    y = y.unflatten(0, (x.shape[-1], len(x))).permute(1, 2, 3, 4, 0)
    torch.manual_seed(3)
    y.backward(torch.randn(y.shape).double())
    return y.detach(), x.grad, weight.grad.unsqueeze(-1)


def equal(actual, expected):
    """Outputs are equal, gradients close."""
    assert torch.equal(actual[0].double(), expected[0])
    for a, b in zip(actual[1:], expected[1:], strict=True):
        # sums of terms of any sign: their rounding is measured by the terms, not by what is left of them
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5 * max(1.0, b.abs().max().item()))


GEOMETRIES = [
    ((3, 5, 7, 9), {"kernel_size": 3}),
    ((3, 24, 8, 6), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 65, 5, 11), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
    ((70, 36, 4, 4), {"kernel_size": 1}),
    ((17, 130, 9, 8), {"kernel_size": (3, 2), "stride": (3, 2), "padding": (2, 1), "dilation": (2, 3)}),
    ((4, 3, 6, 6), {"kernel_size": 2, "stride": 4}),
    ((1, 1, 40, 40), {"kernel_size": 5, "padding": 4, "dilation": 2}),
]


@pytest.mark.parametrize(("shape", "options"), GEOMETRIES)
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5])
def test_all_paths_of_a_convolution_agree(shape, options, graded, density):
    channels, outputs, height, width = shape
    net = layer(channels, outputs, **options)
    x = laid_out(spikes(2, channels, height, width, 5, density=density, graded=graded), "channels last")
    expected = in_float64(net, x)
    for path in PATHS:
        equal(results(net, x, path), expected)
        if path == "events":
            assert (net.taken.forward, net.taken.backward) == (path, path)
            assert net.taken.density == torch.count_nonzero(x).item() / x.numel()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (3, 1)])
def test_sums_are_right_where_an_axis_has_length_1(path, channels, outputs, stride):
    """Strides of such an axis mean nothing, and a library may take one order of memory for another."""
    for kernel_size in ((1, 1), (1, 3), (3, 1), (3, 2), (12, 12)):
        net = layer(channels, outputs, kernel_size, stride=stride)
        for layout, left in product(LAYOUTS, [(0, 0), (0, 1), (2, 0)]):
            size = [k + more for k, more in zip(kernel_size, left, strict=True)]
            x = laid_out(spikes(2, channels, *size, 4, density=0.4), layout)
            with torch.no_grad(), synapse.path(path):
                evaluated = [net(x) for _ in range(2)]
            expected = in_float64(net, x)
            for z in evaluated:
                assert torch.equal(z.double(), expected[0])
            equal(results(net, x, path), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", PATHS)
def test_all_paths_agree_in_every_order_of_memory(layout, path):
    net, x = layer(6, 20, 3, padding=1), spikes(3, 6, 5, 4, 7)
    equal(results(net, laid_out(x, layout), path), in_float64(net, x))


@st.composite
def convolutions(draw):
    """A shape (N, C, O, H, W, T), options of a convolution, and a seed."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    height, width = (max(span - 2 * p, 1) + draw(st.integers(0, 6)) for span, p in zip(spans, padding, strict=True))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 40)), draw(st.integers(1, 70)), height, width)
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return (*shape, draw(st.integers(1, 4))), options, draw(st.integers(0, 1000))


@given(convolutions(), st.floats(0, 1), st.booleans())
def test_two_paths_of_a_convolution_differ_for_no_input(case, density, graded):
    (n, channels, outputs, height, width, steps), options, seed = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_convolution, "LEAST_WORK", 0)
        net = layer(channels, outputs, **options)
        torch.manual_seed(seed)
        values = torch.randint(-512, 512, (n, channels, height, width, steps)) / 64 if graded else torch.tensor(1.0)
        x = torch.where(torch.rand(n, channels, height, width, steps) < density, values, 0)
        expected = in_float64(net, x)
        for path in PATHS:
            equal(results(net, x, path), expected)


@given(
    st.lists(
        st.one_of(
            st.integers(-(2**24), 2**24), st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0])
        ),
        min_size=18,
        max_size=18,
    ),
    st.lists(st.one_of(st.integers(-128, 127), st.floats(-8, 8, width=32)), min_size=18, max_size=18),
)
def test_nothing_is_chosen_that_changes_a_result(values, weights):
    """Whatever the input and the weights, the chosen path gives what float32 does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_convolution, "LEAST_WORK", 0)
        for name in ("FORWARD", "FORWARD_FLOAT"):
            patch.setattr(_convolution, name, _convolution.Cost(0, 0, 0, 0))
        net = layer(2, 1, 3, hook=None, padding=1)
        scaled = [w / 32 if isinstance(w, int) else w for w in weights]
        with torch.no_grad():
            net.weight.copy_(torch.tensor(scaled, dtype=torch.float32).view(1, 2, 3, 3, 1))
            x = torch.tensor(values, dtype=torch.float32).view(1, 2, 3, 3, 1)
            chosen = net(x)
            with synapse.path("gemm"):
                assert torch.equal(torch.nan_to_num(chosen, 7.0), torch.nan_to_num(net(x), 7.0))


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(
    ("value", "fraction", "taken"),
    [
        (1.0, 0.0, "events"),
        (3.0, 0.5, "events"),
        (2.0**12, 2.0**-12, "gemm"),
        (1 / 0.9, 0.0, "gemm"),
        (2.0**18, 1, "gemm"),
    ],
)
def test_events_are_taken_where_sums_are_exact(value, fraction, taken):
    net, x = layer(4, 8, 3), torch.zeros(1, 4, 6, 6, 2)
    x[:, :, 2:4, 2:4] = value
    x[0, 0, 1, 1, 0] = fraction
    net(x)
    assert net.taken.forward == taken


@pytest.mark.usefixtures("free")
def test_weights_without_quantiser_are_left_to_float32():
    net, x = layer(4, 8, 3, hook=None), spikes(1, 4, 6, 6, 2)
    with torch.no_grad():
        net(x)
    assert net.taken == synapse.ChosenPath("gemm", None, None)
    expected = in_float64(net, x)
    actual = results(net, x, "auto")
    assert (net.taken.forward, net.taken.backward) == ("gemm", "events")
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results(net, x, "events")[0].double(), expected[0], rtol=1e-5, atol=1e-5)
    assert net.taken.forward == "events"


def test_the_density_of_each_input_decides():
    net = layer(64, 64, 3, padding=1)
    for density, taken in ((0.02, ("events", "events")), (0.9, ("gemm", "gemm"))):
        net(spikes(2, 64, 8, 8, 4, density=density, graded=True))
        assert (net.taken.forward, net.taken.backward) == taken


@pytest.mark.parametrize(("usable", "taken"), [(True, "int8"), (False, "gemm")])
def test_dense_spikes_are_left_to_integers_where_these_pay(monkeypatch, usable, taken):
    verdict = int8.Verdict(True, 3.0, "" if usable else "too slow")
    monkeypatch.setattr(int8, "verdict", lambda operation: verdict)
    monkeypatch.setattr(_convolution, "PACKED", 0)
    net, x = layer(64, 64, 3, padding=1), spikes(2, 64, 8, 8, 4, density=0.9)
    equal(results(net, x, "auto"), in_float64(net, x))
    assert (net.taken.forward, net.taken.backward) == (taken, "gemm")
    net(x / 2)
    assert net.taken.forward == "gemm"


def test_integers_are_taken_where_they_are_pinned():
    if not int8.verdict("convolution").exact:
        pytest.skip("torch offers no integer convolution here")
    net, x = layer(6, 20, 3), spikes(2, 6, 8, 8, 4)
    equal(results(net, x, "int8"), in_float64(net, x))
    assert (net.taken.forward, net.taken.backward) == ("int8", "gemm")
    assert net.taken.density == torch.count_nonzero(x).item() / x.numel()
    with synapse.path("int8"):
        net(2 * x)
    assert net.taken.forward == "gemm"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_events_of_a_convolution_do_not_depend_on_threads(threads):
    net, x = layer(20, 70, 3, stride=2, padding=1), spikes(4, 20, 16, 16, 10)
    expected = results(net, x, "events")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # which kernels follow
    try:
        with team_of(threads):
            z, _, gw = results(net, x, "events")
    finally:
        torch.set_num_threads(before)
    assert torch.equal(z, expected[0])
    assert torch.equal(gw, expected[2])


@pytest.mark.parametrize("size", [1, 40, 300])
@pytest.mark.parametrize("graded", [False, True])
def test_the_tiles_of_a_gradient_may_have_any_size(monkeypatch, size, graded):
    net, x = layer(5, 70, 3, stride=(2, 1), padding=1), spikes(3, 5, 14, 12, 4, density=0.3, graded=graded)
    expected = in_float64(net, x)
    monkeypatch.setattr(kernels, "CHUNK", size)
    monkeypatch.setattr(kernels, "TILES", 1 << 16)
    kernels._tiling.cache_clear()
    try:
        equal(results(net, x, "events"), expected)
    finally:
        kernels._tiling.cache_clear()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["input", "weight", "gradient"])
def test_values_that_are_not_finite_give_the_same_on_all_paths(value, where):
    """Infinity times zero is not zero on any path."""
    net, x = layer(4, 40, 3, hook=None), spikes(2, 4, 5, 5, 3)
    grad = torch.randn(2, 40, 3, 3, 3)
    if where == "gradient":
        grad[1, 3, 2] = value
    else:
        with torch.no_grad():
            (x[1, 2:4, 3, 3] if where == "input" else net.weight[3, 2:3]).fill_(value)
    outputs = []
    for path in ("events", "gemm"):
        net.zero_grad()
        with synapse.path(path):
            z = net(x)
            z.backward(grad)
        outputs.append((z.detach(), net.weight.grad.clone()))
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, equal_nan=True)
        assert torch.isfinite(a).all() == torch.isfinite(b).all()


def test_the_path_of_a_convolution_is_told():
    net, x = layer(4, 70, 3), spikes(2, 4, 6, 6, 3)
    assert net.taken is None
    with synapse.path("events"):
        net(x)
        assert net.taken == synapse.ChosenPath("events", "events", torch.count_nonzero(x).item() / x.numel())
        with torch.no_grad():
            net(x)
        assert (net.taken.forward, net.taken.backward) == ("events", None)
    with synapse.path("gemm"):
        net(x)
    assert net.taken == synapse.ChosenPath("gemm", "gemm", None)
    copy.deepcopy(net)(x)


def test_a_sliding_dense_synapse_takes_events():
    torch.manual_seed(1)
    net = synapse.Dense((3, 2, 5), 33, weight_scale=6, pre_hook_fx=QUANTISER)
    x = spikes(2, 5, 6, 7, 4)
    equal(results(net, x, "events"), in_float64(net, x))
    assert (net.taken.forward, net.taken.backward) == ("events", "events")


@pytest.mark.parametrize("change", ["groups", "bias", "dtype", "size"])
def test_float32_is_taken_where_events_are_not_made_for_it(change):
    net = layer(4, 8, 3, groups=2 if change == "groups" else 1)
    x = spikes(1, 4, 6, 6, 2)
    if change == "bias":
        net.bias = torch.nn.Parameter(torch.ones(8))
    if change == "dtype":
        net, x = net.double(), x.double()
    if change == "size":
        x = spikes(0, 4, 6, 6, 2)
    with synapse.path("events"):
        net(x)
    assert net.taken.forward == "gemm"


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize("path", ["events", "int8"])
def test_a_change_of_the_frames_in_place_is_noticed(layout, path):
    net, x = layer(4, 8, 3), laid_out(spikes(1, 4, 6, 6, 2), layout)
    with synapse.path(path):
        z = net(x)
    with torch.no_grad():
        x[0] = 1
    if net.taken.forward == "gemm" and layout == "contiguous":
        return  # what torch saved is a copy
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


@pytest.mark.parametrize("path", ["events", "int8"])
def test_a_change_of_a_convolution_s_weight_in_place_is_noticed(path):
    net, x = layer(4, 8, 3, hook=None), spikes(1, 4, 6, 6, 2).requires_grad_()
    weight = net.weight.detach().squeeze(-1).contiguous(memory_format=torch.channels_last).requires_grad_()
    with synapse.path(path):
        z, _ = _convolution.sums(x, weight, None, int8.Geometry())
    with torch.no_grad():
        weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_the_frames_need_not_outlive_forward():
    net, x = layer(4, 8, 3), spikes(1, 4, 6, 6, 2)
    expected = in_float64(net, x)[2]
    with synapse.path("events"):
        z = net(x.clone())
    gc.collect()
    torch.manual_seed(3)
    z.backward(torch.randn(z.shape))
    torch.testing.assert_close(net.weight.grad.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_all_paths_run_in_inference_mode(path):
    net = layer(4, 8, 3)
    expected = results(net, spikes(1, 4, 6, 6, 2), path)[0]
    with torch.inference_mode(), synapse.path(path):
        assert torch.equal(net(spikes(1, 4, 6, 6, 2)), expected)
        assert net.taken.backward is None


def test_a_convolution_saves_lists_and_not_its_input():
    net, x = layer(16, 8, 3), laid_out(spikes(4, 16, 12, 12, 20, density=0.02), "channels last")
    weight = net.hooked_weight.detach().squeeze(-1).contiguous(memory_format=torch.channels_last).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t), synapse.path("events"):
        z, taken = _convolution.sums(x, weight, None, int8.Geometry())
    assert taken.forward == "events"
    assert sum(t.nbytes for t in saved) < x.nbytes / 20
    z.sum().backward()
    assert weight.grad is not None


def test_gradients_of_a_convolution_that_are_not_needed_are_not_computed():
    net, x = layer(4, 8, 3), spikes(1, 4, 6, 6, 2).requires_grad_()
    expected = in_float64(net, x.detach())[1]
    net.weight.requires_grad_(False)
    with synapse.path("events"):
        z = net(x)
    assert (net.taken.forward, net.taken.backward) == ("events", None)
    torch.manual_seed(3)
    z.backward(torch.randn(z.shape))
    torch.testing.assert_close(x.grad.double(), expected, rtol=1e-5, atol=1e-5)


def test_second_derivatives_are_those_of_the_float32_convolution():
    net, x = layer(2, 3, 3, None), spikes(1, 2, 5, 5, 2).requires_grad_()
    with synapse.path("gemm"):
        (first,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    first.square().sum().backward()
    assert net.weight.grad is not None
    with synapse.path("events"):
        (first,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|twice"):
        first.square().sum().backward()


@pytest.mark.parametrize("family", ["cuba", "sigma_delta"])
def test_a_convolutional_network_gives_the_same_by_any_path(family):
    params = {"threshold": 0.25}
    params |= {"current_decay": 0.25, "voltage_decay": 0.03} if family == "cuba" else {"activation": torch.relu}
    make = getattr(block, family).Conv
    outputs = []
    for path in PATHS:
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            make(params, 3, 20, 3, padding=1, weight_norm=True, weight_scale=3), make(params, 20, 8, 3, weight_scale=3)
        )
        with synapse.path(path):
            y = net(spikes(2, 3, 7, 7, 12))
            y.sum().backward()
        outputs.append((y.detach(), [p.grad for p in net.parameters() if p.grad is not None]))
    y, gradients = outputs[0]
    assert torch.count_nonzero(y) > 0
    for other, other_gradients in outputs[1:]:
        assert torch.equal(y, other)
        for a, b in zip(gradients, other_gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_events_of_frames_are_those_of_the_frames():
    x = spikes(3, 5, 4, 7, 1, density=0.4, graded=True)[..., 0].permute(0, 2, 3, 1).contiguous().numpy()
    found = kernels.of_frames(x)
    assert np.array_equal(kernels.dense(found), x)
    assert np.array_equal(np.diff(found.place), np.count_nonzero(x, axis=-1).reshape(-1))
    assert found.density == np.count_nonzero(x) / x.size


@given(st.lists(st.integers(-(2**20), 2**20).filter(bool), min_size=1, max_size=9), st.integers(0, kernels.FINEST))
def test_the_grain_divides_all_values(values, places):
    x = np.array(values, np.float32).reshape(1, 1, 1, -1) * np.float32(2.0**-places)
    largest, unit = kernels.grain(kernels.of_frames(x))
    assert largest == np.abs(x).max()
    assert np.all(x / unit == np.floor(x / unit))
    assert unit == 1 or np.any(x / (2 * unit) != np.floor(x / (2 * unit)))


def test_a_value_with_too_many_places_has_no_grain():
    x = np.full((1, 1, 1, 1), 2.0 ** -(kernels.FINEST + 1), np.float32)
    assert kernels.grain(kernels.of_frames(x))[1] == 0


def test_more_events_than_allowed_are_refused():
    x, g = np.ones((1, 3, 3, 2), np.float32), kernels.geometry((3, 3, 2), (3, 3), (1, 1), (1, 1), (1, 1))
    table = events.table(np.ones((5, 18), np.float32))
    found = kernels.of_frames(x)
    assert kernels.forward(found, g, table, 5, most=17) is None
    assert kernels.forward(found, g, table, 5, most=18)[0, 1, 1, 0] == 18


def test_the_sample_of_a_picture_counts_what_is_not_zero_and_ones():
    x = (torch.rand(2, 5, 6, 7) < 0.3).float()
    x[0, 0, 0, :2] = torch.tensor([-0.0, 1.0])
    part = torch.count_nonzero(x).item() / x.numel()
    assert _convolution._sample(x) == (part, True)
    for other in (float("nan"), 2.0):
        x[0, 0, 0, 1] = other
        assert _convolution._sample(x) == (part, False)
