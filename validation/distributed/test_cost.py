"""The arithmetic of the page on scaling."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from validation.distributed import cost

COSTS = cost.Costs(neuron=1e-8, connection=1e-11, event=1e-10, weight=1e-9, layer=1e-4, kept=4)


def test_seconds_add_up():
    assert cost.amounts((3, 4, 5), 2, 10, (0.5, 0.25)) == (20 * 9, 20 * 32, 20 * (6 + 5), 32, 2)
    assert COSTS.seconds((3, 4, 5), 2, 10, (0.5, 0.25)) == pytest.approx(
        180e-8 + 640e-11 + 220e-10 + 32e-9 + 2e-4, rel=1e-12
    )


def test_a_ring_sends_each_byte_twice():
    assert cost.all_reduce(1e9, 1, 8, latency=1.0) == 0
    assert cost.all_reduce(1e9, 2, 8, latency=0.0) == pytest.approx(1)
    assert cost.all_reduce(1e9, 1000, 8, latency=0.0) == pytest.approx(2, rel=0.01)
    assert cost.all_reduce(0, 5, 8, latency=1.0) == 8
    assert cost.efficiency(3, 1) == 0.75


def test_the_section_replaces_what_was_there(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{cost.BEGIN}old\n{cost.END}below\n")
    section = cost.report(COSTS, (0.1, 0.11), 32, 300, 0.05)
    for _ in range(2):
        cost.write(page, section)
        assert page.read_text() == f"above\n{cost.BEGIN}{section}{cost.END}below\n"
    assert "takes 110 ms; by the formula 100 ms" in section
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="expected one section between"):
        cost.write(page, section)


def test_the_page_has_its_section():
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    assert text.count(cost.BEGIN) == text.count(cost.END) == 1


def test_a_neuron_keeps_its_input_and_some_states():
    """The input, float32, and now and then a state."""
    assert 4 < cost.kept_for_backward() < 8
