"""The compiled kernels give the golden integers, run piece by piece."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, product

import numpy as np
import pytest
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.neurons import sigma_delta

from lavadl_ref.testing import vectors
from tests.support import families
from tests.support.kernel_deployment import deploy

SPIKING = {family.type: family.kernel for family in families.SPIKING.values()}
EXACT = 2**24  #: below it every integer is a float32


def pieces(case):
    """The slices of time in which a case is run."""
    ends = list(accumulate(case.chunks))
    return [slice(end - length, end) for end, length in zip(ends, case.chunks, strict=True)]


def column(rows, lane, dtype=np.int64):
    """The values of one lane over time, (T, 1)."""
    return np.array(rows, dtype)[:, lane : lane + 1]


@pytest.mark.parametrize("name", ["usual", "chunks", "ties", "negative", "edges", "zero-threshold"])
@pytest.mark.parametrize("family", SPIKING)
def test_vectors_of_spiking_neurons_are_the_training_kernels(family, name):
    (case,) = (case for case in vectors.cases(family, "slayer") if case.name == name)
    kernel = SPIKING[family]
    decays = (*kernel.FAMILY.decays, "bias") if family == "CUBA" else kernel.FAMILY.decays
    assert max(abs(value) for rows in case.inputs.values() for row in rows for value in row) < EXACT
    for lane in range(case.lanes):
        scalars = [case.parameters[key][lane] for key in ("threshold", "threshold_step") if key in case.parameters]
        rows = np.array([[case.parameters[key][lane]] for key in decays], np.int64)
        state = np.array([[case.state[key][lane]] for key in kernel.FAMILY.states], np.int64)
        for piece in pieces(case):
            x = tuple((column(rows, lane)[piece] / 4096).astype(np.float32) for rows in case.inputs.values())
            run = dynamics.forward(kernel.Parameters(rows, *scalars), x, state)
            assert np.array_equal(run.spike, column(case.spike, lane)[piece])
            state = run.state
            assert state[:, 0].tolist() == [case.states[key][piece.stop - 1][lane] for key in kernel.FAMILY.states]


def deployed_neuron(case, lane):
    """Parameters of one lane of a case."""
    given = {key: values[lane] for key, values in case.parameters.items()}
    if case.family == "SDNN":
        threshold, bias = np.array([given["threshold"]]), np.array([given["bias"]])
        switches = bool(given["relu"]), bool(given["cum_error"])
        return sigma_delta.SigmaDelta(threshold, bias, *switches, given["exponent"])
    kernel = SPIKING[case.family]
    rows = [given[key] for key in (*kernel.FAMILY.decays, *("bias",) * (case.family == "CUBA"))]
    scalars = [given[key] for key in ("threshold", "threshold_step", "exponent") if key in given]
    return kernel.Parameters(np.array([rows], np.int64).T, *scalars)


#: what a graded spike carries
SIZES = {
    family.type: f"{carried}_before_reset" if carried in family.record.resets else carried
    for family in families.SPIKING.values()
    for carried in [family.record.carried]
}


@pytest.mark.parametrize("widths", vectors.WIDTHS)
@pytest.mark.parametrize("family", vectors.DEFINITIONS)
def test_the_vectors_are_those_of_the_deployed_kernels(family, widths):
    """Every case, lane by lane and piece by piece; graded spikes too."""
    for case in vectors.cases(family, widths):
        shown = {**case.states, **case.compared}
        size = np.array(shown[SIZES[family]]) if family in SIZES else 1
        expected = {graded: np.array(case.spike) * (size if graded else 1) for graded in (False, True)}
        states = np.array(list(case.states.values()))
        total, before = np.array(list(case.inputs.values())), np.array(list(case.state.values()))
        for lane, graded in product(range(case.lanes), (False, True) if family in SIZES else (True,)):
            one = slice(lane, lane + 1)
            whole = deploy(deployed_neuron(case, lane), total[..., one], before[:, one], graded=graded)
            whole.loihi = widths == "loihi"
            for piece in pieces(case):
                ran = replace(whole, total=whole.total[:, piece].copy(), reset=whole.reset[piece]).run()
                assert np.array_equal(ran.message, expected[graded][piece, one]), (case.label, lane)
                assert np.array_equal(ran.record, states[:, piece, one]), (case.label, lane)
                whole.state = ran.state


# Not the ties: to meet the threshold again and again, activations leave what float32 holds.
@pytest.mark.parametrize("name", ["usual", "chunks", "negative", "edges", "zero-threshold"])
def test_vectors_of_sigma_delta_are_the_training_kernels(name):
    (case,) = (case for case in vectors.cases("SDNN", "slayer") if case.name == name)
    one = 2**18
    for lane in range(case.lanes):
        given = {key: values[lane] for key, values in case.parameters.items()}
        state = {key: np.array([values[lane] / one]) for key, values in case.state.items()}
        for piece in pieces(case):
            x = (column(case.inputs["input"], lane)[piece] / one).astype(np.float32)
            y, state["sigma"] = sigma_delta.sigma_forward(x, state["sigma"])
            y = y + np.float32(given["bias"] / one)
            y = np.maximum(y, 0) if given["relu"] else y
            assert np.array_equal(y * one, column(case.states["activation"], lane)[piece])
            message, *after = sigma_delta.delta_forward(
                y, state["activation"], state["residue"], state["error"],
                np.array([given["threshold"] / one]), 4096.0, bool(given["cum_error"]),
            )  # fmt: skip
            assert np.array_equal(message * 4096, column(case.spike, lane)[piece])
            state |= dict(zip(("activation", "residue", "error"), after, strict=True))
            assert {key: int(value[0] * one) for key, value in state.items()} == {
                key: rows[piece.stop - 1][lane] for key, rows in case.states.items()
            }
