"""Mutants and faults: each mutant of a step is noticed by a vector of level 1 or explained, and the page says what was
found; each network of level 3 notices that a reset or a decay is missing.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from lavadl_kernels.neurons import FAMILIES

from lavadl_ref.testing import vectors
from tests.support.tree import ROOT
from validation.mutation import networks, run
from validation.mutation.mutants import mutants
from validation.mutation.program import Program
from validation.mutation.vectors import noticed, steps

ROWS = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", (ROOT / "docs" / "mutation.md").read_text(), re.MULTILINE)
PAGE = {name: [int(cell.replace(",", "")) for cell in cells.split(" | ")] for name, cells in ROWS}


@pytest.mark.parametrize("family", vectors.DEFINITIONS)
def test_every_mutant_of_a_step_is_noticed_or_explained(family):
    found = run.family(family, names=False)
    assert found.survivors == []
    assert found.contradicted == []
    assert found.noticed + sum(found.equivalent.values()) == found.mutants
    count, of_names, seen, by_loihi, shown, equivalent = PAGE[family]
    assert found.mutants == count - of_names
    assert seen + shown + equivalent == count
    assert by_loihi <= seen


def test_fewer_vectors_leave_mutants_alive():
    """The cases that were added because mutants survived."""
    few = [case for case in vectors.cases("CUBA") if case.name not in ("limits", "units", "exponents")]
    golden, program = steps(few), Program(FAMILIES["CUBA"].step)
    alive = [mutant for mutant in mutants(program, names=False) if noticed(mutant.step, golden) is None]
    assert noticed(program.compiled(), golden) is None
    assert len(alive) > sum(run.family("CUBA", names=False).equivalent.values())
    assert "fixed_point.saturate24" in {mutant.function for mutant in alive}


def test_every_network_notices_a_missing_reset_and_a_missing_decay():
    cases = [case for case in vectors.suite(3) if isinstance(case, vectors.NetworkCase)]
    assert {case.label: missed for case in cases if (missed := networks.unnoticed(case))} == {}
    found = {fault.name.partition(" of ")[0] for case in cases for fault in networks.faults(case)}
    assert found == {"no reset", *(f"no {decay}" for family in FAMILIES.values() for decay in family.decays)}
    without = [case.label for case in cases if not list(networks.faults(case))]
    assert {name.split("/")[1].split("-")[0] for name in without} == {"windows", "messages"}  # of sigma-delta neurons


def test_a_network_that_is_saturated_notices_no_reset():
    """The reason why draws are chosen: spikes at every step leave nothing to a reset."""
    (dense,) = (case for case in vectors.suite(3, "CUBA", "loihi") if case.label == "networks/dense-CUBA-loihi")
    assert isinstance(dense, vectors.NetworkCase)
    layers = []
    for layer in dense.network.layers:
        assert layer.neuron is not None
        layers.append(
            replace(layer, neuron=replace(layer.neuron, parameters={**layer.neuron.parameters, "threshold": 0}))
        )
    saturated = replace(dense, network=replace(dense.network, layers=tuple(layers)))
    assert "no reset of CUBA by a spike" in networks.unnoticed(saturated)
