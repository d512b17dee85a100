"""Checkpoints: what was trained comes back, also into a network that has not seen any input."""

import pytest
import torch

from lavadl_ref import slayer
from lavadl_ref.slayer import axon, neuron
from lavadl_ref.slayer.block import cuba
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import matrix, upstream

PARAMS = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": (0.05, 0.3), "shared_param": False}
T = 20


def network():
    """Norms, decays and delays per channel, weight norm."""
    params = {**PARAMS, "requires_grad": True}
    return torch.nn.Sequential(
        cuba.Conv(
            {**params, "norm": neuron.norm.MeanOnlyBatchNorm}, 2, 4, 3, weight_scale=3, weight_norm=True, delay=True
        ),
        cuba.Flatten(),
        cuba.Dense({**params, "norm": neuron.norm.WgtScaleBatchNorm}, 4 * 4 * 4, 6, weight_scale=3, delay=True),
        cuba.Dense({**params, "shared_param": True, "voltage_decay": 0.1}, 6, 3, weight_scale=9, weight_norm=True),
    )


def spikes(batch=3, seed=0):
    return (torch.rand(batch, 2, 6, 6, T, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def trained(net):
    """`net` after a few steps, its delays spread out."""
    for seed in range(3):
        net(spikes(seed=seed))
    for block in net:
        if getattr(block, "delay", None) is not None:
            block.delay.delay.data *= 5
    return net


def test_fresh_network_loads_before_its_first_input(tmp_path):
    torch.manual_seed(0)
    net = trained(network()).eval()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.manual_seed(1)
    fresh = network().eval()
    fresh.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True), strict=True)
    y = net(spikes(seed=7))
    assert y.sum() > 0
    assert torch.equal(fresh(spikes(seed=7)), y)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, net.state_dict()[key]), key


def test_network_loads_after_its_first_input():
    net = trained(network()).eval()
    other = network()
    other(spikes())
    other.eval().load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(other(spikes(seed=7)), net(spikes(seed=7)))


def test_training_goes_on():
    net = trained(network())
    fresh = network()
    fresh.load_state_dict(net.state_dict())
    for n in (net, fresh):
        n(spikes(seed=5)).sum().backward()
    for (key, p), q in zip(net.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), key


def test_optimiser_of_a_fresh_network_holds_what_is_loaded():
    fresh = network()
    optimiser = torch.optim.SGD(fresh.parameters(), lr=0.1)
    fresh.load_state_dict(trained(network()).state_dict())
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert held == {id(p) for p in fresh.parameters()}


def test_a_checkpoint_of_a_network_that_never_ran_is_drawn_later():
    """Placeholders are no values: the first input still shapes and draws what it has to."""
    net, fresh = network(), network()
    fresh.load_state_dict(net.state_dict())
    fresh(spikes())
    assert fresh[0].neuron.norm.running_mean.shape == (4,)
    assert fresh[0].neuron.voltage_decay.shape == (4,)
    assert len(fresh[0].neuron.voltage_decay.unique()) == 4
    assert len(fresh[0].delay.delay.unique()) == 4


@pytest.mark.parametrize("delay", [0.0, 3.25])
def test_a_single_channel_is_a_value(delay):
    layer = axon.Delay()
    x = torch.rand(1, 1, 9)
    layer(x)
    layer.delay.data.fill_(delay)
    fresh = axon.Delay()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))
    assert fresh.delay.item() == delay
    norm = MeanOnlyBatchNorm()
    norm(x)
    again = MeanOnlyBatchNorm().eval()
    again.load_state_dict(norm.state_dict())
    assert torch.equal(again(x), norm.eval()(x))


def test_a_checkpoint_of_another_size_is_refused():
    net = trained(network())
    state = net.state_dict()
    state["0.neuron.norm.running_mean"] = torch.zeros(9)
    with pytest.raises(RuntimeError, match=r"size mismatch for 0.neuron.norm.running_mean"):
        net.load_state_dict(state)


def test_states_are_saved_where_they_persist():
    decays = ["current_decay", "voltage_decay", "norm.running_mean", "norm.running_var"]
    for persistent in (False, True):
        n = neuron.cuba.Neuron(1.0, 0.3, 0.1, persistent_state=persistent, norm=WgtScaleBatchNorm)
        states = ["persistent_current_state", "persistent_voltage_state"] if persistent else []
        assert sorted(n.state_dict()) == sorted(decays + states)
        n(torch.rand(2, 3, 4))
        assert sorted(n.state_dict()) == sorted(decays + states)


PERSISTENT = [case for case in matrix.cases() if case.persistent]


def _options(case):
    return {"delay": True} if matrix.BLOCKS[case.block].delays else {}


def _delayed(block):
    """`block`, whose delays are several steps long."""
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data = block.delay.delay.data * 5
    return block


