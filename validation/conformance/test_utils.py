"""``slayer.utils`` against lava-dl where both should agree."""

import importlib
import inspect

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import utils as ours
from tests.support import upstream

pytestmark = pytest.mark.upstream
theirs = upstream.slayer().utils

NAMES = [
    "quantize",
    "quantize_hook_fx",
    "diagonal_mask",
    "Assistant",
    "Assistant.train",
    "Assistant.test",
    "Assistant.valid",
    "Assistant.reduce_lr",
    "LearningStat",
    "LearningStats",
    "LearningStats.print",
    "LearningStats.plot",
    "LearningStats.save",
    "LearningStats.load",
    "LearningStats.new_line",
    "LearningStats.update",
    "filter.FIR",
    "filter.FIRBank",
    "filter.conv",
    "filter.corr",
    "time.shift",
    "time.replicate",
    "int_utils.right_shift_to_zero",
]


def member(root, name):
    for part in name.split("."):
        root = getattr(root, part)
    return root


@pytest.mark.parametrize("name", NAMES)
def test_utils_have_the_arguments_of_lava_dl(name):
    actual, expected = (inspect.signature(member(root, name)).parameters.values() for root in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in actual] == [(p.name, p.default, p.kind) for p in expected]


def test_every_public_name_exists():
    wanted = {name for name in dir(theirs) if not name.startswith("_")}
    assert wanted <= set(dir(ours))


@pytest.mark.parametrize("step", [1, 0.5, 2 / 64, 0.1])
@pytest.mark.parametrize("mode", [0, 1])
def test_quantize_gives_the_same(step, mode):
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 5
    expected = theirs.quantize(x, step, theirs.QUANTIZE_MODE(mode))
    assert torch.equal(ours.quantize(x, step, mode), expected)


def test_the_quantize_hook_within_eight_bits_gives_the_same():
    x = torch.linspace(-3.9, 3.9, 1000)
    for descale in (False, True):
        expected = theirs.quantize_hook_fx(x, descale=descale)
        assert torch.equal(ours.quantize_hook_fx(x, descale=descale), expected)


def test_the_integer_helpers_give_the_same():
    x = torch.arange(-300, 300)
    for bits in range(9):
        expected = theirs.int_utils.right_shift_to_zero(x, bits)
        assert torch.equal(ours.int_utils.right_shift_to_zero(x, bits), expected)
    real = torch.linspace(-3, 3, 101)
    assert torch.equal(ours.int_utils.Q2Zero.apply(real), theirs.int_utils.Q2Zero.apply(real))


def test_masks_and_rates_are_the_same():
    for dim, number in [(5, 1), (5, 2), (5, 3), (4, 5)]:
        assert torch.equal(ours.diagonal_mask(dim, number), theirs.diagonal_mask(dim, number))
    x = torch.randint(-1, 2, (2, 3, 7)).float()
    assert ours.event_rate(x) == pytest.approx(theirs.event_rate(x), rel=1e-6)
    assert ours.event_rate(x[..., :1]) == pytest.approx(theirs.event_rate(x[..., :1]), rel=1e-6)


@pytest.mark.parametrize("value", [0, 1, -1, 1.7, -1.7, 9, [0, 1, -1.5, 2.0]])
def test_a_shift_gives_the_same(value):
    x = torch.rand(2, 2, 2, 5)
    value = torch.tensor(value) if isinstance(value, list) else value
    assert torch.equal(ours.time.shift(x, value), theirs.time.shift(x, value))


def test_a_shift_by_one_value_gives_the_same():
    x = torch.rand(2, 3, 9)
    for value in (1, 2, 5, -3):
        assert torch.equal(ours.time.shift(x, value, 2), theirs.time.shift(x, value, 2))


def test_replicate_gives_the_same():
    x = torch.rand(2, 3)
    assert torch.equal(ours.time.replicate(x, 4), theirs.time.replicate(x, 4))


@pytest.mark.parametrize("name", ["conv", "corr"])
def test_the_filters_give_the_same(name):
    x = torch.rand(2, 3, 40, requires_grad=True)
    filter = torch.rand(7)
    results = [getattr(root.filter, name)(x, filter, 0.5) for root in (ours, theirs)]
    torch.testing.assert_close(results[0], results[1].reshape(x.shape))
    gradient = torch.rand(x.shape)
    actual, expected = (torch.autograd.grad(y, x, gradient.reshape(y.shape))[0] for y in results)
    torch.testing.assert_close(actual, expected)


