"""The training loop: what the network may return, and what is counted."""

import pytest
import torch
import torch.nn.functional as F

from lavadl_ref.slayer.utils import Assistant, LearningStats


class Net(torch.nn.Module):
    """A linear layer that also returns what the options ask for."""

    def __init__(self, extra=lambda output: output):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.extra = extra

    def forward(self, x):
        return self.extra(self.layer(x))


INPUT = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.1, 0.4], [0.3, 0.8, 0.2], [0.5, 0.5, 0.1]])
TARGET = torch.tensor([0, 1, 1, 0])
COUNT = torch.tensor([1.0, 2.0])


def argmax(output):
    return output.argmax(1)


def assistant(net=None, error=F.cross_entropy, classifier=argmax, rate=0.1, **options):
    torch.manual_seed(0)
    net = net or Net()
    optimizer = torch.optim.SGD(net.parameters(), rate)
    return Assistant(net, error, optimizer, LearningStats(), classifier, **options)


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        (lambda output: output, {}),
        (lambda output: (output, COUNT), {"count_log": True}),
        (lambda output: (output, output.abs().mean()), {"lam": 0.5}),
        (lambda output: (output, output.abs().mean(), COUNT), {"lam": 0.5, "count_log": True}),
    ],
)
def test_a_training_step_follows_the_gradient_of_loss_and_net_loss(extra, options):
    torch.manual_seed(3)
    net = Net(extra)
    weight = net.layer.weight.detach().clone().requires_grad_()
    output = F.linear(INPUT, weight, net.layer.bias.detach())
    loss = F.cross_entropy(output, TARGET)
    (gradient,) = torch.autograd.grad(loss + options.get("lam", 0) * output.abs().mean(), weight)

    subject = assistant(net, **options)
    result = subject.train(INPUT, TARGET)
    if options.get("count_log"):
        result, count = result
        assert count is COUNT
    torch.testing.assert_close(result, output)
    torch.testing.assert_close(net.layer.weight, weight - 0.1 * gradient)
    stat = subject.stats.training
    assert stat.num_samples == 4
    assert stat.loss == pytest.approx(loss.item(), rel=1e-6)
    assert stat.correct_samples == (output.argmax(1) == TARGET).sum().item()


def test_testing_and_validation_count_apart_and_change_nothing():
    subject = assistant()
    before = subject.net.layer.weight.detach().clone()
    for step, stat in ((subject.test, subject.stats.testing), (subject.valid, subject.stats.validation)):
        output = step(INPUT, TARGET)
        assert not output.requires_grad
        assert not subject.net.training
        assert stat.num_samples == 4
        assert stat.loss == pytest.approx(F.cross_entropy(output, TARGET).item(), rel=1e-6)
    assert torch.equal(subject.net.layer.weight, before)
    assert subject.stats.training.num_samples == 0
    subject.train(INPUT, TARGET)
    assert subject.net.training


class Sum(torch.nn.Module):
    reduction = "sum"

    def forward(self, output, target):
        return F.cross_entropy(output, target, reduction="sum")


def test_the_mean_loss_per_sample_does_not_depend_on_the_reduction():
    mean, total = assistant(), assistant(error=Sum())
    for subject in (mean, total):
        subject.test(INPUT, TARGET)
        subject.test(INPUT[:1], TARGET[:1])
    assert mean.stats.testing.loss == pytest.approx(total.stats.testing.loss, rel=1e-6)
    assert mean.stats.testing.num_samples == 5


def test_a_regression_reports_no_accuracy():
    subject = assistant(error=F.mse_loss, classifier=None)
    subject.train(INPUT, torch.rand(4, 2))
    subject.stats.update()
    assert subject.stats.training.accuracy_log == [None]
    assert not subject.stats.training.best_accuracy


def test_labels_at_each_step_count_by_share():
    prediction = torch.tensor([[0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    subject = assistant(classifier=lambda output: prediction)
    subject.test(INPUT, TARGET)
    assert subject.stats.testing.correct_samples == 0.75 + 1 + 0 + 0.5


def test_the_device_of_an_assistant_is_its_parameters():
    assert assistant().device == torch.device("cpu")
    assert assistant(Net().to("meta"), classifier=None).device == torch.device("meta")


def test_the_method_reduce_lr_divides_and_says_so(capsys):
    subject = assistant()
    subject.reduce_lr()
    assert subject.optimizer.param_groups[0]["lr"] == pytest.approx(0.03)
    subject.reduce_lr(factor=2)
    assert subject.optimizer.param_groups[0]["lr"] == pytest.approx(0.015)
    assert "Learning rate reduction from 0.1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="factor of reduce_lr must be greater than 0, got 0"):
        subject.reduce_lr(0)


def test_no_statistics_are_needed():
    net = Net()
    subject = Assistant(net, F.cross_entropy, torch.optim.SGD(net.parameters(), 0.1))
    assert subject.train(INPUT, TARGET).shape == (4, 2)
    assert subject.valid(INPUT, TARGET).shape == (4, 2)


@pytest.mark.parametrize(
    ("extra", "options", "message"),
    [
        (
            lambda output: output,
            {"count_log": True},
            "return output, count with count_log=True and lam=None, got Tensor",
        ),
        (lambda output: (output, COUNT), {}, "return output with count_log=False and lam=None, got 2 values"),
        (lambda output: (output, COUNT), {"lam": 1, "count_log": True}, "output, net_loss, count with"),
    ],
)
def test_a_network_that_returns_something_else_is_named(extra, options, message):
    with pytest.raises(ValueError, match=message):
        assistant(Net(extra), **options).train(INPUT, TARGET)


def test_bad_arguments_of_an_assistant_are_refused():
    with pytest.raises(ValueError, match="got one with reduction 'none'"):
        assistant(error=torch.nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(ValueError, match=r"must return one value, got \(4,\)"):
        assistant(error=lambda o, t: F.cross_entropy(o, t, reduction="none")).test(INPUT, TARGET)
    with pytest.raises(ValueError, match=r"must return labels of the shape of target, \(4, 1\), got \(4,\)"):
        assistant(error=lambda o, t: o.sum()).test(INPUT, TARGET[:, None])
    with pytest.raises(TypeError, match=r"net of Assistant must be a torch\.nn\.Module, got function"):
        Assistant(argmax, F.cross_entropy, None)
    with pytest.raises(TypeError, match="lam of Assistant must be a number, got 'x'"):
        assistant(lam="x")
