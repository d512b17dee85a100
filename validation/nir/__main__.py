"""Frameworks that read and write graphs of NIR: ``python -m validation.nir``, in an environment that has them.

Each reads the graphs of `validation.nir.graphs` from a file and runs them, and must spike as the graph in floating
point does, at every step; the lines of `docs/nir.md` for it must run. Each must refuse a graph that stands for neurons
which NIR does not have. Each writes a graph of a model of its own: that graph in floating point must spike as the model
does, and is imported.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lavadl_ref import nir as bridge
from validation.nir import frameworks, graphs
from validation.nir.frameworks import FRAMEWORKS, Framework

STEPS = 200


def reads(peer: Framework, given: graphs.Given, folder: Path) -> tuple[int, int]:
    """The spikes of a framework's run that differ from those of the graph, and the spikes of the graph."""
    import nir

    bridge.write(folder / "x.nir", given.network)
    expected = bridge.restated(nir.read(folder / "x.nir")).run(given.inputs[None])["output"][0]
    with frameworks.quiet():
        step = peer.load(nir.read(folder / "x.nir"))
    found = frameworks.run(step, given.inputs)
    return int((found != expected).sum()), int(expected.sum())


def refuses(peer: Framework, folder: Path) -> str | None:
    """The error with which a framework meets a node that stands for another; None if it runs."""
    import nir

    bridge.write(folder / "x.nir", graphs.foreign(), opaque=True)
    try:
        with frameworks.quiet():
            step = peer.load(nir.read(folder / "x.nir"))
        frameworks.run(step, np.ones((4, 3)))
    except Exception as error:  # each has its own
        return type(error).__name__
    return None


def writes(peer: Framework) -> tuple[int, int, Any]:
    """The spikes of a framework's model that differ from those of its graph, those of the graph, and the report."""
    torch.manual_seed(0)
    with frameworks.quiet():
        graph, step = peer.model()
    inputs = (np.random.default_rng(0).random((frameworks.INPUTS, STEPS)) < 0.5).astype(np.int64)
    restated = bridge.restated(graph, source=peer.name, **{"dt": None, **peer.told})
    (expected,) = [values[0] for name, values in restated.run(inputs[None]).items() if name == restated.output]
    found = frameworks.run(step, inputs)
    imported = bridge.from_graph(graph, source=peer.name, **peer.told)
    return int((found != expected).sum()), int(expected.sum()), imported.report


def page(peer: Framework, folder: Path) -> bool:
    """Run the framework's block of docs/nir.md, where the page has written its graph; True if the page has one."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "nir.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (block,) = [found for found in blocks if f"from {peer.module.partition('.')[0]}" in found] or [""]
    names: dict[str, Any] = {}
    here = Path.cwd()
    os.chdir(folder)
    try:
        with frameworks.quiet():
            exec(compile(blocks[0], "docs/nir.md", "exec"), {})
            bridge.write("trained.nir", "trained.net")
            exec(compile(block, "docs/nir.md", "exec"), names)
    finally:
        os.chdir(here)
    return "spikes" in names and names["spikes"].shape == (1, 4)


def main() -> int:
    """0 if all spikes are equal, 1 if some differ, 2 if no framework is there."""
    failed, any_there = False, False
    for peer in FRAMEWORKS:
        if not peer.is_there:
            print(f"{peer.name}: is not installed")
            continue
        any_there = True
        with tempfile.TemporaryDirectory() as name:
            for given in graphs.networks():
                differing, spikes = reads(peer, given, Path(name))
                failed |= differing > 0 or spikes == 0
                print(f"{peer.name}: reads {given.name}: {differing} of {spikes} spikes differ")
            shown = page(peer, Path(name))
            failed |= not shown
            print(f"{peer.name}: the page's own lines: {'run' if shown else 'are missing'}")
            error = refuses(peer, Path(name))
            failed |= error is None
            print(f"{peer.name}: a node that stands for another: {error or 'runs'}")
        differing, spikes, report = writes(peer)
        failed |= differing > 0 or spikes == 0
        print(f"{peer.name}: its own model: {differing} of {spikes} spikes differ from those of its graph")
        print("".join(f"    {line}\n" for line in str(report).splitlines()), end="")
    return 1 if failed else 0 if any_there else 2


if __name__ == "__main__":
    sys.exit(main())