def test_fir_and_bank_give_the_same():
    x = torch.rand(2, 3, 40)
    for options in ({}, {"time_constant": 3, "length": 9, "sampling_time": 2}):
        actual, expected = (root.filter.FIR(**options) for root in (ours, theirs))
        assert torch.equal(actual.filter, expected.filter)
        torch.testing.assert_close(actual(x), expected(x))
    actual, expected = (root.filter.FIRBank(3, 4, scale=2) for root in (ours, theirs))
    actual.load_state_dict(expected.state_dict())
    torch.testing.assert_close(actual(x), expected(x))
    assert np.array_equal(actual.impulse_response, expected.impulse_response)
    assert (actual.num_filter, actual.filter_length) == (expected.num_filter, expected.filter_length)


def test_a_bank_starts_from_the_same_random_weights():
    banks = []
    for root in (ours, theirs):
        torch.manual_seed(5)
        banks.append(root.filter.FIRBank(3, 4, scale=2).weight)
    assert torch.equal(*banks)


EPOCHS = [(0.3, 7), (0.4, 6), (0.1, 8), (0.1, 8)]


def filled(root, close=True):
    """Statistics after four epochs, in the middle of the fifth."""
    stats = root.LearningStats(loss_unit="V", accuracy_unit="%")
    parts = (stats.training, stats.validation, stats.testing)
    for loss, correct in EPOCHS if close else ():
        for factor, stat in enumerate(parts, 1):
            stat.num_samples, stat.correct_samples, stat.loss_sum = 10, correct, 10 * factor * loss
        stats.update()
    for stat in parts:
        stat.num_samples, stat.correct_samples, stat.loss_sum = 5, 4, 2.5
    return stats


LOADER = torch.utils.data.DataLoader(range(35), batch_size=10)


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"iter": 3},
        {"time_elapsed": 1.25},
        {"iter": 3, "time_elapsed": 1.25},
        {"iter": 2, "time_elapsed": 0.5, "dataloader": LOADER},
        {"iter": 1, "header": ["one", "two"]},
    ],
)
def test_the_progress_text_is_the_same(close, options, capsys):
    texts = []
    for root in (ours, theirs):
        stats = filled(root, close)
        for _ in range(2):
            stats.print(12, **options)
        texts.append(str(stats) + capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_the_logs_and_best_values_are_the_same():
    for actual, expected in zip(*(vars(filled(root)).values() for root in (ours, theirs)), strict=True):
        for name in vars(expected) if hasattr(expected, "loss_log") else ():
            assert getattr(actual, name) == getattr(expected, name), name


def test_saved_files_are_readable_as_lava_dl_writes_them(tmp_path):
    for root, name in ((ours, "ours_"), (theirs, "theirs_")):
        filled(root).save(f"{tmp_path}/{name}")
    for file in ("loss.txt", "accuracy.txt"):
        actual = np.loadtxt(f"{tmp_path}/ours_{file}")
        expected = np.loadtxt(f"{tmp_path}/theirs_{file}")
        np.testing.assert_allclose(actual, expected, atol=5e-7)
        header = (tmp_path / f"theirs_{file}").read_text().splitlines()[0]
        assert (tmp_path / f"ours_{file}").read_text().splitlines()[0] == header
    loaded = ours.LearningStats()
    loaded.load(f"{tmp_path}/theirs_")
    assert loaded.testing.loss_log == pytest.approx([3 * loss for loss, _ in EPOCHS])
    assert loaded.training.accuracy_log == [0.7, 0.6, 0.8, 0.8]


@pytest.mark.parametrize("lam", [None, 0.5])
def test_a_training_step_of_an_assistant_gives_the_same(lam):
    results = []
    for root in (ours, theirs):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)

        class Net(torch.nn.Module):
            def __init__(self, layer=layer):
                super().__init__()
                self.layer = layer

            def forward(self, x):
                output = self.layer(x)
                return output if lam is None else (output, output.abs().mean())

        net = Net()
        stats = root.LearningStats()
        assistant = root.Assistant(
            net,
            torch.nn.functional.cross_entropy,
            torch.optim.SGD(net.parameters(), 0.1),
            stats,
            lambda output: output.argmax(1),
            lam=lam,
        )
        x, target = torch.rand(4, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0])
        output = assistant.train(x, target)
        assistant.test(x, target)
        parts = (stats.training, stats.testing)
        numbers = [(stat.num_samples, stat.correct_samples, stat.loss_sum) for stat in parts]
        results.append((output, layer.weight, numbers))
    (output, weight, numbers), expected = results
    assert torch.equal(output, expected[0])
    assert torch.equal(weight, expected[1])
    assert numbers == expected[2]


@pytest.mark.parametrize("name", ["fwd", "bwd"])
def test_filters_without_autograd_give_the_same(name):
    x, taps = torch.rand(2, 3, 30), torch.rand(7)
    modules = [importlib.import_module(f"{root.__name__}.filter.conv") for root in (ours, theirs)]
    actual, expected = (getattr(module, name)(x, taps, 2) for module in modules)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
