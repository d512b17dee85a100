"""Blocks that have seen nothing: they are exported, copied, wrapped, saved and loaded as after their first input."""

import copy
import pickle

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from lavadl_ref.exchange import Network
from lavadl_ref.slayer import axon, block, neuron
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS, FAMILIES
from tests.support.same_networks import same

every = pytest.mark.parametrize("case", matrix.cases(), ids=str)
#: the number of whose channels is that of their input
OPEN = ("Input", "Pool", "Unpool")
#: that follow from their arguments
SIZED = [case for case in matrix.cases() if case.block not in OPEN]
sized = pytest.mark.parametrize("case", SIZED, ids=str)
#: with parameters to be drawn, or a delay
OWN = [case for case in SIZED if case.per_channel]


def fresh(case):
    """A block with a norm and a delay where it may have them."""
    norm = MeanOnlyBatchNorm if case.block not in ("Input", "Output", "Pool", "Unpool") else None
    return case.build(norm=norm, **({"delay": True} if BLOCKS[case.block].delays else {}))


def run(module, x, seed=5):
    """Output for `x`; what is drawn is drawn from `seed`."""
    torch.manual_seed(seed)
    with torch.no_grad():
        return module(x)


def states(module):
    """(part, name) of every state that reads as a tensor."""
    return [
        (part, name)
        for part in module.modules()
        for name in getattr(part, "_states", ())
        if isinstance(part, (neuron.base.Neuron, axon.Delta)) or type(part).__name__ == "Sigma"
    ]


@every
def test_what_is_exported_is_what_runs_afterwards(case):
    made = fresh(case).eval()
    if case.block in (*OPEN, "Conv", "ConvT"):
        with pytest.raises(RuntimeError, match="has not seen any input"):
            made.describe()
        return
    described = Network((made.describe(),))
    run(made, case.input())
    assert same(Network((made.describe(),)), described)


@every
def test_a_copied_block_draws_as_the_original(case):
    made = fresh(case)
    x = case.input()
    copied, pickled = copy.deepcopy(made), pickle.loads(pickle.dumps(made))
    y = run(made, x)
    assert torch.equal(run(copied, x), y)
    assert torch.equal(run(pickled, x), y)


@sized
def test_parameters_have_their_sizes_from_the_start(case):
    made = fresh(case)
    before = {name: p.shape for name, p in made.named_parameters()}
    known = list(made.parameters())
    run(made, case.input())
    assert {name: p.shape for name, p in made.named_parameters()} == before
    assert all(a is b for a, b in zip(made.parameters(), known, strict=True))


@sized
def test_an_average_made_before_has_the_values_drawn_later(case):
    made = fresh(case)
    x = case.input()
    averaged = AveragedModel(made)
    run(made, x)
    averaged.update_parameters(made)
    made.reset()
    assert all(torch.equal(a, b) for a, b in zip(averaged.module.parameters(), made.parameters(), strict=True))
    assert torch.equal(run(averaged.eval(), x, seed=6), run(made.eval(), x, seed=7))


@pytest.fixture(scope="module")
def process_group(tmp_path_factory):
    store = tmp_path_factory.mktemp("group") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")  # a machine's name may not lead to an address
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
        yield
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("case", OWN, ids=str)
def test_a_network_wrapped_before_for_several_processes_trains(case, process_group):
    made, plain = fresh(case), fresh(case)
    x = case.input()
    wrapped = DistributedDataParallel(made, find_unused_parameters=True)
    torch.manual_seed(3)
    (wrapped(x) ** 2).sum().backward()
    torch.manual_seed(3)
    (plain(x) ** 2).sum().backward()
    for (name, p), q in zip(made.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q), name
        gradients = [torch.zeros_like(p) if part.grad is None else part.grad for part in (p, q)]
        assert torch.equal(*gradients), name


