"""The steps of training and evaluation of networks that learn locally: what is counted, asked for and refused."""

import pytest
import torch
import torch.nn.functional as F

from lavadl_ref import slayer
from lavadl_ref.decolle.loss import DECOLLELoss
from lavadl_ref.decolle.utils import DECOLLEAssistant
from tests.support.local_networks import Local, Summing, dense

T = 12
INPUT = (torch.rand(4, 6, T, generator=torch.Generator().manual_seed(1)) < 0.3).float()
LABELS = torch.tensor([0, 1, 2, 0])
ONE_HOT = F.one_hot(LABELS, 3)
PER_STEP = ONE_HOT[..., None].expand(-1, -1, T)
predict = slayer.classifier.Rate.predict


def network(burn_in=0):
    torch.manual_seed(0)
    return Local([dense("cuba", 6, 8), dense("cuba", 8, 5)], [8, 5], burn_in=burn_in)


def assistant(net=None, reduction="mean", mode="online", **options):
    net = net or network()
    error = DECOLLELoss(torch.nn.SmoothL1Loss, reduction=reduction)
    stats = slayer.utils.LearningStats()
    return DECOLLEAssistant(net, error, Summing(net), stats, predict, training_mode=mode, **options)


def loss_of(net, reduction="mean"):
    """The loss of one run over the whole input."""
    with torch.no_grad():
        _, readouts, voltages, _ = net(net.init_state(INPUT))
    return DECOLLELoss(torch.nn.SmoothL1Loss, reduction=reduction)(readouts, voltages, LABELS).item()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_is_counted_once(reduction):
    expected = loss_of(network(), reduction) / (4 if reduction == "sum" else 1)
    subject = assistant(reduction=reduction)
    for step, stat in (
        (subject.train, subject.stats.training),
        (subject.test, subject.stats.testing),
        (subject.valid, subject.stats.validation),
    ):
        step(INPUT, LABELS)
        assert stat.num_samples == 4
        assert stat.loss == pytest.approx(expected, rel=1e-5)
        step(INPUT, LABELS)
        assert stat.num_samples == 8
        assert stat.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["online", "batch"])
@pytest.mark.parametrize("target", [LABELS, ONE_HOT.bool(), ONE_HOT.float(), PER_STEP])
@pytest.mark.parametrize("burn_in", [0, 3])
def test_every_form_of_target_is_the_same(mode, target, burn_in):
    net = network(burn_in)
    subject, other = assistant(net, mode=mode), assistant(network(burn_in), mode=mode)
    for name in ("train", "test", "valid"):
        found, expected = getattr(subject, name)(INPUT, target), getattr(other, name)(INPUT, LABELS)
        assert torch.equal(found, expected)
        assert found.shape == (4, 3, T - burn_in)
    for name in ("training", "testing", "validation"):
        found, expected = (getattr(each.stats, name) for each in (subject, other))
        assert (found.correct_samples, found.num_samples) == (expected.correct_samples, 4)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert subject.stats.testing.correct_samples == (predict(expected_readout(net)) == LABELS).sum()


def expected_readout(net):
    with torch.no_grad():
        return net(net.init_state(INPUT))[1][-1]


def test_targets_of_the_steps_behind_a_burn_in_suffice():
    changing = torch.rand(4, 3, T)
    whole, rest = (assistant(network(3)) for _ in range(2))
    whole.classifier = rest.classifier = None
    whole.train(INPUT, changing)
    rest.train(INPUT, changing[..., 3:])
    assert whole.stats.training.loss_sum == rest.stats.training.loss_sum
    with pytest.raises(ValueError, match="must have 12 steps as the input has, or 9 without the burn-in, got 5"):
        rest.train(INPUT, changing[..., :5])


def test_labels_that_change_in_time_need_predictions_in_time():
    changing, subject = torch.eye(3)[torch.arange(T) % 3].T.expand(4, -1, -1), assistant()
    with pytest.raises(ValueError, match=r"must return labels of the shape of target, \(4, 12\), got \(4,\)"):
        subject.test(INPUT, changing)
    subject.classifier = lambda readout: readout.argmax(1)
    readout = subject.valid(INPUT, changing)
    expected = (readout.argmax(1) == torch.arange(T) % 3).double().mean(1).sum()
    assert subject.stats.validation.correct_samples == pytest.approx(expected.item())


def test_validation_asks_for_no_device_of_the_network():
    subject = assistant()
    assert not hasattr(subject.net, "device")
    assert subject.valid(INPUT, LABELS).shape == (4, 3, T)
    assert not subject.net.training
    assert subject.device == torch.device("cpu")


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_counts_are_passed_on(mode):
    subject = assistant(mode=mode, count_log=True)
    for step in (subject.train, subject.test, subject.valid):
        readout, counts = step(INPUT, LABELS)
        assert readout.shape == (4, 3, T)
        assert not readout.requires_grad
        spikes = subject.net(subject.net.init_state(INPUT))[0]
        torch.testing.assert_close(counts.flatten(), torch.stack([each.detach().mean() for each in spikes]))


