"""The command prints names, paths and messages as they are, whatever characters they hold."""

from __future__ import annotations

import inspect
import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.audit import Audit, Finding, HeadRoom, LayerAudit, Totals, Work, tables
from lavadl_ref.cli import _tables, doctor
from lavadl_ref.cli import main as cli
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Dense, Network, Neuron
from lavadl_ref.port import LayerSize, Sizes
from lavadl_ref.proof import Bound, LayerProof, Proof
from lavadl_ref.verify.report import Comparison, LayerResult, Report

STRANGE = ["[red]x[/]", "[lava]", "[/]", "[link=file:///x]x[/link]", ":smile:", r"\[bold]x", "[", "x]", "a" * 90]
#: As they are printed.
ESCAPED = {"a\nb": r"a\nb", "\x1b[31mx": r"\x1b[31mx", "\r\x07": r"\r\x07", "\udc80": r"\udc80"}
CASES = [*((text, text) for text in STRANGE), *ESCAPED.items()]

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
LAYER = Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=CUBA)


def printed(*tables, width=400):
    """The text that the command prints for tables, the lines of a cell joined."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def audited(text):
    work = Totals(1, 1.0, 1.0, 1, None, None)
    room = HeadRoom(text, 0, 1, 0, 1, -3)
    layer = LayerAudit(
        0, text, (4,), text, text, (text,), "alters", (Finding("alters", text), Finding("loads", text)), (room,), work
    )
    outside = Work(1, 1.0, 1.0, 1)
    return Audit((layer,), "alters", None, None, 3, text, outside, work, ())


def parametrised(text):
    parameters = {**CUBA.parameters, "activation": text}
    neuron = SimpleNamespace(type="CUBA", parameters=parameters)
    return SimpleNamespace(layers=[SimpleNamespace(neuron=neuron)])


def compared(text):
    layer = SimpleNamespace(kind=text, shape=(4,))
    return Report([LayerResult(0, layer, 3, {text: Comparison(3)})], 3)


def damaged(text):
    return SimpleNamespace(
        outcomes=[1],
        seed=0,
        counts={text: Counter(refused=1)},
        worst={text: (1.0, 0.1)},
        largest=SimpleNamespace(megabytes=1.0),
        slowest=SimpleNamespace(seconds=0.0),
    )


def proved(text):
    bound = Bound(text, -1, 1, -1, None, None, "open", (0,), (0, 1))
    return Proof(text, None, None, (LayerProof(0, text, (4,), text, (bound,)),))


#: Every table there is, with a text wherever there is one, and how often it has to be found.
TABLES = {
    "paths": lambda t: ([_tables.paths(t, compared(t))], 3),
    "layers": lambda t: ([_tables.layers(t, Network((LAYER,)), {0: t})], 2),
    "neurons": lambda t: ([_tables.neurons(parametrised(t))], 1),
    "findings": lambda t: ([_tables.findings([doctor.Finding(t, t, True), doctor.Finding(t, t, False, t)])], 4),
    "proof": lambda t: ([_tables.proof(t, proved(t))], 3),
    "sizes": lambda t: ([_tables.sizes(t, Sizes((LayerSize(t, 1, t, 2, 3, 4),), 5))], 2),
    "damage": lambda t: ([_tables.damage(damaged(t))], 1),
    "audit": lambda t: (tables.tables(t, audited(t)), 10),
}


def test_all_tables_are_here():
    functions = [name for name, _ in inspect.getmembers(_tables, inspect.isfunction)]
    assert {name for name in functions if name[0] != "_" and name != "printable"} == set(TABLES) - {"audit"}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("text", "shown"), CASES)
def test_tables_are_literal(name, text, shown):
    made, count = TABLES[name](text)
    out = "".join(line.rstrip() for line in printed(*made, width=2000))
    assert out.count(shown) >= count, out


@pytest.mark.parametrize("name", TABLES)
def test_nothing_is_cut_off(name):
    """A narrow terminal breaks what does not fit."""
    made, _ = TABLES[name]("y" * 300)
    assert "…" not in printed(*made, width=60)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "2000", "NO_COLOR": "1"}).invoke(cli.app, [str(a) for a in arguments])


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_lines_are_literal(text, shown, tmp_path, monkeypatch):
    name = text.replace("/", "-")
    told = name.encode("unicode_escape").decode() if shown != text else name
    monkeypatch.chdir(tmp_path)
    exchange.write("x.net", Network((LAYER,)))
    Path("x.net").rename(name)
    for result in (run("inspect", name), run("verify", name, "--no-lava"), run("audit", name)):
        assert told in "".join(line.rstrip() for line in result.stdout.splitlines()), result.output
    assert run("inspect", name + "y").stderr.startswith(f"error: {told}y: cannot be opened")
    assert told in run("verify", name, "--input", name, "--no-lava").stderr
    assert f"got {told}" in run("vectors", "--check", "cat", "--family", name).stderr.replace("'", "")


@pytest.mark.parametrize("text", ["[red]x[/]", "[lava]", ":smile:"])
def test_reasons_are_literal(text, tmp_path, monkeypatch):
    exchange.write(tmp_path / "x.net", Network((LAYER,)))

    def refuse(*_, **__):
        raise NotImplementedError(text)

    monkeypatch.setattr("lavadl_ref.verify.compare_lava", refuse)
    assert f"lava: not compared: {text}" in run("verify", tmp_path / "x.net", "--no-slayer").stdout
    monkeypatch.setattr(reference.Network, "run", refuse)
    assert run("verify", tmp_path / "x.net").stderr == f"error: {text}\n"


def test_doctor_is_literal(monkeypatch):
    monkeypatch.setattr(doctor, "report", lambda run_lava: [doctor.Finding("[lava]", "pip [lava]", False, "[lava] it")])
    out = run("doctor").stdout
    assert out.count("[lava]") == 4
    assert "pip [lava]" in out
