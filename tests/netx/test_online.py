"""Networks that learn on Lava learn what the trainer learns, in the same bits."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lavadl_ref import audit, slayer, verify
from lavadl_ref.online import Firing, Learner
from lavadl_ref.slayer.block import describe
from tests import PATIENCE
from tests.support.lava import USABLE, WHY
from tests.support.lava_traces import assert_nothing_left, traces

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lava.proc.io.source import RingBuffer

from lavadl_ref.netx import online
from lavadl_ref.netx.online import values
from lavadl_ref.netx.run import inprocess, runtime

__all__ = ["traces"]

CUBA = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1, "requires_grad": True}
SLOW = {"threshold_step": 0.5, "threshold_decay": 0.3, "refractory_decay": 0.3}
NEURONS = {
    "cuba": CUBA,
    "alif": CUBA | SLOW,
    "rf_iz": {"threshold": 1.0, "period": 6.0, "decay": 0.1, "requires_grad": True},
    "sigma_delta": {"threshold": 0.1, "activation": torch.nn.functional.relu},
}
CLASSES, STEPS = 3, 10
SAMPLES = int(os.environ.get("LAVADL_REF_SAMPLES", "100"))  #: that are learned at every family


def learner(blocks, every=5, **options):
    """A learner of these blocks by the rule "local"."""
    net = torch.nn.Sequential(*blocks)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.02)
    return Learner(
        net, cross_entropy, optimizer, **{"rule": "local", "every": every, "classes": CLASSES, "window": 16, **options}
    )


def dense(family="cuba", **options):
    """A learner of two dense layers."""
    torch.manual_seed(1)
    block, neuron = getattr(slayer.block, family), NEURONS[family]
    sizes = (12, 16), (16, 8)
    return learner([block.Dense(neuron, *size, weight_scale=4) for size in sizes], **options)


def samples(count, family="cuba", shape=(12,)):
    """Spikes, or messages in 1/4096, (count, *shape, STEPS), and labels (count,)."""
    drawn = torch.Generator().manual_seed(2)
    x = (torch.rand(count, *shape, STEPS, generator=drawn) < 0.3).float()
    if family == "sigma_delta":
        x = x * torch.randint(-2000, 2000, x.shape, generator=drawn) / 4096
    return x, torch.randint(0, CLASSES, (count,), generator=drawn)


X, Y = samples(2)


def here(trained, input, target=None, **options):
    """A run in this process."""
    torch.manual_seed(3)  # of the matrices
    return online.run(trained, input, target, in_process=True, timeout=PATIENCE, **options)


def trained_by(trained, input, target):
    """The readouts of a trainer that takes one sample after the other."""
    torch.manual_seed(3)
    return torch.cat([trained.learn(x[None], y[None]) for x, y in zip(input, target, strict=True)])


def state(trained):
    """All numbers of a learner: parameters, the state of the optimiser, neurons, traces, matrices."""
    of_optimizer, held = trained.optimizer.state_dict()["state"], copy.deepcopy(trained.get_extra_state())
    for layer in held["layers"]:
        layer.pop("shapes", None)  # of the last piece that a signal came in
    return [trained.net.state_dict(), of_optimizer, dict(trained.matrices), held["layers"], held["gathered"]]


def same(one, other):
    """Equality in all bits, through containers."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.all(one == other))


@pytest.mark.lava
def test_weights_after_many_samples_have_the_same_bits_on_lava():
    expected, found, jobs = {}, {}, {}
    for family in NEURONS:
        x, y = samples(SAMPLES, family)
        begin = dense(family)
        expected[family], found[family], there = begin, copy.deepcopy(begin), copy.deepcopy(begin)
        before = online.weights(begin)
        readout = trained_by(expected[family], x, y)
        for old, new in zip(before, online.weights(begin), strict=True):
            names = [name for name in old if name.endswith("weight")]
            assert names, family
            assert not any(np.array_equal(old[name], new[name]) for name in names), family
        records = here(found[family], x, y)
        assert torch.equal(records.readout, readout), family
        assert records.output.count_nonzero() > SAMPLES, family
        assert same(state(found[family]), state(expected[family])), family
        torch.manual_seed(3)
        jobs[family] = online.Job(there, x, y)
        jobs[family].task()  # draws the matrices of this family from this seed
    online.run_all(list(jobs.values()), timeout=PATIENCE)
    for family, job in jobs.items():
        assert same(state(job.learner), state(expected[family])), family