def test_counts_may_be_a_list():
    class Listing(Local):
        def forward(self, x):
            *others, counts = super().forward(x)
            return (*others, counts.flatten().tolist())

    _, expected = assistant(count_log=True).train(INPUT, LABELS)
    torch.manual_seed(0)
    net = Listing([dense("cuba", 6, 8), dense("cuba", 8, 5)], [8, 5])
    _, counts = assistant(net, count_log=True).train(INPUT, LABELS)
    torch.testing.assert_close(counts, expected.flatten())


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_the_event_rate_is_added_with_its_weight(mode):
    plain, weighted = assistant(mode=mode), assistant(mode=mode, lam=2.0)
    rate = assistant(mode=mode)
    rate.error, rate.lam = lambda readouts, voltages, target: readouts[0].sum() * 0, 1.0
    for each in (plain, weighted, rate):
        each.train(INPUT, LABELS)
    assert plain.stats.training.loss == weighted.stats.training.loss
    for name, gradient in weighted.optimizer.sums.items():
        torch.testing.assert_close(gradient, plain.optimizer.sums[name] + 2 * rate.optimizer.sums[name])
    assert rate.optimizer.sums["blocks.1.synapse.weight"].norm() > 0


def test_online_updates_follow_every_step():
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    before = [p.detach().clone() for p in net.parameters()]
    DECOLLEAssistant(net, DECOLLELoss(torch.nn.SmoothL1Loss), optimizer).train(INPUT, LABELS)
    assert not torch.equal(before[0], net.blocks[0].synapse.weight)
    net = network()
    optimizer = Summing(net)
    DECOLLEAssistant(net, DECOLLELoss(torch.nn.SmoothL1Loss), optimizer).train(INPUT, LABELS)
    assert optimizer.steps == T


def test_states_are_reset_in_place_before_and_after_the_first_input():
    """Before the first input a state has one element that stands for all, later it is (N, C)."""
    net = network()
    assert [block.neuron.voltage_state.shape for block in net.blocks] == [(1,), (1,)]
    with torch.no_grad():
        first = net(net.init_state(INPUT))[1][-1]
        assert net.blocks[0].neuron.voltage_state.shape == (4, 8)
        assert net.blocks[0].neuron.current_state.any()
        again = net(INPUT)[1][-1]
        reset = net(net.init_state(INPUT))[1][-1]
        fewer = net(net.init_state(INPUT[:2]))[1][-1]
    assert torch.equal(first, reset)
    assert not torch.equal(first, again)
    assert torch.equal(first[:2], fewer)


class Returning(torch.nn.Module):
    """A network that returns what it is told."""

    def __init__(self, result, begun=lambda x: x):
        super().__init__()
        self.blocks, self.result, self.begun = [], result, begun

    def init_state(self, x):
        return self.begun(x)

    def forward(self, x):
        return self.result


READOUT = torch.zeros(4, 3, 1, requires_grad=True)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Returning(READOUT), "must return spikes, readouts, voltages, counts, got Tensor"),
        (Returning(([], [READOUT], [READOUT])), "must return spikes, readouts, voltages, counts, got 3 values"),
        (Returning(([], READOUT, [READOUT], [])), r"readouts of net must be a list of tensors \(N, classes, T\), got"),
        (Returning(([], [], [], [])), r"readouts of net must have shape \(N, classes, T\), one a layer, got \[\]"),
        (Returning(([], [READOUT[..., 0]], [READOUT], [])), r"one a layer, got \[\(4, 3\)\]"),
        (Returning(([], [READOUT], [READOUT], None)), "counts of net must be a tensor or a list of numbers, got None"),
        (Returning(None, lambda x: None), r"init_state of net must return the input \(4, 6, 12\) without .* NoneType"),
        (Returning(None, lambda x: x[..., :0]), r"at least one step, got \(4, 6, 0\)"),
    ],
)
def test_a_network_that_returns_something_else_is_named_by_decolle(net, message):
    optimizer = torch.optim.SGD([READOUT], 0.1)
    error = DECOLLELoss(torch.nn.SmoothL1Loss)
    with pytest.raises(ValueError, match=message):
        DECOLLEAssistant(net, error, optimizer).train(INPUT, LABELS)


def test_a_rate_without_gradient_is_refused():
    class Detached(Local):
        def forward(self, x):
            spikes, *others = super().forward(x)
            return [each.detach() for each in spikes], *others

    net = Detached([dense("cuba", 6, 8)], [8])
    with pytest.raises(ValueError, match="spikes of net must have a gradient where lam is given, got"):
        assistant(net, lam=0.1).train(INPUT, LABELS)


def test_bad_arguments_of_a_decolle_assistant_are_refused():
    error = DECOLLELoss(torch.nn.SmoothL1Loss)
    with pytest.raises(TypeError, match="net of DECOLLEAssistant must have blocks, got Linear without"):
        DECOLLEAssistant(torch.nn.Linear(2, 2), error, None)
    with pytest.raises(TypeError, match=r"net of DECOLLEAssistant must be a torch\.nn\.Module, got str"):
        DECOLLEAssistant("net", error, None)
    with pytest.raises(TypeError, match="error of DECOLLEAssistant must be callable, got 3"):
        DECOLLEAssistant(network(), 3, None)
    with pytest.raises(ValueError, match="training_mode of DECOLLEAssistant must be one of 'online', 'batch', got 'x'"):
        assistant(mode="x")
    with pytest.raises(TypeError, match="lam of DECOLLEAssistant must be a number, got 'x'"):
        assistant(lam="x")
    with pytest.raises(TypeError, match="count_log must be True or False, got 'x'"):
        assistant(count_log="x")
    subject = assistant()
    subject.error = lambda readouts, voltages, target: readouts[0].sum(0)
    with pytest.raises(ValueError, match="error of DECOLLEAssistant must return one value, got"):
        subject.train(INPUT, LABELS)
