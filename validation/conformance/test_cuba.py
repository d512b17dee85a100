"""CUBA neurons and blocks against lava-dl: equal integers, and gradients to the rounding of float32.

lava-dl computes its states in float32, which holds integers below 2**24: all cases stay inside.
Its decay gradients have the other sign and are 4096 times larger, and see the voltage before
its reset; where nothing spikes they are -4096 times ours.
"""

import inspect
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream
from validation.conformance._compare import close, gradient

pytestmark = [
    pytest.mark.upstream,
    # what lava-dl itself uses: a deprecated weight norm
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
theirs = upstream.slayer()
BOTH = (ours, theirs)

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 4, 5, 40)], ids=["dense", "spatial"])
NORMS = pytest.mark.parametrize("norm", [None, "MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
SEEDS = pytest.mark.parametrize("seed", range(4))


def signal(shape, seed=0, size=1.5):
    """Weighted sums: multiples of 1/64 of both signs."""
    rng = np.random.default_rng(seed)
    return torch.tensor(np.rint(rng.normal(0.2, size, shape) * 64) / 64, dtype=torch.float32)


def spikes(shape, seed=0, rate=0.4):
    return torch.tensor(np.random.default_rng(seed).random(shape) < rate, dtype=torch.float32)


def parameters(seed, norm=None, **options):
    """Random arguments of a neuron, edges among them; `norm` by name."""
    rng = np.random.default_rng(seed)
    params = {
        "threshold": float(rng.choice([0.1, 0.5, 1.0, 1.25])),
        "current_decay": float(rng.choice([0.0005, 0.1, 0.5, 0.999, 1, rng.random()])),
        "voltage_decay": float(rng.choice([0.0005, 0.03, 0.5, 1, rng.random()])),
        "tau_grad": float(rng.choice([0.03, 0.1, 1])),
        "scale_grad": float(rng.choice([0.5, 1, 3])),
        **options,
    }
    return [params if norm is None else {**params, "norm": getattr(root.neuron.norm, norm)} for root in BOTH]


# -- arguments --------------------------------------------------------------------------------


def arguments(function):
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values() if p.name != "self"]


@pytest.mark.parametrize(
    "name",
    [
        "neuron.cuba.Neuron", "neuron.cuba.neuron_params", "neuron.norm.MeanOnlyBatchNorm",
        "neuron.norm.WgtScaleBatchNorm", "synapse.Dense", "synapse.Conv", "synapse.Pool", "synapse.ConvTranspose",
        "synapse.Unpool", "axon.delay", "axon.Delay",
    ],
)  # fmt: skip
def test_cuba_has_the_arguments_of_lava_dl(name):
    parts = list(BOTH)
    for step in name.split("."):
        parts = [getattr(part, step) for part in parts]
    assert arguments(parts[0]) == arguments(parts[1])


@pytest.mark.parametrize(
    "name",
    [
        "Input", "Affine", "TimeDecimation", "Flatten", "Average", "Dense", "Conv", "ConvT", "Pool", "Unpool",
        "Recurrent", "KWTA",
    ],
)  # fmt: skip
def test_cuba_blocks_have_the_arguments_of_lava_dl(name):
    """lava-dl's blocks take anything; the abstract block beneath names the arguments.

    An argument that lava-dl does not have follows all of lava-dl's, so that no call by position changes its meaning.
    """
    abstract = next(c for c in getattr(theirs.block.cuba, name).__mro__ if c.__name__ == f"Abstract{name}")
    added = [("input_bias", False)] if name in {"Affine", "Dense", "Conv", "ConvT", "Recurrent", "KWTA"} else []
    assert arguments(getattr(ours.block.cuba, name)) == arguments(abstract) + added


@pytest.mark.parametrize("threshold", [0.1, 0.999, 1, 1.25])
@pytest.mark.parametrize("decay", [0, 0.3, 0.5, 1])
def test_cuba_has_the_device_parameters_of_lava_dl(threshold, decay):
    actual, expected = (root.neuron.cuba.Neuron(threshold, decay, decay) for root in BOTH)
    assert actual.device_params == expected.device_params
    for name in ("threshold", "v_th_mant", "weight_exponent", "cx_current_decay", "w_scale", "s_scale", "p_scale"):
        assert getattr(actual, name) == getattr(expected, name)
    ours_back, theirs_back = (
        root.neuron.cuba.neuron_params(n.device_params) for root, n in zip(BOTH, (actual, expected), strict=True)
    )
    assert {key: ours_back[key] for key in theirs_back} == theirs_back


def test_cuba_has_the_quantiser_of_lava_dl():
    w = torch.linspace(-5, 5, 2003)
    actual, expected = (root.neuron.cuba.Neuron(1, 0.3, 0.1) for root in BOTH)
    assert torch.equal(actual.quantize_8bit(w), expected.quantize_8bit(w))
    assert torch.equal(actual.quantize_8bit(w, descale=True), expected.quantize_8bit(w, descale=True))


# -- neurons ----------------------------------------------------------------------------------


@SHAPES
@SEEDS
@pytest.mark.parametrize("graded", [False, True])
@NORMS
def test_a_cuba_neuron_gives_the_same(shape, seed, graded, norm):
    """Current, voltage, spikes and input gradients, in training and in evaluation."""
    pair = [
        root.neuron.cuba.Neuron(**params, graded_spike=graded)
        for root, params in zip(BOTH, parameters(seed, norm), strict=True)
    ]
    for training in (True, False):
        results = []
        for n in pair:
            n.train(training)
            x = signal(shape, seed).requires_grad_()
            current, voltage = n.dynamics(x)
            s = n(x)
            s.backward(gradient(shape))
            results.append((current.detach(), voltage.detach(), s.detach(), x.grad))
        actual, expected = results
        assert expected[1].abs().max() < 2**12
        assert expected[2].any()
        if norm and training:
            # a mean of floats: its last bit depends on the order of the sum
            torch.testing.assert_close(actual[0], expected[0], rtol=1e-5, atol=1e-5)
        else:
            for a, e in zip(actual[:3], expected[:3], strict=True):
                assert torch.equal(a, e)
            close(actual[3], expected[3])
        if norm:
            for a, e in zip(pair[0].norm.buffers(), pair[1].norm.buffers(), strict=True):
                torch.testing.assert_close(a, e, rtol=1e-5, atol=1e-6)
            pair[0].norm.load_state_dict(pair[1].norm.state_dict())


def test_equality_at_the_threshold_is_no_spike_in_both():
    """64 of 64 is not a spike, 65 is; the voltage is kept at equality."""
    x = torch.tensor([63, 64, 65, 64.015625]).reshape(1, 4, 1).repeat(1, 1, 3) / 64
    for decay in (1.0, 0.5):
        actual, expected = (root.neuron.cuba.Neuron(1.0, 1.0, decay) for root in BOTH)
        assert torch.equal(actual.dynamics(x)[1], expected.dynamics(x)[1])
        assert torch.equal(actual(x), expected(x))
    assert actual(x)[0, :, 0].tolist() == [0, 0, 1, 1]


@SEEDS
def test_cuba_parameters_of_channels_give_the_same(seed):
    """One decay per channel, where lava-dl supports it: without space."""
    x = signal((2, 3, 40), seed)
    decays = {"current_decay": (0.05, 0.9), "voltage_decay": (0.01, 0.5)}
    params, _ = parameters(seed, shared_param=False, **decays)
    actual, expected = (root.neuron.cuba.Neuron(**params) for root in BOTH)
    results = []
    for n in (expected, actual):
        n(x)
        if n is actual:
            for name in ("current_decay", "voltage_decay"):
                getattr(n, name).data = getattr(expected, name).detach().clone()
        x.grad = None
        x = x.detach().requires_grad_()
        s = n(x)
        s.backward(gradient(s.shape))
        results.append((s.detach(), x.grad, n.cx_current_decay, n.cx_voltage_decay))
    for e, a in zip(*results, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, e)
        else:
            close(a, e)
    assert torch.equal(results[0][0], results[1][0])


@SHAPES
@SEEDS
def test_the_persistent_state_of_cuba_is_the_same(shape, seed):
    pair = [root.neuron.cuba.Neuron(**parameters(seed)[0], persistent_state=True) for root in BOTH]
    x = signal(shape, seed)
    for lo, hi in ((0, 7), (7, 8), (8, 40)):
        actual, expected = (n(x[..., lo:hi]) for n in pair)
        assert torch.equal(actual, expected)
        assert torch.equal(pair[0].voltage_state.float(), pair[1].voltage_state.expand(shape[:-1]))
        assert torch.equal(pair[0].current_state.float(), pair[1].current_state.expand(shape[:-1]))


@SHAPES
@SEEDS
def test_decay_gradients_without_spikes_are_the_same(shape, seed):
    """Without a reset, lava-dl's decay gradients are -4096 times the gradient of the loss."""
    params, _ = parameters(seed, requires_grad=True)
    params.update(threshold=30.0, current_decay=max(0.1, params["current_decay"]), voltage_decay=0.3, tau_grad=0.1)
    results = []
    for root in BOTH:
        n = root.neuron.cuba.Neuron(**params)
        x = signal(shape, seed, size=0.3)
        s = n(x)
        assert not s.any()
        s.backward(gradient(shape))
        results.append((n.current_decay.grad, n.voltage_decay.grad))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(-4096 * actual, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
        assert expected.abs().max() > 0


@SEEDS
def test_the_gradient_of_the_current_decay_with_spikes_is_the_same(seed):
    """The current is never reset: the factor holds for its decay in any case."""
    params, _ = parameters(seed, requires_grad=True)
    params["current_decay"] = 0.4
    grads = []
    for root in BOTH:
        n = root.neuron.cuba.Neuron(**params)
        s = n(signal((2, 3, 40), seed))
        s.backward(gradient(s.shape))
        grads.append(n.current_decay.grad)
    assert s.any()
    torch.testing.assert_close(-4096 * grads[0], grads[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("scale", [1, 64])
def test_the_spike_function_gives_the_same(graded, scale):
    results = []
    for root in BOTH:
        voltage = signal((2, 3, 40)).requires_grad_()
        s = root.spike.Spike.apply(voltage, 1.0, 0.7, 2.0, graded, 0, scale)
        s.backward(gradient(s.shape))
        results.append((s.detach(), voltage.grad))
    assert torch.equal(results[0][0], results[1][0])
    close(results[0][1], results[1][1])


# -- delays -----------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize(("value", "sampling"), [(1, 1), (3.7, 1), (-2, 1), (5, 2)])
def test_the_delay_function_gives_the_same(shape, value, sampling):
    results = []
    for root in BOTH:
        x = signal(shape).requires_grad_()
        y = root.axon.delay(x, value, sampling)
        y.backward(gradient(shape))
        results.append((y.detach(), x.grad))
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("grad_scale", [1, 0.5])
@SHAPES
def test_a_learnt_delay_gives_the_same(shape, grad_scale):
    results = []
    for root in BOTH:
        layer = root.axon.Delay(max_delay=10, grad_scale=grad_scale)
        layer(signal(shape))
        layer.delay.data = torch.tensor([0.9, 4.0, 20.0])
        x = signal(shape).requires_grad_()
        with pytest.warns(UserWarning, match="a delay of 20 is clamped to 10") if root is ours else nullcontext():
            y = layer(x)
        y.backward(gradient(shape))
        results.append((y.detach(), x.grad, layer.delay.grad))
    for actual, expected in zip(results[0][:2], results[1][:2], strict=True):
        assert torch.equal(actual, expected)
    close(results[0][2].flatten(), results[1][2].flatten())


# -- blocks -----------------------------------------------------------------------------------

BLOCKS = {
    "Input": ((1.5, 0.125), (2, 12)),
    "Affine": ((12, 5), (12,)),
    "Dense": ((12, 5, 4), (12,)),
    "Conv": ((2, 4, (3, 2), 2, 1, 1, 2, 4), (2, 6, 7)),
    "ConvT": ((2, 4, (3, 2), 2, 1, 1, 2, 4), (2, 6, 7)),
    "Pool": ((2,), (2, 6, 8)),
    "Unpool": ((2,), (2, 6, 7)),
    "Flatten": ((), (2, 6, 7)),
    "Average": ((3,), (12,)),
    "TimeDecimation": ((4,), (12,)),
}


def blocks(name, seed=0, norm=None, **options):
    """The same block of both packages, with the same weights: drawn in the same order."""
    front = parameters(seed, norm) if name not in ("Flatten", "Average", "TimeDecimation") else [None, None]
    pair = []
    for root, params in zip(BOTH, front, strict=True):
        torch.manual_seed(seed)
        given = BLOCKS[name][0] if params is None else (params, *BLOCKS[name][0])
        pair.append(getattr(root.block.cuba, name)(*given, **options))
    return pair


def compare(pair, shape, seed=0):
    x = spikes((3, *shape, 40), seed)
    results = []
    for block in pair:
        given = x.clone().requires_grad_()
        y = block(given)
        y.backward(gradient(y.shape))
        weight = getattr(getattr(block, "synapse", None), "weight", None)
        results.append((y.detach(), given.grad, None if weight is None else weight.grad))
    (actual, *grads), (expected, *their_grads) = results
    assert torch.equal(actual, expected)
    if hasattr(pair[1], "shape"):
        assert tuple(pair[0].shape) == tuple(pair[1].shape)
    for a, e in zip(grads, their_grads, strict=True):
        if e is not None:
            close(a, e)
    return expected


@SEEDS
@pytest.mark.parametrize("name", BLOCKS)
def test_a_cuba_block_gives_the_same(name, seed):
    pair = blocks(name, seed)
    y = compare(pair, BLOCKS[name][1], seed)
    assert y.any()


@pytest.mark.parametrize("name", ["Dense", "Conv", "ConvT", "Pool", "Unpool"])
@pytest.mark.parametrize(("shift", "delay"), [(True, False), (True, True), (False, False), (False, True)])
def test_a_cuba_block_with_shift_and_delay_gives_the_same(name, shift, delay):
    pair = blocks(name, 3, delay=delay, delay_shift=shift)
    if delay:
        for block in pair:
            block(spikes((3, *BLOCKS[name][1], 40)))
        pair[1].delay.delay.data *= 6
        pair[0].delay.delay.data = pair[1].delay.delay.detach().clone().flatten()
    compare(pair, BLOCKS[name][1])
    if delay:
        close(pair[0].delay.delay.grad, pair[1].delay.delay.grad.flatten())


@pytest.mark.parametrize("name", ["Dense", "Conv", "ConvT"])
@pytest.mark.parametrize("norm", ["MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
def test_a_cuba_block_with_a_norm_in_evaluation_gives_the_same(name, norm):
    pair = blocks(name, 3, norm)
    for seed in range(3):
        for block in pair:
            block(spikes((3, *BLOCKS[name][1], 40), seed))
    pair[0].load_state_dict(pair[1].state_dict())
    for block in pair:
        block.eval()
    assert compare(pair, BLOCKS[name][1], 7).any()


@pytest.mark.parametrize("name", ["Dense", "Conv", "ConvT"])
def test_a_cuba_block_with_a_weight_norm_gives_the_same(name):
    pair = blocks(name, 3, weight_norm=True)
    x = spikes((3, *BLOCKS[name][1], 40))
    for actual, expected in zip(pair[0].synapse.parameters(), pair[1].synapse.parameters(), strict=True):
        torch.testing.assert_close(actual, expected)
    pair[0].load_state_dict(pair[1].state_dict())
    results = [block(x) for block in pair]
    assert torch.equal(*results)
    for y in results:
        y.backward(gradient(y.shape))
    for key in ("weight_g", "weight_v"):
        close(getattr(pair[0].synapse, key).grad, getattr(pair[1].synapse, key).grad)


@pytest.mark.parametrize("dynamics", [True, False])
def test_an_affine_block_gives_the_same(dynamics):
    compare(blocks("Affine", 3, dynamics=dynamics), (12,))


def test_a_masked_block_gives_the_same():
    mask = torch.tensor(np.random.default_rng(0).random((5, 12)) < 0.5)
    pair = blocks("Dense", 3, mask=mask.float())
    x = spikes((3, 12, 40))
    assert torch.equal(*(block(x) for block in pair))


@pytest.mark.parametrize("shape", [(12,), (2, 3, 4)])
def test_a_dense_block_takes_input_of_any_form(shape):
    neurons = 12 if len(shape) == 1 else (4, 3, 2)
    params, _ = parameters(3)
    pair = []
    for root in BOTH:
        torch.manual_seed(0)
        pair.append(root.block.cuba.Dense(params, neurons, 5, weight_scale=4))
    assert compare(pair, shape).any()


@pytest.mark.parametrize("name", ["Dense", "Conv"])
def test_persistent_blocks_in_inference_give_the_same(name):
    params, _ = parameters(3, persistent_state=True)
    pair = []
    for root in BOTH:
        torch.manual_seed(0)
        pair.append(getattr(root.block.cuba, name)(params, *BLOCKS[name][0]))
    x = spikes((3, *BLOCKS[name][1], 40))
    with torch.no_grad():
        for part in x.split([5, 1, 34], -1):
            actual, expected = (block(part) for block in pair)
            assert torch.equal(actual, expected)


def test_a_training_step_of_a_network_gives_the_same():
    """Two layers: spikes, loss and all weight gradients."""
    params, _ = parameters(3)
    params.update(threshold=1.0, current_decay=0.3, voltage_decay=0.1, tau_grad=0.1, scale_grad=1)
    nets = []
    for root in BOTH:
        blocks = root.block.cuba
        nets.append(
            torch.nn.Sequential(
                blocks.Conv(params, 2, 4, 3, weight_scale=3),
                blocks.Pool(params, 2, weight_scale=1),
                blocks.Flatten(),
                blocks.Dense(params, 16, 8, weight_scale=3),
                blocks.Dense(params, 8, 3, weight_scale=5),
            )
        )
    nets[0].load_state_dict(nets[1].state_dict())
    x = spikes((4, 2, 6, 6, 40))
    results = []
    for net in nets:
        y = net(x)
        (y.mean(-1) - 0.3).square().sum().backward()
        results.append((y.detach(), [p.grad for p in net.parameters() if p.grad is not None]))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][0].any()
    for actual, expected in zip(results[0][1], results[1][1], strict=True):
        close(actual, expected)