def test_a_second_run_and_the_trainer_go_on_where_a_run_has_ended():
    x, y = samples(9)
    trained, expected = dense(), dense()
    trained_by(expected, x, y)
    here(trained, x[:3], y[:3])
    here(trained, x[3:6], y[3:6])
    trained_by(trained, x[6:], y[6:])
    assert same(state(trained), state(expected))


@pytest.mark.parametrize("penalty", [None, Firing(0.1)])
def test_a_signal_with_labels_at_some_steps_goes_on_through_runs(penalty):
    x, _ = samples(2)
    labels = torch.tensor([[0, -1, 2, 2, -1, -1, -1, 1, 1, -1], [-1] * 6 + [2] * 4])
    trained, expected = dense(every=7, penalty=penalty), dense(every=7, penalty=penalty)
    torch.manual_seed(3)
    for t, label in enumerate(labels.flatten()):
        target = None if label < 0 else label[None]
        expected.stream(x.movedim(0, -2).flatten(-2)[None, ..., t : t + 1], target)
    here(trained, x[:1], labels[:1], reset=False)
    records = here(trained, x[1:], labels[1:], reset=False)
    assert same(state(trained), state(expected))
    expected.update(), trained.update()
    assert same(state(trained), state(expected))
    assert records.accuracy in (0.0, 1.0)


def test_weights_that_are_set_between_two_runs_act():
    x, y = samples(4)
    trained, expected = dense(), dense()
    here(trained, x, y), trained_by(expected, x, y)
    new = {"synapse.weight": 2 * online.weights(trained)[1]["synapse.weight"]}
    online.set_weights(trained, [{}, new])
    expected.net[1].synapse.weight.data *= 2
    untouched = here(copy.deepcopy(dense()), x, y).readout
    records = here(trained, x, y)
    assert torch.equal(records.readout, trained_by(expected, x, y))
    assert not torch.equal(records.readout, untouched)
    assert same(state(trained), state(expected))


def of_one_block(x):
    """The first block of `dense` as a process that is given `x` (12, STEPS) and no labels."""
    torch.manual_seed(3)
    (part, _) = [pickle.loads(data) for data in online.Job(dense(), x[None]).task().parts]
    process = online.LearningBlock(learner=part, shapes=((12,), (16,)), units=(1, 1))
    source = RingBuffer(data=x.numpy().astype(np.int32))
    labels = RingBuffer(data=np.full((1, STEPS), -1))
    source.s_out.connect(process.s_in)
    labels.s_out.connect(process.label_in)
    return process


def in_two_parts(process, run):
    """The Var of a process in the middle of a run, and after it was doubled and the run has ended."""
    run(5)
    before = process.parameters.get().astype(np.int32)
    process.parameters.set((2 * before.view(np.float32)).view(np.int32))
    run(5)
    return before, process.parameters.get().astype(np.int32)


@dataclass
class TwoParts:
    """`in_two_parts` as a task for Lava's runtime."""

    x: torch.Tensor
    name = "block in two parts"

    def check(self):
        """There is nothing to check."""

    def portable(self):
        """The task itself."""
        return self

    def on_runtime(self, prefix, watch):
        """Run in the child."""
        process = of_one_block(self.x)
        with watch.running(process, [process]) as run:
            return in_two_parts(process, run)


def test_a_var_of_bits_that_is_set_within_a_run_acts():
    x = X[0]
    process = of_one_block(x)
    session = inprocess.Session(process, timeout=PATIENCE)
    sent = session.record(process.s_out)
    begin, end = in_two_parts(process, session.run)
    block = dense().net[0]
    assert np.array_equal(begin, online.bits(block))
    assert np.array_equal(end.view(np.float32), 2 * begin.view(np.float32))
    unset = block(x[None])[0].detach().numpy()
    assert np.array_equal(np.stack(sent[:5], -1), unset[..., :5])
    assert not np.array_equal(np.stack(sent, -1), unset)


