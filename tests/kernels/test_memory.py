"""Memory that is used again: by nobody else while anything still looks at it."""

import gc
import platform
import subprocess
import sys
import threading

import numpy as np
import pytest
from lavadl_kernels.runtime import buffers
from lavadl_kernels.runtime.buffers import ALIGN, LARGE, empty, empty_like

SIZE = LARGE // 4 + 5


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    buffers._given.clear()
    buffers._free.clear()
    buffers._use.__dict__.clear()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [0, 3, (2, 0), (4, 5), SIZE, (3, SIZE), (SIZE, 2, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_arrays_of_the_pool_are_ordinary(shape, dtype):
    array = empty(shape, dtype)
    like = np.empty(shape, dtype)
    assert (array.shape, array.dtype, array.strides) == (like.shape, like.dtype, like.strides)
    assert array.flags.writeable
    assert array.flags.c_contiguous
    array[...] = 7
    assert (array == 7).all()
    if array.nbytes >= LARGE:
        assert address(array) % ALIGN == 0
    assert empty_like(array).shape == array.shape


def test_the_pool_gives_a_buffer_again():
    first = empty(SIZE)
    place = address(first)
    del first
    assert address(empty(SIZE)) == place


def test_a_buffer_given_back_while_another_is_taken_is_kept():
    first = empty(SIZE)
    place = address(first)
    with buffers._lock:  # as a collection in the middle of `_take` finds it
        del first
    assert address(empty(SIZE)) == place


def test_memory_is_not_used_again_while_a_view_is_left():
    first = empty((SIZE, 2))
    place, view = address(first), first.reshape(2, -1).transpose()[5:]
    first[...] = 3
    del first
    other = empty((SIZE, 2))
    other[...] = 4
    assert address(other) != place
    assert (view == 3).all()
    del view
    assert address(empty((SIZE, 2))) == place


def test_memory_is_not_used_again_while_a_tensor_is_left():
    torch = pytest.importorskip("torch")
    first = empty((SIZE, 2))
    first[...] = 3
    tensor = torch.from_numpy(first)[1:].t()
    del first
    empty((SIZE, 2))[...] = 4
    assert bool((tensor == 3).all())


def test_memory_is_used_again_for_arrays_of_like_size_only():
    place = address(empty(8 * SIZE))
    kept = [empty(SIZE), empty(6 * SIZE), empty(9 * SIZE)]
    assert place not in map(address, kept)
    assert address(empty(8 * SIZE)) == place


def kept():
    assert buffers._use.kept == sum(block.size for block, _ in buffers._free)
    return buffers._use.kept


def large(count=1):
    return empty(count * LARGE, np.uint8)


@pytest.fixture
def no_floor(monkeypatch):
    monkeypatch.setattr(buffers, "FLOOR", 0)


@pytest.mark.usefixtures("no_floor")
def test_the_pool_keeps_as_much_as_was_in_use_at_one_time():
    for count in range(1, 9):  # one after the other, of sizes that do not replace one another
        large(count)
    assert 8 * LARGE < kept() <= 9 * LARGE + ALIGN * 9
    arrays = [large(8) for _ in range(5)]
    arrays.clear()
    assert 40 * LARGE < kept() < 45 * LARGE


@pytest.mark.usefixtures("no_floor")
def test_the_pool_keeps_little_beside_what_is_in_use():
    for count in (3, 4, 5):
        large(count)
    arrays = [large(2) for _ in range(5)]
    assert kept() < 2 * LARGE
    arrays.clear()
    assert 10 * LARGE < kept() < 12 * LARGE


@pytest.mark.usefixtures("no_floor")
def test_the_pool_forgets_what_was_in_use_long_ago(monkeypatch):
    monkeypatch.setattr(buffers, "WINDOW", 10)
    arrays = [large(8) for _ in range(5)]
    arrays.clear()
    for _ in range(21):
        assert kept() > 0
        large(1)
    assert LARGE < kept() < 2 * LARGE


def test_the_pool_keeps_no_buffer_that_was_not_used_for_long(monkeypatch):
    monkeypatch.setattr(buffers, "WINDOW", 10)
    large(3)
    for _ in range(20):
        large(1)
        assert kept() > 4 * LARGE
    large(1)
    assert LARGE < kept() < 2 * LARGE


def test_the_pool_keeps_no_more_than_its_ceiling(monkeypatch):
    monkeypatch.setattr(buffers, "CEILING", 3 * LARGE)
    arrays = [large() for _ in range(5)]
    arrays.clear()
    assert 2 * LARGE < kept() <= 3 * LARGE


def test_the_pool_counts_what_is_in_use():
    first, second = large(2), large(3)
    assert 5 * LARGE < buffers._use.lent < 6 * LARGE
    del first
    large(1)
    assert 3 * LARGE < buffers._use.lent < 4 * LARGE
    del second


def test_threads_do_not_share_their_memory():
    wrong = []

    def work(value):
        for _ in range(50):
            array = empty(SIZE, np.int32)
            array[:] = value
            if (array != value).any():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    kept()


STEPS = """
import resource
import numpy as np
import lavadl_kernels.runtime.buffers

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        arrays = [np.ones(3 << 17) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_memory_that_is_freed_elsewhere_stays_in_the_process():
    """8 arrays of 768 pages, 20 times: without what the import does each is fresh."""
    found = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 2000
