"""The conformance suite's layers and networks are what the reference runs, in every message and state."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import reference
from lavadl_ref.testing import vectors


@pytest.mark.parametrize("level", [2, 3])
def test_the_reference_gives_the_integers_of_the_suite(level):
    count = 0
    for case in vectors.suite(level):
        network = reference.Network(case.network, profile=case.widths, **case.options)
        shape = case.network.input_shape or case.inputs.shape[1:]
        run = network.run(case.inputs.T.reshape(*shape, case.steps), record=reference.RECORDABLE)

        def rows(values, steps=case.steps):
            return values.reshape(-1, steps).T.astype(np.int64).tolist()

        assert rows(run.output) == case.answer["output"], case.label
        for index, position in enumerate(case.positions):
            kept = run.layers[position]
            sent = kept.weighted if kept.layer.neuron is None else kept.spikes
            for name, values in {"sent": sent, **kept.states}.items():
                assert rows(values) == case.traces[f"layer{index}.{name}"], (case.label, index, name)
        count += 1
    assert count > 50
