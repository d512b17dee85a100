"""One cell of the equivalence matrix: networks made of slayer's blocks, run on every path and compared."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lavadl_ref import exchange, nir, slayer, verify
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.netx.plan.network import LayerPlan, Options, plan
from lavadl_ref.verify.lava_path import compare_lava
from lavadl_ref.verify.report import new_report
from tests.support import generate
from tests.support.matrix import BLOCKS, FAMILIES, Case
from validation.equivalence._networks import Built, Chunked, Difference, fresh
from validation.equivalence._options import OPTIONS, REFUSALS, without_effect

BOTH_FORMS = ("plain", "channels", "delay")
SPATIAL = ("Flatten", "Average")

Known = dict[Any, Any]  #: comparisons that were equal, and descriptions that came back from their file


@dataclass
class Cell:
    """The findings of a cell."""

    compared: int = 0  #: integers
    notes: list[str] = field(default_factory=list)
    refused: bool = False  #: whether there is no such cell, for the reason in `notes`
    differences: list[str] = field(default_factory=list)
    plans: list[tuple[LayerPlan, LayerPlan | None]] = field(default_factory=list)  #: the block, and the next, on Lava

    @property
    def mark(self) -> str:
        """`=` where everything agrees, `–` where there is nothing to compare, `≠` where paths differ."""
        return "≠" if self.differences else "–" if self.refused else "="

    def note(self, text: str) -> None:
        """Add a reason once."""
        if text not in self.notes:
            self.notes.append(text)


def cell(family: str, block: str, option: str, known: Known) -> Cell:
    """Compare all paths for the forms of input that the block takes."""
    found = Cell()
    expected = next((r for r in REFUSALS if r.applies(block, family, option)), None)
    chosen = OPTIONS[option]
    try:
        for form in _forms(family, block, option):
            other = _other(family, block) if chosen.mixed else family
            built = Built(Case(family, block, form, chosen.per_channel, chosen.persistent), chosen, other)
            with warnings.catch_warnings():
                # weights are drawn, a few of them beyond what a file can hold
                warnings.simplefilter("ignore", slayer.SaturationWarning)
                Comparison(built, found, known).run()
    except Difference as error:
        found.differences.append(str(error))
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        if expected is None or type(error) is not expected.error or expected.says not in str(error):
            found.differences.append(f"{type(error).__name__}: {error}")
        else:
            found.refused = True
            found.note(f"{type(error).__name__}: {re.sub(r'[^ ]*x.net: ', '', str(error))}")
            return found
    if expected is not None and not found.differences:
        found.differences.append(f"is not refused with {expected.error.__name__}: {expected.says}")
    why = without_effect(family, block, option)
    if why is not None:
        found.note(why)
    return found


def _forms(family: str, block: str, option: str) -> list[str]:
    """Forms of the input: all where axes matter most, else frames where the block is about space."""
    forms = list(BLOCKS[block].inputs)
    if family in BLOCKS[block].refuses:
        return ["dense"]
    return forms if option in BOTH_FORMS else forms[-1:] if block in SPATIAL else forms[:1]


def _other(family: str, block: str) -> str:
    """One of the other families; those of all blocks are every pair."""
    others = [name for name in FAMILIES if name != family]
    return others[list(BLOCKS).index(block) % len(others)]


class Comparison:
    """A network on every path; what was compared, and what was not, goes into `found`."""

    def __init__(self, built: Built, found: Cell, known: Known) -> None:
        self.built, self.found, self.known = built, found, known
        self.option = built.option

    def run(self) -> None:
        """Compare the network, or each of its parts.

        Raises
        ------
        Difference
            At the first path that differs.
        """
        built = self.built
        network = self._from_file(built)
        self._check_option(network)
        if not self.option.cut:
            self._compare(network, network.layers, built.blocks, built.x, dict(self.option.run))
            return
        front, back = network.layers[: built.cut], network.layers[built.cut :]
        y = self._compare(network, front, built.blocks[: built.cut], built.x, {"num_layers": built.cut})
        self._compare(network, back, built.blocks[built.cut :], y, {"skip_layers": built.cut})

    def _once(self, compare: Callable[..., int], *key: Any) -> None:
        """Count what `compare` finds equal unless it did so before."""
        if key not in self.known:
            self.known[key] = compare()
            self.found.compared += self.known[key]

    def _from_file(self, built: Built) -> exchange.Network:
        network = exchange.Network(tuple(block.describe() for block in built.blocks))
        digest = exchange.digest(network)
        if digest not in self.known:
            with tempfile.TemporaryDirectory() as folder:
                exchange.write(Path(folder) / "x.net", network)
                self.known[digest] = exchange.read(Path(folder) / "x.net")
            self._through_a_graph(built, network)
        if exchange.digest(self.known[digest]) != digest:
            raise Difference(f"{built}: the file is not what was written")
        back: exchange.Network = self.known[digest]
        return back

    def _through_a_graph(self, built: Built, network: exchange.Network) -> None:
        """The file as a graph of NIR and back; bins of time have no node, and are refused."""
        if find_spec("nir") is None or any(isinstance(layer, exchange.TimeDecimation) for layer in network.layers):
            return
        graph = nir.to_graph(network, opaque=True, input_shape=tuple(built.x.shape[1:-1]))
        if exchange.digest(nir.from_graph(graph).network) != exchange.digest(network):
            raise Difference(f"{built}: the graph is not what was written")

    def _check_option(self, network: exchange.Network) -> None:
        """The option must show in the file, or there is a reason why not."""
        if not self.option.described:
            return
        case = Case(self.built.case.family, self.built.case.block, self.built.case.form)
        if case not in self.known:
            self.known[case] = exchange.digest(self._from_file(Built(case, OPTIONS["plain"], case.family)))
        name = next(name for name, option in OPTIONS.items() if option is self.option)
        shown = self.known[case] != exchange.digest(network)
        if shown is (without_effect(case.family, case.block, name) is not None):
            raise Difference(f"{self.built} {'shows' if shown else 'does not show'} in the file")

    def _compare(
        self,
        network: exchange.Network,
        layers: tuple[exchange.Layer, ...],
        chain: list[Any],
        x: torch.Tensor,
        options: dict[str, Any],
    ) -> torch.Tensor:
        """Compare oracle, slayer and Lava with the reference for the consecutive `layers`; what slayer's send."""
        if "reset_interval" in options:
            begins = (s for s, layer in zip(network.start_steps, layers, strict=True) if _is_process(layer))
            options["reset_offset"] = next(begins)
        inputs = integers(layers, chain, x, options.get("spike_exp", deployment.SPIKE_EXP))
        of_lava = ("sparse_fc_layer",)
        deployed = reference.Network(network, **{k: v for k, v in options.items() if k not in of_lava})
        run = deployed.run(inputs, record=reference.RECORDABLE)
        if run.exceeded:
            raise Difference(f"{self.built}: {run.exceeded[0]}")
        key = exchange.digest(exchange.Network(layers)), inputs.tobytes()
        timing = {k: v for k, v in options.items() if k in ("reset_interval", "reset_offset", "time_base", "spike_exp")}
        self._once(lambda: self._oracle(layers, inputs, run, timing), "oracle", *key, *timing.items())
        self._once(lambda: self._lava(network, inputs, run, options), "Lava", *key, *options.items())
        self._note_plans(network, inputs, options)
        self.found.compared += self._slayer(network, layers, chain, x, inputs, run, timing, key)
        for block in chain:
            with torch.no_grad():
                x = fresh(block)(x)
        return x

    def _oracle(
        self, layers: tuple[exchange.Layer, ...], inputs: np.ndarray, run: reference.Run, options: dict[str, Any]
    ) -> int:
        """Every message and every state at every step."""
        records, output = generate.oracle(generate.Case(exchange.Network(layers), inputs), **options)
        compared = [("output", run.output, output)]
        for position, (record, ran) in enumerate(zip(records, run.layers, strict=True)):
            compared += [(f"{name} of layer {position}", getattr(ran, name), a) for name, a in record.items()]
        for name, ours, theirs in compared:
            if not np.array_equal(ours, theirs):
                raise Difference(f"{self.built}: {name}: oracle and reference differ")
        return sum(theirs.size for _, _, theirs in compared)

    def _lava(self, network: exchange.Network, inputs: np.ndarray, run: reference.Run, options: dict[str, Any]) -> int:
        """Every message at every step, and every state that Lava ends with."""
        first = options.get("skip_layers", 0)
        absent = [reference.LayerRun(layer) for layer in network.layers]
        absent[first : first + len(run.layers)] = run.layers
        whole = reference.Run(run.output, tuple(absent), run.exceeded)
        report = new_report(network, whole, inputs.shape[-1])
        compare_lava(report, network, whole, inputs, options, None, in_process=True)
        return self._equal(report, "Lava")

    def _note_plans(self, network: exchange.Network, inputs: np.ndarray, options: dict[str, Any]) -> None:
        plans = {p.position: p for p in plan(network, Options(**options, input_shape=inputs.shape[-2::-1]))}
        at = self.built.position
        if at in plans:
            self.found.plans.append((plans[at], plans.get(at + 1)))

    def _slayer(
        self,
        network: exchange.Network,
        layers: tuple[exchange.Layer, ...],
        chain: list[Any],
        x: torch.Tensor,
        inputs: np.ndarray,
        run: reference.Run,
        options: dict[str, Any],
        key: tuple[Any, ...],
    ) -> int:
        """The messages of every trained block at every step, and of every block rebuilt from the file."""
        fed = [Chunked(fresh(block)) if self.option.persistent else block for block in chain]
        compared = self._equal(verify.trained(fed, x), "slayer")
        if "spike_exp" in options:
            finer = options["spike_exp"] - deployment.SPIKE_EXP
            if any((ran.spikes % (1 << finer)).any() for ran in run.layers if ran.spikes is not None):
                self.found.note(f"{_WITHOUT}: messages are finer than the multiples of 1/4096 that blocks send")
            elif _differ(reference.Network(network).run(integers(layers, chain, x, deployment.SPIKE_EXP)), run, finer):
                raise Difference(f"{self.built}: messages differ from those of slayer")
        if options.get("time_base") == "lava" and _differ(reference.Network(network).run(inputs), run):
            self.found.note(f"{_WITHOUT}: its blocks begin with their data, which gives other spikes here")
        if "spike_exp" in options or self.found.notes:
            return compared
        resets = {k: v for k, v in options.items() if k.startswith("reset")}
        rebuilt = verify.verify(exchange.Network(layers), inputs, lava=False, **resets)
        if resets and "slayer" in rebuilt.skipped:
            self.found.note(f"{_WITHOUT}: {rebuilt.skipped['slayer']}")
            return compared
        self._once(lambda: self._equal(rebuilt, "rebuilt slayer"), "rebuilt", *key, *resets.items())
        return compared

    def _equal(self, report: verify.Report, path: str) -> int:
        """Number of integers compared, at least one."""
        if report.divergences:
            raise Difference(f"{self.built}: {path}: {report.divergences[0]}")
        if report.skipped or not report.compared:
            raise Difference(f"{self.built}: {path}: nothing compared {report.skipped}")
        return report.compared


_SENT = ("spikes", "weighted")
_WITHOUT = "oracle = reference = Lava, not slayer"


def _is_process(layer: exchange.Layer) -> bool:
    return not isinstance(layer, exchange.Flatten) and not (isinstance(layer, exchange.Input) and layer.neuron is None)


def _differ(a: reference.Run, b: reference.Run, up: int = 0) -> bool:
    """Tell whether messages of `a`, shifted left, are not those of `b`."""
    pairs = ((getattr(x, name), getattr(y, name)) for x, y in zip(a.layers, b.layers, strict=True) for name in _SENT)
    return any(y is not None and not np.array_equal(x.astype(np.int64) << up, y) for x, y in pairs)


def integers(layers: tuple[exchange.Layer, ...], chain: list[Any], x: torch.Tensor, spike_exp: int) -> np.ndarray:
    """The first sample of `x` as the integers that the deployed network takes."""
    first = layers[0]
    if isinstance(first, exchange.Input) and first.neuron is not None:
        gained = chain[0].pre_hook_fx(x[0]).numpy().astype(np.float64) * first.weight + first.bias
        return verify.exact_integers(gained, 1, "input")
    return verify.exact_integers(x[0].numpy(), 2 ** deployment.input_bits(layers, spike_exp), "input")
