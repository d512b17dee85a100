"""IDX files, whole and damaged."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

torch = pytest.importorskip("torch")

from lavadl_ref.datasets import MNIST, read_idx  # noqa: E402

TYPES = {"u1": 8, "i1": 9, "i2": 0xB, "i4": 0xC, "f4": 0xD, "f8": 0xE}


def idx(array):
    """An IDX file of an array."""
    kind = TYPES[array.dtype.str[1:]]
    return (
        struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def put(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("suffix", ["idx", "idx.gz"])
@given(array=st.sampled_from(list(TYPES)).flatmap(lambda t: hnp.arrays(t, hnp.array_shapes(max_dims=4, max_side=5))))
def test_arrays_are_read_as_written(array, suffix, tmp_path_factory):
    path = put(tmp_path_factory.mktemp("idx") / f"a.{suffix}", idx(array))
    found = read_idx(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    found[...] = 0  # it is the caller's


@pytest.mark.parametrize("suffix", ["idx", "idx.gz"])
@given(length=st.integers(0, 27))
def test_an_mnist_file_cut_short_is_refused(length, suffix, tmp_path_factory):
    whole = idx(np.arange(12, dtype="u1").reshape(3, 4))
    assert len(whole) == 24
    path = put(tmp_path_factory.mktemp("idx") / f"a.{suffix}", (whole + b"more")[:length])
    if length == 24:
        assert read_idx(path).shape == (3, 4)
    else:
        with pytest.raises(ValueError, match=r"a\.idx"):
            read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\7\1\0\0\0\1x", "begins with 00 00 07 01"),
        (b"PK\3\4", "begins with 50 4b 03 04"),
        (b"\0\0\x08\3\0\0\0\1", "must have the lengths of its 3 axes, got a file that ends within them"),
        (b"\0\0\x08\1\0\0\0\5abc", r"an array \(5,\) of 1 bytes each takes 5, but there are 3"),
        (b"\0\0\x08\1\0\0\0\2abc", r"takes 2, but there are more"),
        (b"\0\0\x0e\3" + b"\xff" * 12 + b"x", "takes [0-9]+, more than the file can hold"),
    ],
)
def test_the_error_says_what_is_wrong(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_idx(put(tmp_path / "a.idx", content))


@pytest.mark.parametrize("damage", [lambda z: z[:-9], lambda z: z[:20] + b"\xff\xff" + z[22:], lambda z: b"plain"])
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    path = tmp_path / "a.gz"
    path.write_bytes(damage(gzip.compress(idx(np.arange(200, dtype="u1")))))
    with pytest.raises(ValueError, match=r"a\.gz: (damaged gzip file|an array .* takes .*, more than)"):
        read_idx(path)


def folder(path, count=3, labels=(7, 0, 9), part="train", suffix="", side=28):
    images = np.arange(count * side * side).astype("u1").reshape(count, side, side)
    put(path / f"{part}-images-idx3-ubyte{suffix}", idx(images))
    put(path / f"{part}-labels-idx1-ubyte{suffix}", idx(np.array(labels, "u1")))
    return images


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("part", "train"), [("train", True), ("t10k", False)])
def test_mnist_gives_pictures_and_labels(tmp_path, part, train, suffix):
    images = folder(tmp_path, part=part, suffix=suffix)
    data = MNIST(tmp_path, train)
    assert (len(data), data.images.shape, data.images.dtype) == (3, (3, 28, 28), torch.float32)
    assert data.labels.tolist() == [7, 0, 9]
    picture, label = data[2]
    assert label == 9
    np.testing.assert_array_equal((picture * 255).round().numpy(), images[2])
    assert float(data.images.max()) == 1
    with pytest.raises(FileNotFoundError, match="expected it, or "):
        MNIST(tmp_path, not train)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    folder(tmp_path, labels=(1, 2))
    with pytest.raises(ValueError, match="labels of part train must be 3, as images, got 2"):
        MNIST(tmp_path)


def test_a_label_above_nine_is_refused(tmp_path):
    folder(tmp_path, labels=(1, 2, 10))
    with pytest.raises(ValueError, match="at most 9, got 10"):
        MNIST(tmp_path)


def test_files_of_another_kind_are_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 4), "u1")))
    with pytest.raises(ValueError, match=r"must have bytes on 3 axes, got uint8 \(3, 4\)"):
        MNIST(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 4, 4), "f4")))
    with pytest.raises(ValueError, match="got float32"):
        MNIST(tmp_path)
