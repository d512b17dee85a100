"""Dense synapses: by events and as matrix products, the same sums."""

import copy
import gc

import pytest
import torch

from lavadl_ref.slayer import block, neuron, synapse
from lavadl_ref.slayer._bridge import dense as _dense
from tests.support.teams import team_of

QUANTISER = neuron.cuba.Neuron(1.0, 0.5, 0.5).quantize_8bit
PATHS = ("events", "gemm", "auto")


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Small layers are worth events too."""
    monkeypatch.setattr(_dense, "LEAST_WORK", 0)
    monkeypatch.setattr(_dense, "FEWEST_OUTPUTS", 1)
    monkeypatch.setattr(_dense, "FEWEST_ROWS", 1)


def layer(inputs, outputs, hook=QUANTISER, scale=6.0, **options):
    torch.manual_seed(1)
    return synapse.Dense(inputs, outputs, weight_scale=scale, pre_hook_fx=hook, **options)


def spikes(*shape, density=0.1, graded=False):
    torch.manual_seed(2)
    values = torch.randint(-4096, 4096, shape) / 4096 if graded else torch.ones(shape)
    return torch.where(torch.rand(shape) < density, values, 0)


def laid_out(x, layout):
    """`x` with the same values in another order of memory."""
    if layout == "N C T":
        return x.contiguous()
    if layout == "time first":
        return x.movedim(-1, 0).contiguous().movedim(0, -1)
    if layout == "channels last":
        return x.movedim((-1, 1), (0, -1)).contiguous().movedim((0, -1), (-1, 1))
    return x.repeat_interleave(2, dim=0)[::2]


LAYOUTS = ("N C T", "time first", "channels last", "strided")


def results(net, x, path):
    """Output, gradient of the input and of the weight."""
    x = x.detach().requires_grad_()
    net.zero_grad()
    with synapse.path(path):
        z = net(x)
        torch.manual_seed(3)
        z.backward(torch.randn(z.shape))
    return z.detach(), x.grad, net.weight.grad.clone()


@pytest.mark.parametrize(
    ("samples", "steps", "taken"), [(1, 7, "gemm"), (7, 1, "gemm"), (1, 8, "events"), (4, 2, "events")]
)
def test_few_rows_are_given_to_a_matrix_product(monkeypatch, samples, steps, taken):
    monkeypatch.setattr(_dense, "FEWEST_ROWS", 8)
    net = layer(37, 21)
    net(spikes(samples, 37, steps))
    assert net.taken.forward == taken


@pytest.mark.parametrize("density", [0.0, 0.01, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("graded", [False, True])
def test_both_paths_of_dense_agree(density, layout, graded):
    net = layer(37, 21, scale=1 if graded else 6)
    x = laid_out(spikes(3, 37, 11, density=density, graded=graded), layout)
    exact = torch.einsum("oi,nit->not", net.hooked_weight.detach().flatten(1).double(), x.double())
    torch.manual_seed(3)
    grad = torch.randn(3, 21, 11).double()
    to_input = torch.einsum("oi,not->nit", net.hooked_weight.detach().flatten(1).double(), grad)
    to_weight = torch.einsum("not,nit->oi", grad, x.double()).view(net.weight.shape)
    for path in PATHS:
        z, gx, gw = results(net, x, path)
        assert torch.equal(z.double(), exact)
        torch.testing.assert_close(gx.double(), to_input, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gw.double(), to_weight, rtol=1e-5, atol=1e-5)
        if path != "auto":
            assert (net.taken.forward, net.taken.backward) == (path, path)
    assert (net.taken.forward == "events") == (density <= 0.1 or (density == 0.3 and not graded))


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (1, 7), (5, 1), (2, 401)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_paths_agree_for_any_size(samples, steps, layout):
    net = layer(70, 65)
    x = laid_out(spikes(samples, 70, steps), layout)
    expected = results(net, x, "gemm")
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(results(net, x, "events"), expected, strict=True))
    assert torch.equal(results(net, x, "events")[0], expected[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flat", [False, True])
def test_both_paths_agree_on_frames(layout, flat):
    net = layer((5, 4, 3), 33)
    x = laid_out(spikes(2, 3, 4, 5, 9), layout)
    x = x.flatten(1, 3) if flat else x
    expected = results(net, x, "gemm")
    actual = results(net, x, "events")
    assert net.taken.forward == "events"
    assert torch.equal(actual[0], expected[0])
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("p", [0.05, 0.3])
@pytest.mark.parametrize("hook", [QUANTISER, None])
def test_both_paths_agree_up_to_rounding_where_sums_are_not_exact(p, hook):
    """The backends agree up to rounding if sums are not exact."""
    net = layer(80, 40, hook)
    x = spikes(2, 80, 12) / (1 - p)
    for actual, expected in zip(results(net, x, "events"), results(net, x, "gemm"), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_events_path_does_not_depend_on_threads(threads):
    net, x = layer(300, 200), spikes(4, 300, 60)
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["input", "weight", "gradient"])
def test_values_that_are_not_finite_give_the_same_on_both_paths(value, where):
    """Infinity times zero is not zero on any path."""
    net, x = layer(20, 40, None), spikes(2, 20, 6)
    grad = torch.randn(2, 40, 6)
    if where == "gradient":
        grad[1, 3, 2] = value
    else:
        with torch.no_grad():
            (x[1, 4:6, 3:5] if where == "input" else net.weight[3, 4:6]).fill_(value)
    outputs = []
    for path in ("events", "gemm"):
        net.zero_grad()
        with synapse.path(path):
            z = net(x)
            z.backward(grad)
        outputs.append((z.detach(), net.weight.grad.clone()))
    assert net.taken == synapse.ChosenPath("gemm", "gemm", None)
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, equal_nan=True)
        assert torch.isfinite(a).all() == torch.isfinite(b).all()


def test_the_path_that_was_taken_is_told():
    net, sparse, full = layer(20, 40), spikes(2, 20, 6), torch.ones(2, 20, 6)
    assert net.taken is None
    net(sparse)
    assert net.taken == synapse.ChosenPath("events", "events", torch.count_nonzero(sparse).item() / sparse.numel())
    net(full)
    assert net.taken == synapse.ChosenPath("gemm", "gemm", None)
    with torch.no_grad():
        net(sparse)
    assert (net.taken.forward, net.taken.backward) == ("events", None)
    # between the two limits, forward by events and backward not
    between = spikes(2, 20, 6, density=0.33)
    z = net(between)
    assert (net.taken.forward, net.taken.backward) == ("events", "gemm")
    z.sum().backward()
    copy.deepcopy(net)(sparse)


def test_the_gradient_between_the_limits_is_the_same():
    net, x = layer(20, 40), spikes(2, 20, 6, density=0.33)
    actual, expected = results(net, x, "auto"), results(net, x, "gemm")
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_path_is_chosen_for_a_block_or_from_now_on():
    net, x = layer(20, 40), spikes(2, 20, 6)
    with synapse.path("gemm"):
        with synapse.path("events"):
            net(x)
            assert net.taken.forward == "events"
        net(x)
        assert net.taken.forward == "gemm"
    net(x)
    assert net.taken.forward == "events"
    try:
        synapse.path("gemm")
        net(x)
        assert net.taken.forward == "gemm"
    finally:
        synapse.path("auto")
    with pytest.raises(ValueError, match=r"path must be 'auto', 'events', 'gemm', 'int8' or 'amx', got 'sparse'"):
        synapse.path("sparse")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", PATHS)
def test_a_change_in_place_is_noticed(layout, path):
    net, x = layer(20, 40), laid_out(spikes(2, 20, 6), layout)
    with synapse.path(path):
        z = net(x)
        with torch.no_grad():
            x[0] = 1
        if path == "gemm" and layout in ("N C T", "strided"):
            z.sum().backward()  # what was saved is a copy
        else:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                z.sum().backward()


def test_the_input_need_not_outlive_forward():
    net = layer(20, 40)
    x = spikes(2, 20, 6)
    z, expected = net(x.clone()), results(net, x, "gemm")[2]
    net.zero_grad()
    gc.collect()
    torch.manual_seed(3)
    z.backward(torch.randn(z.shape))
    torch.testing.assert_close(net.weight.grad, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_both_paths_run_in_inference_mode(path):
    net = layer(20, 40)
    expected = results(net, spikes(2, 20, 6), path)[0]
    with torch.inference_mode(), synapse.path(path):
        x = spikes(2, 20, 6)
        assert torch.equal(net(x), expected)
        assert net.taken.backward is None


def test_what_is_saved_is_small():
    """Lists of events, not the input."""
    net, x = layer(200, 40), spikes(4, 200, 100, density=0.02)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        weight = net.hooked_weight.flatten(1)
        saved.clear()
        (z,), taken = _dense.sums(x, [weight])
    assert taken.forward == "events"
    assert sum(t.nbytes for t in saved) < x.nbytes / 20
    z.sum().backward()
    assert net.weight.grad is not None


def test_gradients_that_are_not_needed_are_not_computed():
    net, x = layer(20, 40), spikes(2, 20, 6).requires_grad_()
    net.weight.requires_grad_(False)
    with synapse.path("events"):
        z = net(x)
    assert (net.taken.forward, net.taken.backward) == ("events", None)
    z.sum().backward()
    expected = net.hooked_weight.flatten(1).sum(0)
    torch.testing.assert_close(x.grad, expected[None, :, None].expand_as(x))


def test_other_types_are_matrix_products():
    net = layer(20, 40).double()
    with synapse.path("events"):
        z = net(spikes(2, 20, 6).double())
    assert z.dtype == torch.float64
    assert net.taken.forward == "gemm"


def test_matrix_products_have_second_derivatives():
    net, x = layer(5, 4, None), spikes(2, 5, 3).requires_grad_()
    with synapse.path("gemm"):
        (first,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    first.square().sum().backward()
    assert net.weight.grad is not None


@pytest.mark.parametrize("path", ["events", "gemm"])
def test_a_complex_dense_takes_both_paths(path):
    torch.manual_seed(1)
    net = synapse.complex.Dense(20, 40, weight_scale=6, pre_hook_fx=QUANTISER)
    x = spikes(2, 20, 6).requires_grad_()
    with synapse.path(path):
        real, imag = net(x)
    assert net.real.taken is net.imag.taken
    assert net.real.taken.forward == path
    for part, z in ((net.real, real), (net.imag, imag)):
        assert torch.equal(z, results(part, x, "gemm")[0])
    net.zero_grad()
    (2 * real + 3 * imag).sum().backward()
    expected = (2 * net.real.hooked_weight + 3 * net.imag.hooked_weight).flatten(1).sum(0)
    torch.testing.assert_close(x.grad, expected[None, :, None].expand_as(x), rtol=1e-5, atol=1e-5)
    counts = x.detach().sum((0, 2)).expand(40, -1)
    torch.testing.assert_close(net.imag.weight.grad.flatten(1), 3 * counts)


@pytest.mark.parametrize("family", ["cuba", "rf_iz"])
def test_a_network_gives_the_same_by_either_path(family):
    """Spikes and gradients of a network of blocks, by either path."""
    params = {"threshold": 0.5, "requires_grad": True}
    params |= {"current_decay": 0.25, "voltage_decay": 0.03} if family == "cuba" else {"period": 5, "decay": 0.1}
    make = getattr(block, family).Dense
    outputs = []
    for path in ("events", "gemm"):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            make(params, 60, 50, weight_norm=True, delay=True, weight_scale=3), make(params, 50, 10, weight_scale=3)
        )
        with synapse.path(path):
            y = net(spikes(3, 60, 40))
            y.sum().backward()
        outputs.append((y.detach(), [p.grad for p in net.parameters()]))
    (y, gradients), (other, other_gradients) = outputs
    assert y.sum() > 0
    assert torch.equal(y, other)
    for a, b in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 40, 50), (300, 700, 1)])
def test_the_estimated_density_counts_what_is_not_zero(shape):
    x = spikes(*shape)
    x[0, :4, 0] = torch.tensor([-0.0, float("nan"), float("inf"), -3.0])
    flat = x.movedim(-1, 0).flatten() if shape[-1] == 1 else x.flatten()
    if flat.numel() > 2 * _dense.SAMPLES * _dense.SAMPLE:
        apart = flat.numel() // _dense.SAMPLES
        flat = flat[: apart * _dense.SAMPLES].view(_dense.SAMPLES, apart)[:, : _dense.SAMPLE]
    assert _dense._Entries(x).density() == torch.count_nonzero(flat).item() / flat.numel()
