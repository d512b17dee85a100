"""Words drawn in spikes, and exclusive or."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lavadl_ref.datasets import XOR, WrittenSpikes, written  # noqa: E402


def test_a_word_is_drawn_as_cells():
    rows = ["".join(".#"[cell] for cell in row) for row in written.picture("LT").astype(int)]
    assert rows == [
        "#.....#####",
        "#.......#..",
        "#.......#..",
        "#.......#..",
        "#.......#..",
        "#.......#..",
        "#####...#..",
    ]


def test_all_letters_differ_from_each_other():
    letters = {letter: written.picture(letter).tobytes() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ- "}
    assert len(set(letters.values())) == 28
    assert all(written.picture(letter).shape == (7, 5) for letter in letters)


@pytest.mark.parametrize("word", ["", "lava", "É", None])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match="word must be of the letters A to Z"):
        WrittenSpikes(word)


def test_the_target_with_full_ink_is_the_word():
    # one neuron and one step a cell, and a margin of one
    _, target = WrittenSpikes("LT", neurons=9, steps=13, ink=1)[0]
    assert target.dtype == torch.float32
    np.testing.assert_array_equal(target.numpy()[::-1][1:-1, 1:-1], written.picture("LT"))
    assert float(target.sum()) == written.picture("LT").sum()


def test_spike_trains_have_their_rates():
    data = WrittenSpikes()
    x, target = data[0]
    assert (len(data), x.shape, target.shape) == (1, (200, 2000), (200, 2000))
    assert float(x.mean()) == pytest.approx(0.005, rel=0.1)
    letters = WrittenSpikes(ink=1).target
    assert float(target.sum() / letters.sum()) == pytest.approx(0.08, rel=0.05)
    assert not (target * (1 - letters)).any()


def test_the_seed_decides():
    one, two, other = WrittenSpikes(seed=3), WrittenSpikes(seed=3), WrittenSpikes(seed=4)
    for name in ("input", "target"):
        assert torch.equal(getattr(one, name), getattr(two, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"ink of WrittenSpikes must be a chance of at most 1, got 1\.5"):
        WrittenSpikes(ink=1.5)
    with pytest.raises(ValueError, match="rate of WrittenSpikes must be greater than 0"):
        WrittenSpikes(rate=0)
    with pytest.raises(ValueError, match="steps of WrittenSpikes must be at least 25"):
        WrittenSpikes(steps=24)
    with pytest.raises(IndexError, match="index of WrittenSpikes must be at least -1 and below 1, got 1"):
        _ = WrittenSpikes()[1]


def test_xor_gives_its_truth_table():
    data = XOR(3)
    assert len(data) == 4
    for x, y in list(data)[:4]:
        assert (x.shape, y.shape) == ((2, 3), (1,))
        a, b = (int(v) for v in x[:, 0])
        assert int(y[0]) == a ^ b
        assert torch.equal(x, x[:, :1].expand(2, 3))
    assert data.inputs[:, :, 0].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
