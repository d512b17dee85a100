"""Networks at the limits of the format give the integers of the reference."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavadl_ref import reference
from lavadl_ref.deployed.deployment import UnsupportedLayer
from lavadl_ref.testing.strategies import networks
from tests.support import c_programs

STEPS = 12


def runs(network):
    """Tell whether all layers have integers."""
    try:
        reference.Network(network)
    except UnsupportedLayer:
        return False
    return True


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
@given(
    network=networks(max_layers=3, max_extent=4).filter(runs),
    time_base=st.sampled_from(reference.TIME_BASES),
    reset_interval=st.none() | st.integers(1, 9),
    seed=st.integers(0, 9),
    largest=st.sampled_from([1, 100, 2**31 - 1]),
)
@settings(max_examples=12)
def test_networks_at_the_limits_of_the_format_give_the_same_integers_in_c(
    network, time_base, reset_interval, seed, largest
):
    options = {"time_base": time_base, "reset_interval": reset_interval}
    inputs = np.random.default_rng(seed).integers(-largest, largest + 1, (*network.input_shape, STEPS))
    with tempfile.TemporaryDirectory() as folder:
        c_programs.exported(Path(folder), network, inputs, **options)
        program = c_programs.compiled(Path(folder), flags=c_programs.SANITIZED)
        assert c_programs.differences(network, inputs, program, **options) == []
