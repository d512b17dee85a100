"""The learner: what it accepts, refuses, saves, and leaves alone."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from lavadl_ref import exchange, online, slayer, verify
from lavadl_ref.slayer.block import cuba, describe
from lavadl_ref.slayer.neuron import Dropout
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support.checks.online import Watching, assert_close, fired, gradients

NEURON = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.1}


def made(*blocks, seed=0):
    torch.manual_seed(seed)
    return torch.nn.ModuleList(make() for make in blocks)


def dense(inputs=6, outputs=5, delay=False, **neuron):
    return lambda: cuba.Dense({**NEURON, **neuron}, inputs, outputs, weight_scale=4, delay=delay)


def spikes(samples=4, inputs=6, steps=20, seed=1):
    return (torch.rand(samples, inputs, steps, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def labels(samples=4, classes=3):
    return torch.arange(samples) % classes


def sgd(net, lr=0.1):
    return torch.optim.SGD(net.parameters(), lr=lr)


def learner_of(net, rule="local", optimizer=None, loss=cross_entropy, **options):
    torch.manual_seed(3)
    # shorter than the samples, so that traces are carried from window to window
    return online.Learner(net, loss, optimizer or sgd(net), rule, classes=3, **{"window": 16, **options})


# -- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["spatial", "local", "random"])
def test_a_network_learns_to_tell_patterns(rule):
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(3, 12, 1, generator=generator)

    def drawn(samples):
        target = torch.randint(0, 3, (samples,), generator=generator)
        return (torch.rand(samples, 12, 30, generator=generator) < patterns[target]).float(), target

    net = made(dense(12, 24), dense(24, 24) if rule == "local" else lambda: cuba.Affine(NEURON, 24, 3))
    learner = learner_of(net, rule, torch.optim.Adam(net.parameters(), lr=0.02), every=10)
    for _ in range(40):
        learner.learn(*drawn(16))
    x, target = drawn(300)
    accuracy = (learner(x).mean(-1).argmax(1) == target).float().mean()
    assert accuracy > 0.9


def test_an_update_comes_every_so_many_steps_and_at_the_end_of_a_sample():
    net = made(dense())
    optimizer = Watching(net)
    learner = learner_of(net, optimizer=optimizer, every=8)
    learner.learn(spikes(), labels())
    assert len(optimizer.seen) == 3
    learner.update()
    assert len(optimizer.seen) == 3


def test_the_gradient_is_that_of_the_mean_over_the_steps_since_the_last_update():
    net, x, target = made(dense()), spikes(), labels()
    optimizer = Watching(net)
    learner = learner_of(net, optimizer=optimizer, every=10)
    learner.learn(x, target)
    y = torch.einsum("om,nmt->not", learner.matrices["0"], fired(net[0], x))
    torch.stack([cross_entropy(y[..., t], target) for t in range(10)]).mean().backward()
    assert_close(optimizer.seen[0], gradients(net))


@pytest.mark.parametrize("form", ["labels", "labels over time", "values", "values over time"])
def test_a_target_is_one_for_all_steps_or_one_for_each(form):
    net, x = made(dense(outputs=3)), spikes()
    whole = labels() if form.startswith("labels") else torch.eye(3)[labels()]
    target = whole.unsqueeze(-1).repeat(*[1] * whole.ndim, 20) if form.endswith("time") else whole
    loss = cross_entropy if form.startswith("labels") else mse_loss
    found = []
    for given in (whole, target):
        twin = copy.deepcopy(net)
        learner_of(twin, "spatial", loss=loss).learn(x, given)
        found.append(twin.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(found[0].values(), found[1].values(), strict=True))


def test_steps_without_a_target_teach_nothing_but_are_remembered():
    net, x, target = made(dense()), spikes(), labels()
    optimizer = Watching(net)
    learner = learner_of(net, optimizer=optimizer)
    learner.stream(x[..., :13])
    learner.stream(x[..., 13:], target)
    learner.update()
    y = torch.einsum("om,nmt->not", learner.matrices["0"], fired(net[0], x))
    torch.stack([cross_entropy(y[..., t], target) for t in range(13, 20)]).mean().backward()
    assert_close(optimizer.seen[0], gradients(net))


def test_nothing_is_learned_where_there_is_no_target():
    net = made(dense())
    before = copy.deepcopy(net.state_dict())
    learner = learner_of(net, every=5)
    learner.stream(spikes())
    learner.update()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


# -- penalties ------------------------------------------------------------------------------------


def test_a_cost_of_firing_counts_spikes_and_pulls_at_silent_neurons_too():
    sent = torch.tensor([[[1.0, 0.0]], [[0.5, -0.25]]], requires_grad=True)
    cost = online.Firing(0.5)(sent)
    cost.backward()
    assert cost.item() == 0.5 * (1 + 0.5 + 0.25) / 2
    assert sent.grad.tolist() == [[[0.25, 0.25]], [[0.25, -0.25]]]


@pytest.mark.parametrize("cost", [-0.1, float("nan"), float("inf")])
def test_a_cost_of_firing_is_a_number_from_0(cost):
    with pytest.raises(ValueError, match="cost of a spike must be finite and at least 0, got"):
        online.Firing(cost)


@pytest.mark.parametrize("rule", ["spatial", "local", "random"])
def test_a_penalty_lowers_rates(rule):
    rates = []
    for penalty in (None, online.Firing(0.3)):
        net = made(dense(outputs=40), dense(40, 3))
        learner = learner_of(net, rule, torch.optim.Adam(net.parameters(), lr=0.05), penalty=penalty)
        for seed in range(20):
            learner.learn(spikes(seed=seed), labels())
        with torch.no_grad():
            rates.append(net[0](spikes(seed=99)).mean())
    assert rates[1] < 0.7 * rates[0]


def test_a_penalty_that_returns_no_number_is_refused():
    with pytest.raises(TypeError, match="penalty must return one number"):
        learner_of(made(dense()), penalty=lambda sent: sent).learn(spikes(), labels())


def test_a_penalty_cannot_be_set_later():
    learner = learner_of(made(dense()), penalty=online.Firing(0.1))
    with pytest.raises(AttributeError):
        learner.penalty = None
    assert learner.penalty.cost == 0.1


# -- options of blocks ----------------------------------------------------------------------------


def test_a_frozen_layer_is_left_alone_and_passes_gradients_on():
    net = made(dense(), dense(5, 3))
    net[1].requires_grad_(False)
    optimizer = Watching(net)
    learner_of(net, "spatial", optimizer).learn(spikes(), labels())
    assert {name.split(".")[0] for name in optimizer.seen[0]} == {"0"}
    assert all(value.any() for value in optimizer.seen[0].values())


def test_a_layer_freed_after_the_learner_was_made_is_refused():
    net = made(dense(), dense(5, 3))
    net[0].requires_grad_(False)
    learner = learner_of(net, "spatial")
    learner.learn(spikes(), labels())
    net[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"parameters must not be unfrozen .* got 0\."):
        learner.learn(spikes(), labels())


def test_no_trace_is_carried_of_a_frozen_layer():
    net = made(dense(), dense(5, 3))
    net[0].requires_grad_(False)
    learner = learner_of(net, "spatial")
    learner.stream(spikes(), labels())
    state = learner.get_extra_state()["layers"]
    assert [source["traces"] for source in state[0]["sources"]] == [None] * 3
    assert state[1]["sources"][0]["traces"] is not None


def test_masked_weights_stay_masked():
    mask = (torch.arange(30).reshape(5, 6) % 2).float()
    net = made(lambda: cuba.Dense(NEURON, 6, 5, weight_scale=4, mask=mask))
    optimizer = Watching(net)
    learner_of(net, optimizer=optimizer).learn(spikes(), labels())
    (gradient,) = (g for name, g in optimizer.seen[0].items() if name.endswith("weight"))
    assert gradient.any()
    assert not gradient.reshape(5, 6)[mask == 0].any()


def test_biases_of_synapses_and_of_feedback_learn():
    net = made(lambda: cuba.Recurrent(NEURON, 6, 5, weight_scale=4))
    net[0].bias = torch.nn.Parameter(torch.full((5,), 0.05))
    net[0].input_synapse.bias = torch.nn.Parameter(torch.full((5,), 0.02))
    optimizer, x, target = Watching(net), spikes(), labels()
    learner = learner_of(net, optimizer=optimizer, window=3)
    learner.learn(x, target)
    y = torch.einsum("om,nmt->not", learner.matrices["0"], fired(net[0], x))
    torch.stack([cross_entropy(y[..., t], target) for t in range(20)]).mean().backward()
    assert_close(optimizer.seen[0], gradients(net))


def test_an_input_bias_learns_through_its_quantiser():
    net = made(lambda: cuba.Dense(NEURON, 6, 5, weight_scale=4, input_bias=True))
    with torch.no_grad():
        net[0].synapse.bias.copy_(torch.linspace(-0.05, 0.11, 5))
    optimizer, x, target = Watching(net), spikes(), labels()
    learner = learner_of(net, optimizer=optimizer, window=3)
    learner.learn(x, target)
    y = torch.einsum("om,nmt->not", learner.matrices["0"], fired(net[0], x))
    torch.stack([cross_entropy(y[..., t], target) for t in range(20)]).mean().backward()
    assert optimizer.seen[0]["0.synapse.bias"].any()
    assert_close(optimizer.seen[0], gradients(net))


def test_a_bias_of_sigma_delta_neurons_learns():
    neuron = {"threshold": 0.1, "activation": torch.relu, "requires_grad": True}
    net = made(lambda: slayer.block.sigma_delta.Dense(neuron, 6, 5, weight_scale=4))
    net[0].neuron.set_bias(torch.linspace(-0.2, 0.2, 5))
    optimizer, x, target = Watching(net), spikes(), labels()
    learner = learner_of(net, optimizer=optimizer, window=3)
    learner.learn(x, target)
    y = torch.einsum("om,nmt->not", learner.matrices["0"], fired(net[0], x))
    torch.stack([cross_entropy(y[..., t], target) for t in range(20)]).mean().backward()
    assert "0.neuron.bias" in optimizer.seen[0]
    assert_close(optimizer.seen[0], gradients(net))


def test_dropout_is_drawn_once_a_sample_and_absent_without_learning():
    net, x = made(dense(outputs=40, dropout=Dropout(0.5))), spikes()
    learner = learner_of(net, "spatial", loss=lambda y, target: y.mean())
    with torch.no_grad():
        whole = net.eval()[0](x)
    net.train()
    learner.learn(x, labels())
    kept = learner.output != 0
    assert torch.equal(learner.output[kept], 2 * whole[kept])
    silent = ~kept.any(-1) & whole.any(-1)
    assert silent.any()
    assert torch.equal(learner(x), whole)


def test_norms_gather_statistics_when_weights_are_updated():
    for norm in (MeanOnlyBatchNorm, WgtScaleBatchNorm):
        net, x = made(dense(norm=norm)), spikes()
        with torch.no_grad():
            current = slayer.neuron.cuba.Neuron(**NEURON).dynamics(net[0].synapse(x))[0]
        learner = learner_of(net, window=7)
        learner.stream(x, labels())
        found = net[0].neuron.norm
        assert not found.running_mean.any()
        learner.update()
        torch.testing.assert_close(found.running_mean, 0.1 * current.mean((0, 2)))
        if norm is WgtScaleBatchNorm:
            samples = current.numel() / 5
            expected = 0.1 * current.var(unbiased=False) * samples / (samples + 1)
            torch.testing.assert_close(found.running_var, expected.reshape(1))


def test_a_network_of_all_kinds_learns_is_exported_and_verified(tmp_path):
    neuron = {**NEURON, "scale_grad": 10}  # else gradients vanish on their way through so many layers
    net = made(
        lambda: cuba.Conv(neuron, 2, 4, 3, padding=1, weight_scale=3),
        lambda: cuba.Pool(neuron, 2, weight_scale=1.2),
        lambda: cuba.Unpool(neuron, 2, weight_scale=1.2),
        lambda: cuba.ConvT(neuron, 4, 2, 3, padding=1, weight_scale=3, delay=True),
        cuba.Flatten,
        lambda: cuba.Recurrent(neuron, 72, 8, weight_scale=3),
        lambda: cuba.KWTA(neuron, 8, 6, 3, weight_scale=4),
        dense(6, 3, scale_grad=10),
    )
    x = (torch.rand(2, 2, 6, 6, 20) < 0.4).float()
    learner = learner_of(net, "spatial", torch.optim.Adam(net.parameters(), 0.01), every=4)
    before = copy.deepcopy(net.state_dict())
    for _ in range(3):
        learner.learn(x, labels(2))
    changed = {name.split(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {"0", "3", "5", "6", "7"} <= changed
    exchange.write(tmp_path / "x.net", describe.network(net))
    assert verify.trained(net.eval(), x).exact


@pytest.mark.parametrize("family", ["cuba", "rf"])
def test_a_readout_without_dynamics_is_a_weighted_sum(family):
    neuron = NEURON if family == "cuba" else {"threshold": 1.0, "period": 8, "decay": 0.1}
    net = made(lambda: getattr(slayer.block, family).Affine(neuron, 6, 3, dynamics=False))
    optimizer, x, target = Watching(net), spikes(), labels()
    for window in (1, 7):
        learner_of(net, "spatial", optimizer, window=window).learn(x, target)
    y = net[0](x)
    torch.stack([cross_entropy(y[..., t], target) for t in range(20)]).mean().backward()
    expected = gradients(net)
    for found in optimizer.seen:
        assert_close(found, expected)


# -- refusals -------------------------------------------------------------------------------------


def test_what_cannot_learn_is_refused():
    net = made(dense())
    optimizer = sgd(net)
    bad = [
        (
            TypeError,
            "loss must be a function of the output and the target at one step",
            {"loss": slayer.loss.SpikeRate(1, 0)},
        ),
        (ValueError, "loss must be the mean over its samples", {"loss": torch.nn.MSELoss(reduction="sum")}),
        (ValueError, "rule must be one of 'spatial', 'local', 'random', got 'global'", {"rule": "global"}),
        (ValueError, "classes must be the number of outputs of the readouts", {"rule": "local"}),
        (TypeError, "optimizer must be a torch.optim.Optimizer", {"optimizer": 0.1}),
        (ValueError, "every", {"every": 0}),
        (ValueError, "window", {"window": 0}),
        (ValueError, "net must have at least one block", {"net": []}),
        (TypeError, "blocks that learn step by step must be", {"net": [torch.nn.Linear(3, 2)]}),
        (TypeError, "blocks that learn step by step must be", {"net": [cuba.TimeDecimation(2)]}),
    ]
    for error, message, more in bad:
        given = {"net": net, "loss": cross_entropy, "optimizer": optimizer, **more}
        with pytest.raises(error, match=message):
            online.Learner(**given)


def test_blocks_with_methods_of_their_own_are_refused():
    class Doubled(cuba.Dense):
        def forward(self, x):
            return super().forward(2 * x)

    net = made(lambda: Doubled(NEURON, 6, 5))
    with pytest.raises(TypeError, match="got Doubled with a method forward of its own"):
        learner_of(net)


def test_a_dropout_that_draws_at_each_step_is_refused():
    net = made(dense(dropout=torch.nn.Dropout(0.5)))
    with pytest.raises(TypeError, match="dropout of a network that learns step by step must be"):
        learner_of(net).learn(spikes(), labels())


def test_targets_of_another_form_are_refused():
    net = made(dense())
    for target in (labels(3), torch.zeros(4, 7, dtype=torch.int64), torch.zeros(3, 3)):
        with pytest.raises(ValueError, match="target must have the axes"):
            learner_of(net).learn(spikes(), target)


def test_a_signal_that_goes_on_in_another_shape_is_refused():
    net = made(dense())
    learner = learner_of(net)
    learner.stream(spikes())
    with pytest.raises(ValueError, match=r"must go on with the shape \(4, 6, 'T'\) of the signal so far"):
        learner.stream(spikes(3))
    learner.reset()
    learner.stream(spikes(3))


def test_an_input_without_steps_is_refused():
    with pytest.raises(ValueError, match=r"input of a learner must have a step at least, got shape \(4, 6, 0\)"):
        learner_of(made(dense())).stream(spikes()[..., :0], labels())


def test_decays_of_too_many_distinct_values_are_refused(monkeypatch):
    monkeypatch.setattr("lavadl_ref.online._source.MOST_BYTES", 1000)
    neuron = {"current_decay": (0.1, 0.9), "voltage_decay": (0.1, 0.9), "shared_param": False}
    net = made(dense(outputs=20, **neuron))
    with pytest.raises(ValueError, match=r"decays must have few distinct values, .* got 20, with which they take"):
        learner_of(net).learn(spikes(), labels())


# -- state ----------------------------------------------------------------------------------------


def test_a_learner_goes_on_from_its_state_dict_in_the_middle_of_a_sample():
    x, target = spikes(steps=40), labels()
    net = made(
        dense(6, 8, True, dropout=Dropout(0.3), norm=MeanOnlyBatchNorm, requires_grad=True),
        lambda: cuba.Recurrent(NEURON, 8, 5, weight_scale=4),
    )  # fmt: skip
    with torch.no_grad():
        net[1](net[0](x))
    learner = learner_of(net, "local", torch.optim.Adam(net.parameters(), 0.01), every=6)
    learner.stream(x[..., :21], target)
    file = io.BytesIO()
    torch.save([learner.state_dict(), learner.optimizer.state_dict()], file)
    file.seek(0)
    held, of_optimizer = torch.load(file, weights_only=True)
    other = made(
        dense(6, 8, True, dropout=Dropout(0.3), norm=MeanOnlyBatchNorm, requires_grad=True),
        lambda: cuba.Recurrent(NEURON, 8, 5, weight_scale=4),
        seed=9,
    )  # fmt: skip
    again = learner_of(other, "local", torch.optim.Adam(other.parameters(), 0.01), every=6)
    again.load_state_dict(held)
    again.optimizer.load_state_dict(of_optimizer)
    ends = []
    for one in (learner, again):
        y = one.stream(x[..., 21:], target)
        one.update()
        ends.append([y, *one.net.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_reset_forgets_everything_but_what_was_learned():
    net, x, target = made(dense(), dense(5, 3)), spikes(), labels()
    fresh = copy.deepcopy(net)
    used, new = learner_of(net), learner_of(fresh)
    used.stream(x[..., :9], target)
    used.reset()
    new.matrices.update(used.matrices)
    for one in (used, new):
        one.learn(x, target)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), fresh.state_dict().values(), strict=True))


def test_inference_leaves_a_stream_where_it_is():
    results = []
    for looks in (False, True):
        net, x, target = made(dense(), dense(5, 3)), spikes(), labels()
        learner = learner_of(net, every=6)
        learner.stream(x[..., :9], target)
        if looks:
            learner(spikes(2, seed=5))
        learner.stream(x[..., 9:], target)
        results.append(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(results[0].values(), results[1].values(), strict=True))


def test_blocks_are_left_as_they_were():
    net, x = made(dense(), dense(5, 3)), spikes()
    with torch.no_grad():
        before = net[1](net[0](x))
    learner = learner_of(net, optimizer=sgd(net, 0.0))
    learner.stream(x, labels())
    assert not any(block.neuron.persistent_state for block in net)
    with torch.no_grad():
        assert torch.equal(net[1](net[0](x)), before)


def test_what_is_kept_does_not_grow_with_time():
    net = made(lambda: cuba.Dense(NEURON, 6, 8, 4, delay=True), dense(8, 3))
    with torch.no_grad():
        net[1](net[0](spikes()))
    learner = learner_of(net, "spatial", every=16)

    def kept(state):
        if isinstance(state, torch.Tensor):
            return state.numel()
        parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
        return sum(map(kept, parts))

    sizes = []
    for seed in range(6):
        learner.stream(spikes(steps=64, seed=seed), labels())
        sizes.append(kept(learner.get_extra_state()))
    assert len(set(sizes[1:])) == 1


def test_matrices_are_saved_and_not_trained():
    net = made(dense(), dense(5, 3))
    learner = learner_of(net)
    learner.learn(spikes(), labels())
    before = {key: value.clone() for key, value in learner.matrices.items()}
    learner.learn(spikes(), labels())
    assert {"matrices.0", "matrices.1"} <= set(learner.state_dict())
    assert all(torch.equal(before[key], value) for key, value in learner.matrices.items())
    assert not any(value.requires_grad for value in learner.matrices.values())
