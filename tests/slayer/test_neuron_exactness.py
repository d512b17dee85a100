"""CUBA and feedback beyond 2**24 units of 1/4096, where float32 no longer holds every integer: `==` with the oracle."""

import warnings

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import block
from lavadl_ref.slayer._bridge.autograd import largest_of
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import oracle as naive
from tests.support.slayer_neurons import make

SHAPE = (2, 3, 60)
LARGE = {"current_decay": 0.01, "voltage_decay": 0.03, "threshold": 60000.25}


def signal(seed=0, size=500):
    """Multiples of 1/4096 that need all the bits of float32; currents pass 2**24 units."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-size * 2048, size * 4096, SHAPE, generator=generator) / 4096


def oracle(n, x, bias=(0, 0, 0)):
    """Currents, voltages before and after the reset, and spikes: int64 (N, C, T)."""
    rows = [
        [
            naive.cuba(
                [int(value * 4096) for value in x[sample, channel].double().tolist()],
                int(n.cx_current_decay), int(n.cx_voltage_decay), n.v_th_mant * 64, bias[channel],
            )
            for channel in range(x.shape[1])
        ]
        for sample in range(x.shape[0])
    ]  # fmt: skip
    return [torch.tensor([[parts[k] for parts in row] for row in rows]) for k in range(4)]


def nearest(integers):
    return torch.from_numpy((integers.numpy() / 4096).astype(np.float32))


def test_dynamics_rounds_what_it_returns_and_no_state():
    n, x = make("cuba", persistent_state=True, **LARGE), signal()
    current, voltage = n.dynamics(x)
    u, w, v, s = oracle(n, x)
    assert u.abs().max() > 1 << 24
    assert 0 < s.sum() < s.numel()
    assert torch.equal(current, nearest(u))
    assert torch.equal(voltage, nearest(w))
    assert torch.equal((n.current_state * 4096).long(), u[..., -1])
    assert torch.equal((n.voltage_state * 4096).long(), v[..., -1])
    n.reset()
    assert torch.equal(n(x).long(), s)


def test_handing_the_current_on_as_float32_would_not_have_sufficed():
    n, x = make("cuba", **LARGE), signal()
    u, w, *_ = oracle(n, x)
    again = make("cuba", **{**LARGE, "current_decay": 1.0})
    handed = oracle(again, nearest(u))
    assert not torch.equal(nearest(handed[1]), nearest(w))


def test_affine_is_exact():
    params = {"threshold": 1, "current_decay": 0.01, "voltage_decay": 0.001}
    readout = block.cuba.Affine(params, 4, 3, weight_norm=False)
    x = (torch.rand(2, 4, 300, generator=torch.Generator().manual_seed(3)) < 0.8).float() * 30
    sums = readout.synapse(x)
    expected = oracle(make("cuba", **{**params, "threshold": 2.0**30}), sums.detach())
    assert expected[1].abs().max() > 1 << 26
    assert torch.equal(readout(x).detach(), nearest(expected[1]))


def normed(norm, **options):
    n = make("cuba", norm=norm, persistent_state=True, **{**LARGE, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for seed in range(20):
            n(signal(seed, 40))
    n.reset()
    return n


def test_mean_only_norm_is_a_bias_of_exact_integers_in_evaluation():
    n, x = normed(MeanOnlyBatchNorm).eval(), signal()
    bias = (n.norm.offset(x).flatten() * 4096).long().tolist()
    assert all(value % 64 == 0 and value for value in bias)
    u, w, v, s = oracle(n, x, bias)
    current, voltage = n.dynamics(x)
    assert torch.equal(voltage, nearest(w))
    assert torch.equal(current, nearest(u) + n.norm.offset(x))
    assert torch.equal((n.current_state * 4096).long(), u[..., -1])
    assert torch.equal((n.voltage_state * 4096).long(), v[..., -1])
    n.reset()
    assert torch.equal(n(x).long(), s)


class Doubled(torch.nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize(
    ("norm", "training"),
    [
        (MeanOnlyBatchNorm, True),
        (WgtScaleBatchNorm, True),
        (WgtScaleBatchNorm, False),
        (Doubled, True),
        (Doubled, False),
    ],
)
def test_a_norm_beyond_float32_gives_one_warning(norm, training):
    n = make("cuba", norm=norm, **LARGE).train(training)
    n(signal(size=10))  # exact: nothing to say
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for seed in range(3):
            n(signal(seed))
            n.dynamics(signal(seed))
    (only,) = warned
    assert only.category is RuntimeWarning
    assert f"current passed 4096 in magnitude; {norm.__name__} computes" in str(only.message)


def test_a_hooked_norm_is_called():
    n = make("cuba", norm=MeanOnlyBatchNorm).eval()
    calls = []
    n.norm.register_forward_hook(lambda *given: calls.append(given))
    n(signal(size=10))
    n.dynamics(signal(size=10))
    assert len(calls) == 2


@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm])
@pytest.mark.parametrize("name", ["KWTA", "Recurrent"])
@pytest.mark.parametrize("family", ["cuba", "alif"])
def test_graded_feedback_in_chunks_is_the_whole(family, name, norm):
    torch.manual_seed(4)
    params = {"threshold": 0.5, "current_decay": 0.1, "voltage_decay": 0.01, "graded_spike": True, "norm": norm}
    params |= {"persistent_state": True}
    if family == "alif":  # nothing is reset
        params |= {"current_decay": 0.9, "voltage_decay": 0.9}
        params |= {"threshold_step": 0.25, "threshold_decay": 0.2, "refractory_decay": 0.4}
    if name == "KWTA":
        layer = getattr(block, family).KWTA(params, 6, 5, 2, 0.5, 20)
    else:
        layer = getattr(block, family).Recurrent(params, 6, 5)
        layer.recurrent_synapse.weight.data *= 0.3
    x = (torch.rand(3, 6, 24) < 0.5).float() * 1731.25
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        layer(x)
    layer.eval().reset()
    with torch.no_grad():
        whole = layer(x)
        for cut in (1, 7, 8):
            layer.reset()
            parts = [layer(part) for part in (x[..., :cut], x[..., cut:])]
            assert torch.equal(torch.cat(parts, -1), whole), cut
    assert whole.max() > 1000


def test_the_largest_state_is_known_of_neurons_at_rest_alone():
    assert largest_of((0, -7, 5)) == 7
    assert largest_of((0, torch.zeros(2, 3, dtype=torch.int64))) is None