@pytest.mark.lava
def test_a_var_of_bits_is_read_and_set_on_the_runtime():
    ((begin, end),) = runtime.supervised([TwoParts(X[0])], PATIENCE)
    assert np.array_equal(begin, online.bits(dense().net[0]))
    assert np.array_equal(end.view(np.float32), 2 * begin.view(np.float32))


def mixed():
    """A learner of an input layer, a pool of layers that are not trained, and a readout."""
    torch.manual_seed(4)
    family = slayer.block.cuba
    frozen = family.Dense(CUBA | {"requires_grad": False}, 12, 10, weight_scale=4)
    frozen.synapse.weight.requires_grad = False
    blocks = [
        family.Input(CUBA | {"requires_grad": False}, weight=1.5, bias=0.25),
        slayer.block.cuba.Flatten(),
        frozen,
        family.Dense(CUBA, 10, 9, weight_scale=4, delay=True),
        family.Affine(CUBA, 9, CLASSES, weight_scale=4),
    ]
    return learner(blocks)


def test_blocks_that_are_not_trained_run_and_stay():
    x, y = samples(6, shape=(3, 2, 2))
    x = x * torch.rand(x.shape, generator=torch.Generator().manual_seed(5))
    trained, expected = mixed(), mixed()
    records, readout = here(trained, x, y), trained_by(expected, x, y)
    assert torch.equal(records.readout, readout)
    assert same(state(trained), state(expected))
    before = online.weights(mixed())
    assert np.array_equal(before[2]["synapse.weight"], records.weights[2]["synapse.weight"])
    assert not np.array_equal(before[3]["synapse.weight"], records.weights[3]["synapse.weight"])
    assert records.output.shape == (6, CLASSES, STEPS)


def test_a_network_that_has_learned_on_lava_is_exported_verified_and_audited():
    x, y = samples(4)
    trained = dense()
    here(trained, x, y)
    network = describe.network(trained.net)
    held = online.integers(trained)[0]["weight"]
    assert held.dtype == np.int64
    assert np.array_equal(held.reshape(16, 12), network.layers[0].weight.reshape(16, 12))
    report = verify.verify(network, x[0].numpy().astype(int), in_process=True)
    assert report.exact, report.divergences
    assert not report.skipped
    assert len(audit.audit(network, x[0].numpy().astype(int)).layers) == 2


def test_predictions_are_the_classes_that_are_read_most():
    x, y = samples(5)
    trained = dense()
    y[0] = -1
    records = here(trained, x, y)
    assert torch.equal(records.predictions, records.readout.sum(-1).argmax(1))
    assert records.accuracy == (records.predictions == y)[1:].double().mean()
    assert here(trained, x).accuracy is None


def test_signals_pass_lava_exactly_or_are_refused():
    x = torch.tensor([0.0, -1.5, 3 / 4096, -500.0])
    assert torch.equal(values.to_signal(values.to_integers(x, 4096, "x"), 4096), x)
    odd = torch.tensor([0.1, -1e30, 1e-30])
    assert torch.equal(values.to_signal(values.to_integers(odd, values.BITS, "x"), values.BITS), odd)
    with pytest.raises(ValueError, match=r"x must be multiples of 1/4096 within 32 bits, got 0.1"):
        values.to_integers(odd[:1], 4096, "x")
    with pytest.raises(ValueError, match=r"x must be multiples of 1/1 within 32 bits, got 0.5"):
        values.to_integers(torch.tensor([1, 0.5]), 1, "x")
    with pytest.raises(ValueError, match=r"within 32 bits, got -1\.0.*e\+30"):
        values.to_integers(odd[1:2], 1, "x")


def dropping():
    """A learner with dropout."""
    return learner([slayer.block.cuba.Dense(CUBA | {"dropout": slayer.neuron.Dropout(0.5)}, 12, 8)])


