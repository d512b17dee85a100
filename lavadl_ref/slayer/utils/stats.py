"""Loss and accuracy over the epochs of a training: recorded, printed, plotted, saved and loaded."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from lavadl_ref import _extras
from lavadl_ref.exchange import atomic
from lavadl_ref.slayer.utils import _log_file
from lavadl_ref.slayer.utils._log_file import Log


class LearningStat:
    """Loss and accuracy on one data set.

    Within an epoch the caller adds to `loss_sum`, `correct_samples` and `num_samples`; `update` closes the epoch. If
    nothing is ever added to `correct_samples`, as in a regression, the epoch has no accuracy. Adding 0 counts as
    adding.

    Attributes
    ----------
    loss_sum : float
        Sum of the loss over the samples of the running epoch.
    correct_samples, num_samples : float, int
        Number of samples classified correctly in the running epoch, and of all its samples.
    loss_log, accuracy_log : list of (float or None)
        One entry per closed epoch; None if the epoch had no sample, or no accuracy.
    min_loss, max_accuracy : float or None
        Best values of the closed epochs.
    best_loss, best_accuracy : bool
        True if the last closed epoch reached them.

    Examples
    --------
    >>> stat = LearningStat()
    >>> stat.num_samples += 4
    >>> stat.loss_sum += 2.0
    >>> stat.correct_samples += 3
    >>> stat.loss, stat.accuracy
    (0.5, 0.75)
    >>> stat.update()
    >>> stat.loss_log, stat.best_loss
    ([0.5], True)
    """

    def __init__(self) -> None:
        self.loss_str, self.loss_unit = "loss", ""
        self.accuracy_str, self.accuracy_unit = "accuracy", ""
        self._clear()

    def _clear(self) -> None:
        self.loss_log: Log = []
        self.accuracy_log: Log = []
        self.min_loss: float | None = None
        self.max_accuracy: float | None = None
        self.best_loss = False
        self.best_accuracy = False
        self.reset()

    def reset(self) -> None:
        """Begin the running epoch again; logs and best values stay."""
        self.loss_sum: float = 0
        self.num_samples: int = 0
        self._correct_samples: float | None = None

    @property
    def correct_samples(self) -> float:
        """Number of samples of the running epoch that were classified correctly."""
        return 0 if self._correct_samples is None else self._correct_samples

    @correct_samples.setter
    def correct_samples(self, value: float) -> None:
        self._correct_samples = value

    @property
    def loss(self) -> float | None:
        """Mean loss per sample of the running epoch; None without samples."""
        return self.loss_sum / self.num_samples if self.num_samples else None

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct samples of the running epoch; None without samples or without classification."""
        if not self.num_samples or self._correct_samples is None:
            return None
        return self._correct_samples / self.num_samples

    @property
    def valid_loss_log(self) -> bool:
        """True if any closed epoch has a loss."""
        return any(value is not None for value in self.loss_log)

    @property
    def valid_accuracy_log(self) -> bool:
        """True if any closed epoch has an accuracy."""
        return any(value is not None for value in self.accuracy_log)

    def update(self) -> None:
        """Close the epoch: log its values, update the best ones, and reset. An epoch without samples logs None."""
        self._close(self.loss, self.accuracy)
        self.reset()

    def _close(self, loss: float | None, accuracy: float | None) -> None:
        self.loss_log.append(loss)
        self.accuracy_log.append(accuracy)
        self.best_loss = loss is not None and (self.min_loss is None or loss < self.min_loss)
        if self.best_loss:
            self.min_loss = loss
        self.best_accuracy = accuracy is not None and (self.max_accuracy is None or accuracy > self.max_accuracy)
        if self.best_accuracy:
            self.max_accuracy = accuracy

    def __str__(self) -> str:
        """A line with the running epoch and the best values so far; empty without samples."""
        if self.loss is None:
            return ""
        best = "" if self.min_loss is None else f"(min = {self.min_loss:11.5f})"
        text = f"{self.loss_str} = {self.loss:11.5f} {best} {self.loss_unit}"
        if self.accuracy is None:
            return text
        gap = " " * (24 if self.min_loss is None else 4)
        most = "" if self.max_accuracy is None else f"(max = {self.max_accuracy:7.5f}) "
        return f"{text}{gap}{self.accuracy_str} = {self.accuracy:7.5f} {most}{self.accuracy_unit}"