def _equal(one, other):
    assert list(one) == list(other)
    for key, value in one.items():
        assert value.dtype == other[key].dtype, key
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("case", PERSISTENT, ids=str)
def test_a_resumed_block_is_the_uninterrupted_one(case, tmp_path):
    x = case.input(steps=17)
    block = case.build(**_options(case))
    block(x[..., :1])
    _delayed(block)
    block(x[..., 1:9])
    torch.save(block.state_dict(), tmp_path / "block.pt")
    saved = torch.load(tmp_path / "block.pt", weights_only=True)
    assert any("persistent_" in key and value.numel() for key, value in saved.items())
    fresh = case.build(seed=2, **_options(case))
    fresh.load_state_dict(saved, strict=True)
    _equal(fresh.state_dict(), block.state_dict())
    used = case.build(seed=3, **_options(case))
    used(case.input(seed=4, steps=5))
    used.load_state_dict(saved, strict=True)
    rest = case.build(seed=2, **_options(case))
    rest.load_state_dict(saved, strict=True)
    rest.reset()
    y = block(x[..., 9:])
    assert torch.equal(fresh(x[..., 9:]), y)
    assert torch.equal(used(x[..., 9:]), y)
    _equal(fresh.state_dict(), block.state_dict())
    # the states matter
    same = torch.equal(rest(x[..., 9:]), y)
    after = rest.state_dict()
    assert not (same and all(torch.equal(value, after[key]) for key, value in block.state_dict().items()))


@pytest.mark.parametrize("case", PERSISTENT, ids=str)
def test_a_state_at_rest_is_loaded_as_rest(case):
    x = case.input(steps=9)
    block = case.build(**_options(case))
    block(x)
    block.reset()
    saved = block.state_dict()
    assert not any(value.numel() for key, value in saved.items() if "persistent_" in key)
    used = case.build(seed=3, **_options(case))
    used(case.input(seed=4, steps=5))
    used.load_state_dict(saved, strict=True)
    assert torch.equal(used(x), block(x))


@pytest.mark.parametrize("case", PERSISTENT, ids=str)
def test_state_dicts_without_states_leave_them(case):
    """As those of Lava-DL are."""
    x = case.input(steps=9)
    block = case.build(**_options(case))
    block(x)
    plain = {key: value for key, value in block.state_dict().items() if "persistent_" not in key}
    other = matrix.Case(case.family, case.block, case.form, case.per_channel, persistent=False)
    untouched = other.build(**_options(case))
    untouched(x)
    assert list(untouched.state_dict()) == list(plain)
    twin = case.build(**_options(case))
    twin.load_state_dict(block.state_dict())
    block.load_state_dict(plain, strict=True)
    assert torch.equal(block(x), twin(x))


def test_another_batch_starts_at_rest():
    block = cuba.Dense({**PARAMS, "persistent_state": True}, 4, 3)
    block(torch.ones(2, 4, 9))
    fresh = cuba.Dense({**PARAMS, "persistent_state": True}, 4, 3)
    fresh.load_state_dict(block.state_dict())
    y = fresh(torch.ones(3, 4, 9))
    fresh.reset()
    assert torch.equal(fresh(torch.ones(3, 4, 9)), y)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (torch.zeros(2, 7), r"must have the shape \(N, 3\) of these neurons, got \(2, 7\)"),
        (torch.full((2, 3), torch.nan), "must be finite"),
        (torch.zeros(2, 3, dtype=torch.complex64), "must be a real tensor, got torch.complex64"),
        ([0.0], "must be a real tensor, got list"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(value, problem):
    block = cuba.Dense({**PARAMS, "persistent_state": True}, 4, 3)
    block(torch.ones(2, 4, 9))
    state = block.state_dict()
    state["neuron.persistent_voltage_state"] = value
    with pytest.raises(RuntimeError, match="neuron.persistent_voltage_state " + problem):
        block.load_state_dict(state)


def test_mask_is_saved():
    mask = torch.zeros(3, 4)
    mask[0] = 1
    block = cuba.Dense({**PARAMS, "shared_param": True, "voltage_decay": 0.1}, 4, 3, mask=mask)
    assert "mask" in block.state_dict()
    again = cuba.Dense({**PARAMS, "shared_param": True, "voltage_decay": 0.1}, 4, 3, mask=torch.ones(3, 4))
    again.load_state_dict(block.state_dict())
    assert torch.equal(again.synapse.hooked_weight, block.synapse.hooked_weight)
    assert torch.equal(mask.sum(), torch.tensor(4.0))


# -- checkpoints of lava-dl -------------------------------------------------------------------


@pytest.fixture
def theirs():
    return upstream.slayer()


@pytest.mark.upstream
@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_a_checkpoint_of_lava_dl_is_loaded(theirs):
    torch.manual_seed(0)
    shared = {**PARAMS, "shared_param": True, "voltage_decay": 0.1}

    def build(package):
        norm, blocks = package.neuron.norm, package.block.cuba
        return torch.nn.Sequential(
            blocks.Conv(
                {**shared, "norm": norm.MeanOnlyBatchNorm}, 2, 4, 3, weight_scale=3, weight_norm=True, delay=True
            ),
            blocks.Flatten(),
            blocks.Dense(
                {**PARAMS, "norm": norm.WgtScaleBatchNorm}, 64, 6, weight_scale=3, delay=True, mask=torch.eye(6, 64)
            ),
            blocks.Dense(shared, 6, 3, weight_scale=9, weight_norm=True),
        )

    net = trained(build(theirs)).eval()
    fresh = build(slayer).eval()
    fresh.load_state_dict(net.state_dict(), strict=True)
    for x in (spikes(seed=7), spikes(seed=8)):
        assert torch.equal(fresh(x), net(x))
    assert net(x).sum() > 0
    net.load_state_dict(fresh.state_dict(), strict=True)
