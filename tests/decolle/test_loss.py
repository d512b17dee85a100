"""The loss of layers with readouts of their own: by hand, for every form of target, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

from lavadl_ref.decolle.loss import DECOLLELoss

N, CLASSES, T = 4, 3, 5
LABELS = torch.tensor([0, 2, 1, 1])
ONE_HOT = F.one_hot(LABELS, CLASSES)


@pytest.fixture
def layers():
    torch.manual_seed(0)
    readouts = [torch.randn(N, CLASSES, T) for _ in range(2)]
    return readouts, [torch.randn(N, 6, T), torch.randn(N, 2, 3, 2, T)]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("loss_fn", "function"),
    [
        (torch.nn.CrossEntropyLoss, F.cross_entropy),
        (torch.nn.SmoothL1Loss, F.smooth_l1_loss),
        (torch.nn.MSELoss, F.mse_loss),
    ],
)
def test_the_loss_is_the_sum_over_steps_and_layers(layers, loss_fn, function, reduction):
    readouts, voltages = layers
    expected = 0
    for readout in readouts:
        for t in range(T):
            expected += function(readout[..., t], ONE_HOT.float(), reduction=reduction)
    if reduction == "mean":
        expected /= T
    torch.testing.assert_close(DECOLLELoss(loss_fn, reduction=reduction)(readouts, voltages, LABELS), expected)


@pytest.mark.parametrize(
    "loss_fn",
    [
        *(torch.nn.CrossEntropyLoss, torch.nn.SmoothL1Loss, torch.nn.NLLLoss, torch.nn.MultiMarginLoss),
        lambda reduction: torch.nn.SmoothL1Loss(reduction=reduction, beta=0.5),
    ],
)
def test_labels_and_one_hot_vectors_have_one_loss(layers, loss_fn):
    error = DECOLLELoss(loss_fn)
    expected = error(*layers, LABELS)
    for target in (LABELS.int(), ONE_HOT, ONE_HOT.float(), ONE_HOT.bool(), ONE_HOT[..., None].expand(-1, -1, T)):
        torch.testing.assert_close(error(*layers, target), expected)


def test_a_target_for_each_step_changes_with_it(layers):
    readouts, voltages = layers
    target = torch.rand(N, CLASSES, T)
    expected = sum(F.mse_loss(readout, target) for readout in readouts)
    torch.testing.assert_close(DECOLLELoss(torch.nn.MSELoss)(readouts, voltages, target), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_regulariser_is_that_of_each_layer(layers, reduction):
    readouts, voltages = layers
    without = DECOLLELoss(torch.nn.MSELoss, reduction=reduction)(readouts, voltages, LABELS)
    found = DECOLLELoss(torch.nn.MSELoss, 0.2, reduction)(readouts, voltages, LABELS) - without
    expected = 0
    for v in voltages:
        low = (0.1 - 1 / (1 + torch.exp(-v))).clamp(min=0)
        expected += 0.2 * (v + 0.01).clamp(min=0).mean() + 0.2 * 0.003 * low.mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_has_gradients_to_readouts_and_voltages(layers):
    readouts, voltages = ([each.requires_grad_() for each in given] for given in layers)
    DECOLLELoss(torch.nn.CrossEntropyLoss, reg=0.1)(readouts, voltages, LABELS).backward()
    assert all(each.grad.abs().sum() > 0 for each in (*readouts, *voltages))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.nn.MSELoss(),), TypeError, r"loss_fn of DECOLLELoss must be a class of losses, got MSELoss\(\)"),
        (("mse",), TypeError, "loss_fn of DECOLLELoss must be a class of losses, got 'mse'"),
        ((torch.nn.MSELoss, -1), ValueError, "reg of DECOLLELoss must be at least 0, got -1"),
        ((torch.nn.MSELoss, "x"), TypeError, "reg of DECOLLELoss must be a number, got 'x'"),
        ((torch.nn.MSELoss, 0, "none"), ValueError, "reduction of DECOLLELoss must be one of 'mean', 'sum', got"),
    ],
)
def test_bad_arguments_of_a_decolle_loss_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        DECOLLELoss(*arguments)


READOUT, VOLTAGE = torch.zeros(N, CLASSES, T), torch.zeros(N, 6, T)


@pytest.mark.parametrize(
    ("readouts", "voltages", "target", "error", "message"),
    [
        (READOUT, [VOLTAGE], LABELS, TypeError, "readouts of DECOLLELoss must be a list of one tensor or more, got"),
        ([READOUT], VOLTAGE, LABELS, TypeError, "voltages of DECOLLELoss must be a list of one tensor or more, got"),
        ([], [], LABELS, TypeError, r"readouts of DECOLLELoss must be a list of one tensor or more, got \[\]"),
        ([READOUT], [VOLTAGE, VOLTAGE], LABELS, ValueError, "must have one tensor for each layer, got 1 and 2"),
        ([READOUT[..., 0]], [VOLTAGE], LABELS, ValueError, r"must have at least 3 axes \(N, classes, T\), got shape"),
        ([READOUT[..., :0]], [VOLTAGE], LABELS, ValueError, r"T > 0, got \(4, 3, 0\)"),
        ([READOUT, READOUT[:2]], [VOLTAGE] * 2, LABELS, ValueError, r"T > 0, got \(4, 3, 5\), \(2, 3, 5\)"),
        ([READOUT], [VOLTAGE], LABELS + 1, ValueError, r"target of DECOLLELoss must lie in 0\.\.2, got 1\.\.3"),
        ([READOUT], [VOLTAGE], LABELS.float(), TypeError, "must hold integers where it is"),
        ([READOUT], [VOLTAGE], LABELS[:3], ValueError, r"shape \(4,\), \(4, 3\) or \(4, 3, 5\), got \(3,\)"),
        ([READOUT], [VOLTAGE], [0, 1], TypeError, r"target of DECOLLELoss must be a torch\.Tensor, got list"),
    ],
)
def test_bad_inputs_of_a_decolle_loss_are_refused(readouts, voltages, target, error, message):
    with pytest.raises(error, match=message):
        DECOLLELoss(torch.nn.CrossEntropyLoss)(readouts, voltages, target)