def shared():
    """A learner whose two blocks share a parameter."""
    blocks = [slayer.block.cuba.Dense(CUBA, 12, 12) for _ in range(2)]
    blocks[1].synapse.weight = blocks[0].synapse.weight
    return learner(blocks)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: dense(rule="spatial"), (X, Y), "rule must be 'local' for a network on Lava, .*, got 'spatial'"),
        (dropping, (X, Y), r"dropout of block 0 must be 0 for a network that learns on Lava .*, got 0.5"),
        (shared, (X, Y), "parameters must belong to one block, got some of block 1 in another"),
        (lambda: dense().net, (X, Y), "learner must be a lavadl_ref.online.Learner, got Sequential"),
        (dense, (X[0, 0], Y), r"input .*\(N, C, ..., T\)"),
        (dense, (X[..., :0], Y), r"input must be float32 with elements, got \(2, 12, 0\)"),
        (dense, (X * 0.3, Y), "input must be multiples of 1/4096 within 32 bits, got 0.3"),
        (dense, (X, Y[:1]), r"target must be whole numbers, \(N,\) or \(N, T\), for 2 samples .*, got \(1,\)"),
        (dense, (X, Y.float()), r"target must be whole numbers, .*, got \(2,\) torch.float32"),
        (dense, (X, Y + 3), "target must be -1 to 2, got 3 to 5|target must be -1 to 2, got"),
    ],
)
def test_a_run_that_cannot_learn_on_lava_is_refused(make, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        here(make(), *arguments)


def test_evaluation_runs_with_dropout():
    trained = dropping().eval()
    assert here(trained, X, Y).output.shape == (2, 8, STEPS)


def test_more_refusals_of_runs_that_cannot_learn_are_clear():
    trained = dense()
    with pytest.raises(ValueError, match="jobs must have a learner each, got one twice"):
        online.run_all([online.Job(trained, X, Y), online.Job(trained, X, Y)])
    trained.learn(X, Y)
    with pytest.raises(ValueError, match="learner must be in the middle of one signal to go on with, got 2"):
        here(trained, X, Y, reset=False)
    trained.loss = lambda output, target: cross_entropy(output, target)
    with pytest.raises(ValueError, match="loss and hooks of a learner on Lava must be picklable, got"):
        here(trained, X, Y)
    for wrong, message in (([{}], "one dict for each of 2 blocks, got 1"), ([{}, {"a": 1}], r"got a \(\)")):
        with pytest.raises(ValueError, match=message):
            online.set_weights(trained, wrong)
    with pytest.raises(ValueError, match=r"values must be \(\d+,\) int32, got \(3,\) float32"):
        online.set_bits(trained.net[0], np.zeros(3, np.float32))


def failing(output, target):
    """A loss that does not know the class 2."""
    if (target == 2).any():
        raise ArithmeticError("there are two classes")
    return cross_entropy(output, target)


WHY_IT_FAILED = r"failed in a Lava process(.|\n)*ArithmeticError: there are two classes"


def test_an_exception_of_a_block_that_learns_leaves_the_learner_as_it_was():
    trained = dense()
    trained.loss = failing
    before, threads = copy.deepcopy(trained), torch.get_num_threads()
    with pytest.raises(runtime.LavaRunError, match=rf"learning network of 2 blocks {WHY_IT_FAILED}"):
        here(trained, X, torch.tensor([1, 2]))
    assert same(trained.net.state_dict(), before.net.state_dict())
    assert torch.get_num_threads() == threads
    trained.loss = before.loss = cross_entropy
    assert torch.equal(here(trained, X, Y).readout, trained_by(before, X, Y))


@pytest.mark.lava
def test_an_exception_of_a_block_that_learns_on_the_runtime_is_reported_at_once(traces):
    trained = dense()
    trained.loss = failing
    with pytest.raises(runtime.LavaRunError, match=WHY_IT_FAILED):
        online.run(trained, X, torch.tensor([1, 2]), timeout=PATIENCE)
    assert_nothing_left(*traces)
