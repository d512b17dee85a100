"""Small public parts of netx against lava-dl's, wherever lava-dl's do what they say."""

from __future__ import annotations

import importlib
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lavadl_ref.netx import lava_support, modules, utils
from tests.support import upstream
from tests.support.net_files import legacy_layer

pytestmark = pytest.mark.upstream

if not lava_support.available()[0]:
    pytest.skip(lava_support.available()[1], allow_module_level=True)
upstream.slayer()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    THEIR_UTILS = importlib.import_module("lava.lib.dl.netx.utils")
    THEIRS = importlib.import_module("lava.lib.dl.netx.sequential_modules")

INHIBITORY = utils.SYNAPSE_SIGN_MODE.INHIBITORY
RANGES = st.sampled_from([(-256, 254), (0, 255), (-255, -1), (-128, 127), (-4, 4), (-256, 0), (1, 31)])
MATRICES = RANGES.flatmap(
    lambda ends: arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.integers(*ends))
)


def test_netx_has_the_names_of_lava_dl():
    assert {mode.name: mode.value for mode in utils.SYNAPSE_SIGN_MODE} == {
        mode.name: mode.value for mode in THEIR_UTILS.SYNAPSE_SIGN_MODE
    }
    for name in modules.__all__:
        assert hasattr(THEIRS, name)


@given(MATRICES)
def test_weight_bits_equal_lava_dls(weight):
    assume(weight.any())
    assume(not (weight.max() == 255 and weight.min() < 0))  # theirs: all weights 0
    smallest = -int(weight.min())
    # theirs: -256, which an inhibitory synapse does not hold
    assume(not (weight.max() < 0 and smallest & (smallest - 1) == 0))
    with np.errstate(divide="ignore"):
        shifted, bits, exponent, mode = THEIR_UTILS.optimize_weight_bits(weight.copy())
    ours = utils.optimize_weight_bits(weight)
    assert (ours[0] == shifted).all()
    assert ours[1:] == (bits, exponent, mode)


@pytest.mark.parametrize("smallest", [-1, -2, -64, -256])
def test_inhibitory_weights_of_lava_dl_leave_the_range_of_lavas(smallest):
    weight = np.array([[smallest, smallest]])
    assert THEIR_UTILS.optimize_weight_bits(weight.copy())[0].min() == -256
    shifted, _, _, mode = utils.optimize_weight_bits(weight)
    assert mode != INHIBITORY or shifted.min() > -256


@given(arrays(np.int64, array_shapes(max_dims=2, max_side=5), elements=st.integers(0, 62)))
def test_delay_bits_equal_lava_dls(delays):
    longest = int(delays.max())
    assume(longest & (longest - 1))  # theirs: one bit too few for 2**k, and no number for 0
    assert utils.num_delay_bits(delays) == THEIR_UTILS.num_delay_bits(delays)


@pytest.mark.parametrize("longest", [1, 2, 4, 8, 16, 32])
def test_delay_bits_of_lava_dl_may_be_too_few(longest):
    assert 2 ** int(THEIR_UTILS.num_delay_bits(np.array([longest]))) <= longest
    assert 2 ** utils.num_delay_bits(np.array([longest])) > longest


@pytest.mark.parametrize("delays", [[-1, 3], [63]])
def test_both_refuse_these_delays(delays):
    for part in (THEIR_UTILS, utils):
        with pytest.raises(ValueError, match=r"[Dd]elay"):
            part.num_delay_bits(np.array(delays))


READABLE = [
    "layer/0/type", "layer/0/shape", "layer/0/weight", "layer/0/bias", "layer/0/delay", "layer/0/stride",
    "layer/0/neuron/type", "layer/0/neuron/iDecay", "layer/0/neuron/vDecay", "layer/0/neuron/vThMant",
    "layer/1/weight_rec",
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "x.net", "w") as file:
        layer = legacy_layer(file)
        layer["bias"] = np.array([5, 6], np.float32)
        layer["stride"] = [1, 2]
        layer["neuron/type"] = "CUBA"
        layer["neuron/iDecay"] = 7
        layer["neuron/vDecay"] = [8, 9]
        layer["neuron/vThMant"] = 80
        layer["neuron/thDecay"] = 4
        file["layer/1/weight_rec"] = np.array([[2]], np.float32)
    return tmp_path / "x.net"


@pytest.mark.parametrize("place", READABLE)
def test_a_net_dict_gives_the_values_of_lava_dls(path, place):
    theirs, ours = THEIR_UTILS.NetDict(str(path)), utils.NetDict(path)
    held = theirs.f
    try:
        for key in place.split("/"):
            key = int(key) if key.isdecimal() else key
            assert list(ours.keys()) == list(theirs.keys())
            assert len(ours) == len(theirs)
            theirs, ours = theirs[key], ours[key]
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert np.array_equal(ours, theirs)
    finally:
        held.close()


def test_a_value_that_theirs_cannot_read_is_read(path):
    theirs = THEIR_UTILS.NetDict(str(path))
    try:
        assert isinstance(theirs["layer"][0]["neuron"]["thDecay"], THEIR_UTILS.NetDict)
    finally:
        theirs.f.close()
    assert utils.NetDict(path)["layer"][0]["neuron"]["thDecay"] == 4


TYPES = st.sampled_from([np.float32, np.float64])
REALS = TYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(max_dims=3), elements=st.floats(-999, 999, width=32)))


@given(REALS, st.integers(0, 12))
def test_netx_quantize_gives_the_same(x, exp):
    theirs, ours = THEIRS.Quantize(exp)(x), modules.Quantize(exp)(x)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


@given(
    arrays(np.int64, array_shapes(max_dims=3), elements=st.integers(-(2**31), 2**31 - 1)),
    st.integers(0, 18),
    st.integers(1, 32),
)
def test_netx_dequantize_gives_the_same(x, exp, bits):
    theirs, ours = THEIRS.Dequantize(exp, bits)(x), modules.Dequantize(exp, bits)(x)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_netx_fifo_gives_the_same(depth):
    theirs, ours = THEIRS.FIFO(depth), modules.FIFO(depth)
    assert [ours(i) for i in range(8)] == [theirs(i) for i in range(8)]
    assert ours.time_step == theirs.time_step == 8


@pytest.mark.parametrize("part", [THEIRS, modules])
def test_the_order_of_a_step_is_the_same(part):
    class Module(part.AbstractSeqModule):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(("forward", x, self.time_step))
            return -x

        def post_forward(self):
            self.seen.append(("post", self.time_step))

    module = Module()
    assert [module(i) for i in range(3)] == [0, -1, -2]
    module.post_fx_thread.join()
    assert module.seen == [event for i in range(3) for event in (("forward", i, i + 1), ("post", i + 1))]