class LearningStats:
    """The statistics of a training: `training`, `validation` and `testing`, each a `LearningStat`.

    Parameters
    ----------
    loss_str, accuracy_str : str
        Names of loss and accuracy, also of the files that `save` writes.
    loss_unit, accuracy_unit : str
        Their units.

    Raises
    ------
    TypeError
        An argument is no string.
    ValueError
        `loss_str` or `accuracy_str` is empty, or they are equal.

    Examples
    --------
    >>> stats = LearningStats()
    >>> stats.training.num_samples += 4
    >>> stats.training.loss_sum += 2.0
    >>> stats.testing.num_samples += 2
    >>> stats.testing.loss_sum += 3.0
    >>> stats.update()
    >>> stats.training.loss_log, stats.testing.min_loss
    ([0.5], 1.5)
    """

    def __init__(
        self,
        loss_str: str = "loss",
        loss_unit: str = "",
        accuracy_str: str = "accuracy",
        accuracy_unit: str = "",
    ) -> None:
        words = {
            "loss_str": loss_str,
            "loss_unit": loss_unit,
            "accuracy_str": accuracy_str,
            "accuracy_unit": accuracy_unit,
        }
        for name, word in words.items():
            if not isinstance(word, str):
                raise TypeError(f"{name} of LearningStats must be a string, got {word!r}")
        if not loss_str or not accuracy_str or loss_str == accuracy_str:
            raise ValueError(
                "loss_str and accuracy_str of LearningStats, which name two files, must differ and not be "
                f"empty, got {loss_str!r} and {accuracy_str!r}"
            )
        self.lines_printed = 0
        self.training = LearningStat()
        self.testing = LearningStat()
        self.validation = LearningStat()
        for _, stat in self._columns():
            for name, word in words.items():
                setattr(stat, name, word)

    def _columns(self) -> list[tuple[str, LearningStat]]:
        return [("Train", self.training), ("Valid", self.validation), ("Test", self.testing)]

    def update(self) -> None:
        """Close the epoch of training, validation and testing."""
        for _, stat in self._columns():
            stat.update()

    def new_line(self) -> None:
        """Let the next `print` begin below the lines on the screen instead of replacing them."""
        self.lines_printed = 0

    def _lines(self) -> list[str]:
        return [f"{name:5s} {stat}" for name, stat in self._columns() if name == "Train" or stat.num_samples]

    def __str__(self) -> str:
        return " | ".join(self._lines())

    def print(
        self,
        epoch: int,
        iter: int | None = None,
        time_elapsed: float | None = None,
        header: str | Sequence[str] | None = None,
        dataloader: Any = None,
    ) -> None:
        """Print the running epoch, in place of the lines that the last call printed.

        Parameters
        ----------
        epoch : int
            Number of the epoch.
        iter : int, optional
            Number of the batch in the epoch.
        time_elapsed : float, optional
            Elapsed time in seconds; it is printed in milliseconds.
        header : str or sequence of str, optional
            Lines to print above.
        dataloader : torch.utils.data.DataLoader, optional
            The source of the batches. With `iter`, the percentage of its samples that are done is printed.
        """
        titles = [header] if isinstance(header, str) else list(header or [])
        progress = f"Epoch {epoch:4d}"
        if iter is not None and getattr(dataloader, "batch_size", None) is not None:
            total = len(dataloader.dataset)
            done = min(iter * dataloader.batch_size, total)
            progress += f": {done}/{total} ({100.0 * iter / len(dataloader):.0f}%)"
        elif iter is not None:
            progress += f": i = {iter:5d} "
        if time_elapsed is not None:
            progress += f", {time_elapsed * 1000:12.4f} ms elapsed"
        lines = [f"\033[{self.lines_printed}A"]
        lines += [f"\033[2K{title}" for title in titles]
        lines.append(progress + " " * 8)
        parts = self._lines()
        print("\n".join([*lines, " \n".join(parts)]))
        self.lines_printed = len(lines) + len(parts)

    def plot(
        self,
        figures: tuple[int, int] = (1, 2),
        figsize: tuple[float, float] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Plot loss and accuracy, if there is one, over the epochs. A loss that is always positive is logarithmic.

        Parameters
        ----------
        figures : tuple of int
            Numbers of the two Matplotlib figures, which are cleared first.
        figsize : tuple of float, optional
            Width and height of each figure in inches.
        path : path, optional
            The figures are saved as ``<path><loss_str>.png`` and ``<path><accuracy_str>.png``; see `save`.
        """
        _extras.require("plot", "a plot of losses")
        import matplotlib.pyplot as plt

        legend = {"Train": "Training", "Valid": "Validation", "Test": "Testing"}
        for number, (kind, name, unit, logs) in zip(figures, self._logs(), strict=True):
            if kind == "accuracy" and not logs:
                continue
            figure = plt.figure(number)
            figure.clear()
            if figsize is not None:
                figure.set_size_inches(figsize)
            axes = figure.add_subplot()
            for column, log in logs.items():
                axes.plot([float("nan") if value is None else value for value in log], label=legend[column])
            values = [value for log in logs.values() for value in log if value is not None]
            if kind == "loss" and values and min(values) > 0:
                axes.set_yscale("log")
            axes.set_xlabel("Epoch")
            axes.set_ylabel(f"{name.capitalize()} {unit}".rstrip())
            if logs:
                axes.legend()
            if path is not None:
                picture = io.BytesIO()
                figure.savefig(picture, format="png")
                atomic.write_bytes(self._file(path, f"{name}.png"), picture.getvalue())

    def _logs(self) -> list[tuple[str, str, str, dict[str, Log]]]:
        """Kind, name, unit, and the logs by column that hold a value, of loss and of accuracy."""
        stat = self.training
        losses = {name: each.loss_log for name, each in self._columns() if each.valid_loss_log}
        accuracies = {name: each.accuracy_log for name, each in self._columns() if each.valid_accuracy_log}
        return [
            ("loss", stat.loss_str, stat.loss_unit, losses),
            ("accuracy", stat.accuracy_str, stat.accuracy_unit, accuracies),
        ]

    @staticmethod
    def _file(path: str | os.PathLike[str], name: str) -> str:
        """The file `name` in the folder `path`, or `path` followed by `name` if there is no such folder."""
        start = os.fspath(path)
        return os.path.join(start, name) if os.path.isdir(start) else start + name

    def save(self, path: str | os.PathLike[str] = "") -> None:
        """Write the closed epochs to ``<path><loss_str>.txt`` and ``<path><accuracy_str>.txt``.

        A header names the columns. A line for each epoch follows, with ``nan`` for a missing value. Values keep full
        precision. `path` is an existing folder, or else the beginning of the names of the files.

        Raises
        ------
        OSError
            A file cannot be written.
        """
        for _, name, _, logs in self._logs():
            _log_file.write(self._file(path, f"{name}.txt"), logs)

    def load(self, path: str | os.PathLike[str] = "") -> None:
        """Read the logs that `save` wrote, and set the best values from them.

        The running epoch is discarded. If the accuracy file is missing, there is no accuracy.

        Raises
        ------
        FileNotFoundError
            There is no loss file.
        ValueError
            A file does not have the form that `save` writes; the message names file and line. The statistics are
            not changed then.
        """
        stat = self.training
        losses = _log_file.read(self._file(path, f"{stat.loss_str}.txt"))
        accuracy_file = self._file(path, f"{stat.accuracy_str}.txt")
        accuracies = _log_file.read(accuracy_file) if os.path.exists(accuracy_file) else {}
        epochs = max(map(len, losses.values()), default=0)
        for log in accuracies.values():
            if len(log) != epochs:
                raise ValueError(f"{accuracy_file} must hold {epochs} epochs as the loss file does, got {len(log)}")
        for name, each in self._columns():
            each._clear()
            missing: Log = [None] * epochs
            for values in zip(losses.get(name, missing), accuracies.get(name, missing), strict=True):
                each._close(*values)
