"""Statistics of a training: best values, the progress text, files."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lavadl_ref.slayer.utils import LearningStat, LearningStats

maybe = st.none() | st.floats(allow_nan=False)


def add(stat, loss, correct=None, samples=10):
    stat.loss_sum += loss * samples
    stat.num_samples += samples
    if correct is not None:
        stat.correct_samples += correct


def filled():
    """Two epochs of training and testing: the first has the better accuracy, the second the smaller loss."""
    stats = LearningStats()
    for loss, correct in ((0.5, 7), (0.25, 6)):
        add(stats.training, loss, correct)
        add(stats.testing, 2 * loss, correct)
        stats.update()
    return stats


def test_a_closed_epoch_is_logged_and_compared():
    stat = filled().training
    assert stat.loss_log == [0.5, 0.25]
    assert stat.accuracy_log == [0.7, 0.6]
    assert (stat.min_loss, stat.max_accuracy) == (0.25, 0.7)
    assert (stat.best_loss, stat.best_accuracy) == (True, False)
    assert (stat.loss_sum, stat.num_samples, stat.correct_samples) == (0, 0, 0)
    assert stat.loss is None
    assert stat.accuracy is None


def test_a_value_equal_to_the_best_is_not_better():
    stats = filled()
    add(stats.training, 0.25, 7)
    stats.update()
    assert (stats.training.best_loss, stats.training.best_accuracy) == (False, False)


def test_an_epoch_without_samples_is_logged_as_missing():
    stats = filled()
    stats.update()
    assert stats.training.loss_log == [0.5, 0.25, None]
    assert (stats.training.min_loss, stats.training.best_loss) == (0.25, False)
    assert not stats.validation.valid_loss_log
    assert stats.training.valid_loss_log


def test_statistics_of_a_regression_have_no_accuracy():
    stat = LearningStat()
    add(stat, 1.0)
    assert stat.accuracy is None
    assert "accuracy" not in str(stat)
    stat.update()
    assert (stat.accuracy_log, stat.max_accuracy, stat.best_accuracy) == ([None], None, False)
    assert not stat.valid_accuracy_log
    add(stat, 1.0, correct=0)
    assert stat.accuracy == 0.0
    stat.update()
    assert (stat.accuracy_log, stat.max_accuracy, stat.best_accuracy) == ([None, 0.0], 0.0, True)


def test_the_logs_stay_after_a_reset():
    stat = filled().training
    add(stat, 1.0, 3)
    stat.reset()
    assert (stat.num_samples, stat.accuracy, stat.loss_log) == (0, None, [0.5, 0.25])


def test_the_text_of_an_epoch_has_loss_and_accuracy():
    stats = LearningStats(loss_unit="V", accuracy_unit="%")
    add(stats.training, 0.5, 7)
    assert str(stats) == "Train loss =     0.50000  V" + " " * 24 + "accuracy = 0.70000 %"
    stats.update()
    add(stats.training, 0.25, 6)
    add(stats.testing, 0.125)
    assert str(stats) == (
        "Train loss =     0.25000 (min =     0.50000) V    accuracy = 0.60000 (max = 0.70000) %"
        " | Test  loss =     0.12500  V"
    )


class Loader:
    """Three batches of at most ten out of 25 samples."""

    dataset = range(25)
    batch_size = 10

    def __len__(self):
        return 3


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({}, "Epoch    7        "),
        ({"iter": 3}, "Epoch    7: i =     3         "),
        ({"iter": 3, "time_elapsed": 1.25}, "Epoch    7: i =     3 ,    1250.0000 ms elapsed        "),
        ({"iter": 2, "dataloader": Loader()}, "Epoch    7: 20/25 (67%)        "),
        ({"iter": 3, "dataloader": Loader()}, "Epoch    7: 25/25 (100%)        "),
        ({"header": ["a", "b"]}, "\033[2Ka\n\033[2Kb\nEpoch    7        "),
        ({"header": "title"}, "\033[2Ktitle\nEpoch    7        "),
    ],
)
def test_a_printed_line_replaces_the_one_before(capsys, arguments, first):
    stats = LearningStats()
    add(stats.training, 0.5)
    add(stats.validation, 1.0)
    stats.print(7, **arguments)
    text = capsys.readouterr().out
    rest = "Train loss =     0.50000   \nValid loss =     1.00000  \n"
    assert text == f"\033[0A\n{first}\n{rest}"
    stats.print(7, **arguments)
    count = text.count("\n")
    assert capsys.readouterr().out == f"\033[{count}A" + text.removeprefix("\033[0A")
    stats.new_line()
    stats.print(7, **arguments)
    assert capsys.readouterr().out == text


def state(stats):
    return [
        {key: value for key, value in vars(stat).items() if key not in ("loss_str", "accuracy_str")}
        for stat in (stats.training, stats.validation, stats.testing)
    ]


# An epoch without samples has neither; one without classification has no accuracy.
epoch = st.just((None, None)) | st.tuples(st.floats(allow_nan=False), maybe)


@given(rows=st.lists(st.tuples(epoch, epoch, epoch), min_size=1, max_size=5))
def test_saved_statistics_are_restored(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats")
    stats = LearningStats()
    parts = (stats.training, stats.validation, stats.testing)
    for row in rows:
        for stat, (loss, accuracy) in zip(parts, row, strict=True):
            stat._close(loss, accuracy)
    assume(any(stat.valid_loss_log for stat in parts))
    stats.save(folder)
    other = filled()
    add(other.training, 1.0, 3)
    other.load(folder)
    assert state(other) == state(stats)


def test_files_have_a_header_and_a_line_per_epoch(tmp_path):
    stats = filled()
    add(stats.training, 1 / 3)
    stats.update()
    stats.save(tmp_path)
    assert (tmp_path / "loss.txt").read_bytes().splitlines() == [
        b"# Train        Test        ",
        b"    0.500000     1.000000 ",
        b"    0.250000     0.500000 ",
        b"0.3333333333333333          nan ",
    ]
    assert (tmp_path / "accuracy.txt").read_text().splitlines()[0] == "# Train        Test        "
    assert np.array_equal(np.loadtxt(tmp_path / "loss.txt")[:2], [[0.5, 1.0], [0.25, 0.5]])


def test_accuracy_columns_come_from_the_accuracies(tmp_path):
    stats = LearningStats()
    add(stats.training, 0.5)
    add(stats.testing, 0.5, 5)
    stats.update()
    stats.save(tmp_path)
    assert (tmp_path / "accuracy.txt").read_text() == "# Test        \n    0.500000 \n"


def test_a_path_is_a_folder_or_the_beginning_of_a_name(tmp_path):
    stats = filled()
    stats.save(f"{tmp_path}/run1_")
    stats.save(f"{tmp_path}/")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["accuracy.txt", "loss.txt", "run1_accuracy.txt", "run1_loss.txt"]


def test_statistics_with_carriage_returns_and_no_accuracy_are_read(tmp_path):
    (tmp_path / "loss.txt").write_bytes(b"# Train        Test         \r\n    0.500000     1.000000 \r\n")
    stats = LearningStats()
    stats.load(tmp_path)
    assert (stats.training.loss_log, stats.testing.loss_log) == ([0.5], [1.0])
    assert stats.training.accuracy_log == [None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header must be '#' and columns"),
        ("# Train Other\n", "line 1: the header must be '#' and columns"),
        ("# Train\n0.5\nx\n", "line 3: values must be numbers, got 'x'"),
        ("# Train\n0.5 1\n", "line 2: there must be 1 values, got 2"),
    ],
)
def test_statistics_refuse_other_files_and_stay_as_they_are(tmp_path, text, message):
    (tmp_path / "loss.txt").write_text(text)
    stats = filled()
    with pytest.raises(ValueError, match=message):
        stats.load(tmp_path)
    assert stats.training.loss_log == [0.5, 0.25]


def test_statistics_refuse_missing_and_unequal_files(tmp_path):
    stats = filled()
    with pytest.raises(FileNotFoundError, match=r"loss\.txt"):
        stats.load(tmp_path)
    (tmp_path / "loss.txt").write_text("# Train\n0.5\n")
    (tmp_path / "accuracy.txt").write_text("# Train\n0.5\n0.5\n")
    with pytest.raises(ValueError, match="must hold 1 epochs as the loss file does, got 2"):
        stats.load(tmp_path)


def test_names_must_give_two_files():
    with pytest.raises(ValueError, match="must differ"):
        LearningStats(loss_str="a", accuracy_str="a")
    with pytest.raises(TypeError, match="loss_unit of LearningStats must be a string, got 1"):
        LearningStats(loss_unit=1)


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def test_plot_draws_and_saves_both_figures(plt, tmp_path):
    stats = filled()
    stats.update()
    for _ in range(2):  # the second call replaces the first one's curves
        stats.plot(figures=(11, 12), figsize=(2, 1), path=tmp_path)
    assert plt.figure(11).get_size_inches().tolist() == [2, 1]
    loss, accuracy = (plt.figure(number).axes[0] for number in (11, 12))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["accuracy.png", "loss.png"]
    assert (loss.get_ylabel(), loss.get_yscale()) == ("Loss", "log")
    assert (accuracy.get_ylabel(), accuracy.get_yscale()) == ("Accuracy", "linear")
    assert [line.get_label() for line in loss.lines] == ["Training", "Testing"]
    assert np.array_equal(loss.lines[0].get_ydata(), [0.5, 0.25, np.nan], equal_nan=True)


def test_plot_of_a_regression_has_one_figure(plt):
    stats = LearningStats()
    add(stats.training, 0.5)
    stats.update()
    stats.plot(figures=(11, 12))
    assert plt.get_fignums() == [11]


def test_matplotlib_is_imported_only_to_plot():
    code = "import sys, lavadl_ref.slayer.utils, lavadl_ref.slayer.loss; print('matplotlib' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