@every
def test_states_read_and_can_be_written_in_place(case):
    made, untouched = fresh(case), fresh(case)
    x = case.input()
    for part, name in states(made):
        assert isinstance(getattr(part, name), torch.Tensor)
        assert torch.equal(getattr(part, name), getattr(part, name))
        getattr(part, name)[:] = getattr(part, name).clone()
        if name != "threshold_state":
            getattr(part, name).zero_()
    assert torch.equal(run(made, x), run(untouched, x))
    made.reset()
    untouched.reset()
    for part, name in states(made):
        if name != "threshold_state":
            getattr(part, name).zero_()
    assert torch.equal(run(made, x), run(untouched, x))


def test_a_state_written_before_the_first_input_acts():
    params = {**FAMILIES["cuba"], "persistent_state": True}
    made, other = block.cuba.Dense(params, 3, 2), block.cuba.Dense(params, 3, 2)
    x = torch.zeros(2, 3, 4)
    made.neuron.current_state[:] = 0.75
    made(x)
    other(x)
    other.reset()
    other.neuron.current_state = torch.full((2, 2), 0.75, dtype=torch.float64)
    other.neuron.voltage_state = torch.zeros(2, 2, dtype=torch.float64)
    other(x)
    assert made.neuron.current_state.any()
    assert torch.equal(made.neuron.current_state, other.neuron.current_state)
    assert torch.equal(made.neuron.voltage_state, other.neuron.voltage_state)


@every
def test_checkpoints_of_blocks_with_and_without_input_are_loaded(case):
    ran, made = fresh(case), fresh(case)
    x = case.input()
    run(ran, x)
    ran.reset()
    made.load_state_dict(copy.deepcopy(ran.state_dict()))
    assert torch.equal(run(made.eval(), x, seed=6), run(ran.eval(), x, seed=7))
    again = fresh(case)
    again.load_state_dict(copy.deepcopy(fresh(case).state_dict()))
    assert torch.equal(run(again, x), run(fresh(case), x))


# what is read out has thresholds that nothing draws
DRAWN = [case for case in OWN if case.family != "sigma_delta" or case.block not in ("Affine", "Output")]


@pytest.mark.parametrize("case", DRAWN, ids=str)
def test_a_checkpoint_without_values_does_not_replace_values(case):
    ran = fresh(case)
    run(ran, case.input())
    with pytest.raises(RuntimeError, match="saved before the first input, without values"):
        ran.load_state_dict(fresh(case).state_dict())


def test_what_training_left_below_zero_is_exported_as_forward_uses_it():
    made = block.sigma_delta.Dense({**FAMILIES["sigma_delta"], "requires_grad": True}, 3, 2)
    x = matrix.Case("sigma_delta", "Dense", "dense").input()[:, :3]
    made(x)
    made.neuron.delta.threshold.data.fill_(-0.5)  # as a step of an optimiser may
    described = made.describe()
    made(x)
    assert same(Network((made.describe(),)), Network((described,)))
    assert described.neuron["threshold"] == 0


def test_a_delay_beyond_the_longest_is_said_once():
    made = block.cuba.Dense(FAMILIES["cuba"], 3, 2, delay=True)
    x = torch.zeros(1, 3, 80)
    x[..., 0] = 64
    made(x)
    made.delay.delay.data[:] = torch.tensor([70.0, 3.0])
    with pytest.warns(UserWarning, match="a delay of 70 is clamped to 62"):
        made(x)
    made.delay.delay.data[:] = torch.tensor([70.0, 3.0])
    made(x)  # no second warning: it would be an error here
    assert made.describe().delay.tolist() == [62, 3]


def test_decays_are_drawn_within_their_range():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="the nearest number from 0 to 1"):
        cell = neuron.cuba.Neuron(1, (0.9, 1.5), 0.1, shared_param=False)
    cell(torch.zeros(1, 200, 3))
    drawn = cell.current_decay.detach()
    assert drawn.max() == 4096
    assert drawn.min() < 4096
