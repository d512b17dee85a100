"""Every entry point that needs no torch, times every kind of bad input: one line of ours that names the argument.

What is raised is raised by a line of this project: an error that comes out of NumPy, h5py or the system has not been
thought of, whatever it says.
"""

from __future__ import annotations

import io
import linecache
import math
import platform
import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lavadl_ref
from lavadl_ref import exchange, verify
from lavadl_ref.audit import audit
from lavadl_ref.cli import main as cli
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Conv, Dense, ExchangeError, Input, Network, Neuron
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.network import Options, load, plan
from lavadl_ref.netx.run import runtime
from lavadl_ref.testing import vectors
from lavadl_ref.testing.vectors import checking
from lavadl_ref.verify.files import read_input

USABLE, WHY = lava_support.available()
OURS = Path(lavadl_ref.__file__).parent
TYPES = (ValueError, TypeError, ExchangeError)

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
NETWORK = Network((Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=CUBA),))
DRIVEN = Network((Input(shape=(6,), neuron=CUBA),))
WINDOWS = Network((Conv(shape=(2, 3, 3), weight=np.full((2, 1, 2, 2), 20), neuron=CUBA),))
GOOD = np.zeros((6, 9), np.int64)

ARRAYS: dict[str, Any] = {
    "fractions": np.full((6, 9), 0.5),
    "whole floats": np.ones((6, 9), np.float32),
    "complex": np.ones((6, 9), complex),
    "NaN": np.full((6, 9), np.nan),
    "infinity": np.full((6, 9), np.inf),
    "texts": np.full((6, 9), "1"),
    "objects": np.full((6, 9), None),
    "dates": np.zeros((6, 9), "M8[s]"),
    "rows of several lengths": [[0, 1], [1]],
    "a text": "spikes",
    "a mapping": {"x": 1},
    "a set": {1, 2},
    "a number": 3,
    "one axis": np.zeros(6, int),
    "four axes": np.zeros((1, 1, 6, 9), int),
    "another extent": np.zeros((7, 9), int),
    "beyond 32 bits": np.full((6, 9), 2**31),
    "below 32 bits": np.full((6, 9), -(2**31) - 1),
    "beyond 64 bits": [[2**70] * 9] * 6,
    "unsigned": np.full((6, 9), 2**63, np.uint64),
}
#: What only some take.
SEVERAL = {"a batch": np.zeros((2, 6, 9), int)}
EMPTY = {"no steps": np.zeros((6, 0), int)}
NOT_COUNTS: dict[str, Any] = {
    "negative": -1,
    "fraction": 2.5,
    "whole float": 2.0,
    "NaN": math.nan,
    "text": "3",
    "bytes": b"3",
    "truth value": True,
    "list": [3],
    "array": np.zeros(2, int),
}
ZERO = {"zero": 0}
NOT_POSITIVE: dict[str, Any] = {
    "negative": -1.0,
    "zero": 0,
    "NaN": math.nan,
    "text": "3",
    "truth value": True,
    "list": [3.0],
}
NOT_SHARES: dict[str, Any] = {**NOT_POSITIVE, "zero": -0.1, "large": 1.5, "infinity": math.inf}
NOT_NAMES: dict[str, Any] = {"unknown": "nothing", "number": 3, "none of them": [], "numbers": [1]}


@dataclass(frozen=True)
class Argument:
    """One argument of an entry point, and what it does not take."""

    call: Callable[[Any], Any]
    names: str  #: what the message has to name
    kinds: dict[str, Any]


ARGUMENTS = {
    "reference.Network num_layers": Argument(
        lambda v: reference.Network(NETWORK, num_layers=v), "num_layers", {**NOT_COUNTS, **ZERO}
    ),
    "reference.Network skip_layers": Argument(
        lambda v: reference.Network(NETWORK, skip_layers=v), "skip_layers", NOT_COUNTS
    ),
    "reference.Network reset_interval": Argument(
        lambda v: reference.Network(NETWORK, reset_interval=v), "reset_interval", {**NOT_COUNTS, **ZERO}
    ),
    "reference.Network reset_offset": Argument(
        lambda v: reference.Network(NETWORK, reset_interval=3, reset_offset=v), "reset_offset", NOT_COUNTS
    ),
    "reference.Network time_base": Argument(
        lambda v: reference.Network(NETWORK, time_base=v), "time_base", NOT_NAMES
    ),
    "reference.Network profile": Argument(lambda v: reference.Network(NETWORK, profile=v), "profile", NOT_NAMES),
    "reference.Network spike_exp": Argument(
        lambda v: reference.Network(NETWORK, spike_exp=v), "spike_exp", {**NOT_COUNTS, "large": 13}
    ),
    "reference.run spikes": Argument(lambda v: reference.Network(NETWORK).run(v), "input", ARRAYS),
    "reference.run bias": Argument(
        lambda v: reference.Network(DRIVEN).run(bias=v, steps=3),
        "bias",
        {k: v for k, v in ARRAYS.items() if k != "one axis"},
    ),
    "reference.run steps": Argument(
        lambda v: reference.Network(DRIVEN).run(bias=np.zeros(6, int), steps=v), "steps", {**NOT_COUNTS, **ZERO}
    ),
    "reference.run steps beside spikes": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, steps=v), "steps", {**NOT_COUNTS, **ZERO, "others": 8}
    ),
    "reference.run record": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, record=v), "record",
        {"unknown": ["nothing"], "a text": "spikes", "number": 3, "numbers": [1]},
    ),
    "reference.run layers": Argument(
        lambda v: reference.Network(NETWORK).run(GOOD, layers=v), "layers",
        {"unknown": [1], "negative": [-1], "number": 3, "fractions": [0.5], "a text": "0"},
    ),
    "verify inputs": Argument(
        lambda v: verify.verify(NETWORK, v, slayer=False, lava=False), "input", {**ARRAYS, **SEVERAL, **EMPTY}
    ),
    "verify inputs of a window": Argument(
        lambda v: verify.verify(WINDOWS, v, slayer=False, lava=False), "input",
        {
            "no channels": np.zeros((4, 4, 9), int),
            "others": np.zeros((2, 4, 4, 9), int),
            "another size": np.zeros((1, 9, 9, 3), int),
        },
    ),
    "verify steps": Argument(
        lambda v: verify.verify(NETWORK, steps=v, slayer=False, lava=False), "steps",
        {**NOT_COUNTS, **ZERO, "huge": 10**30},
    ),
    "verify steps beside inputs": Argument(
        lambda v: verify.verify(NETWORK, GOOD, steps=v, slayer=False, lava=False), "steps",
        {**NOT_COUNTS, **ZERO, "more": 10},
    ),
    "verify seed": Argument(lambda v: verify.verify(NETWORK, seed=v, slayer=False, lava=False), "seed", NOT_COUNTS),
    "verify rate": Argument(lambda v: verify.verify(NETWORK, rate=v, slayer=False, lava=False), "rate", NOT_SHARES),
    "verify megabytes": Argument(
        lambda v: verify.verify(NETWORK, megabytes=v, slayer=False, lava=False), "megabytes", NOT_POSITIVE
    ),
    "verify reset_interval": Argument(
        lambda v: verify.verify(NETWORK, reset_interval=v, slayer=False, lava=False), "reset_interval",
        {**NOT_COUNTS, **ZERO},
    ),
    "verify reset_offset": Argument(
        lambda v: verify.verify(NETWORK, reset_interval=3, reset_offset=v, slayer=False, lava=False), "reset_offset",
        NOT_COUNTS,
    ),
    "verify timeout": Argument(lambda v: verify.verify(NETWORK, timeout=v, slayer=False), "timeout", NOT_POSITIVE),
    "audit inputs": Argument(lambda v: audit(NETWORK, v), "input", {**ARRAYS, **SEVERAL, **EMPTY}),
    "audit steps": Argument(lambda v: audit(NETWORK, steps=v), "steps", {**NOT_COUNTS, **ZERO, "huge": 10**30}),
    "audit seed": Argument(lambda v: audit(NETWORK, seed=v), "seed", NOT_COUNTS),
    "audit rate": Argument(lambda v: audit(NETWORK, rate=v), "rate", NOT_SHARES),
    "audit megabytes": Argument(lambda v: audit(NETWORK, megabytes=v), "megabytes", NOT_POSITIVE),
    "random_input steps": Argument(lambda v: verify.random_input(NETWORK, v), "steps", {**NOT_COUNTS, **ZERO}),
    "checking.check command": Argument(
        lambda v: checking.check(v, "CUBA"), "command",
        {"empty": "", "none": [], "number": 3, "numbers": [3], "open quote": "'"},
    ),
    "checking.check families": Argument(lambda v: checking.check("cat", v), "family", NOT_NAMES),
    "checking.check widths": Argument(lambda v: checking.check("cat", widths=v), "widths", NOT_NAMES),
    "checking.check timeout": Argument(lambda v: checking.check("cat", "CUBA", timeout=v), "timeout", NOT_POSITIVE),
    "vectors.cases families": Argument(lambda v: list(vectors.cases(v)), "family", NOT_NAMES),
    "vectors.cases widths": Argument(lambda v: list(vectors.cases(widths=v)), "widths", NOT_NAMES),
    "runtime.run inputs": Argument(
        lambda v: runtime.run(NETWORK, v, 9), "inputs", {k: v for k, v in ARRAYS.items() if k != "four axes"} | SEVERAL
    ),
    "runtime.run steps": Argument(lambda v: runtime.run(NETWORK, GOOD, v), "steps", {**NOT_COUNTS, **ZERO}),
    "runtime.run timeout": Argument(lambda v: runtime.run(NETWORK, GOOD, 9, timeout=v), "timeout", NOT_POSITIVE),
    "runtime.run record": Argument(
        lambda v: runtime.run(NETWORK, GOOD, 9, record=v), "record", {"unknown": ("nothing",), "numbers": (1,)}
    ),
    "netx reset_interval": Argument(
        lambda v: plan(NETWORK, Options(reset_interval=v)), "reset_interval", {**NOT_COUNTS, **ZERO}
    ),
    "netx reset_offset": Argument(
        lambda v: plan(NETWORK, Options(reset_interval=3, reset_offset=v)), "reset_offset", NOT_COUNTS
    ),
    "netx num_layers": Argument(lambda v: plan(NETWORK, Options(num_layers=v)), "num_layers", {**NOT_COUNTS, **ZERO}),
    "netx skip_layers": Argument(lambda v: plan(NETWORK, Options(skip_layers=v)), "skip_layers", NOT_COUNTS),
    "netx spike_exp": Argument(lambda v: plan(NETWORK, Options(spike_exp=v)), "spike_exp", NOT_COUNTS),
    "netx input_message_bits": Argument(
        lambda v: plan(NETWORK, Options(input_message_bits=v)), "input_message_bits", {**NOT_COUNTS, "large": 25}
    ),
    "netx time_base": Argument(lambda v: plan(NETWORK, Options(time_base=v)), "time_base", NOT_NAMES),
    "netx input_shape": Argument(
        lambda v: plan(WINDOWS, Options(input_shape=v)), "input",
        {"a number": 4, "two axes": (4, 4), "others": (4, 4, 2), "fractions": (4.5, 4, 1), "texts": ("4", "4", "1")},
    ),
}  # fmt: skip


def described(**changes: Any) -> Network:
    """A network with a layer that is otherwise than it has to be."""
    return Network((replace(NETWORK.layers[0], **changes),))


def built(value: Any, **options: Any) -> Any:
    """A network of Lava processes."""
    from lavadl_ref.netx import hdf5

    return hdf5.Network(NETWORK, **{name: value if given is ... else given for name, given in options.items()})


def ran(*arguments: Any, **options: Any) -> Any:
    """A run of Lava's models in this process."""
    from lavadl_ref.netx.run import inprocess

    return inprocess.run(*arguments, **options)


NOT_PATHS: dict[str, Any] = {
    "number": 3,
    "nothing": None,
    "empty": "",
    "with a zero byte": "a\0b.net",
    "list": ["x.net"],
}
PLACES: dict[str, Any] = {
    "number": 3,
    "one number": [3],
    "no such layer": [(1, 0)],
    "negative layer": [(-1, 0)],
    "no such step": [(0, 9)],
    "negative step": [(0, -1)],
    "fractions": [(0, 0.5)],
    "texts": [("0", "0")],
}
WEIGHTS: dict[str, Any] = {
    "list": [[1] * 6] * 4,
    "fractions": np.full((4, 6), 0.5),
    "whole floats": np.ones((4, 6)),
    "NaN": np.full((4, 6), np.nan),
    "texts": np.full((4, 6), "1"),
    "objects": np.full((4, 6), None),
    "one axis": np.zeros(6, int),
    "another extent": np.zeros((3, 6), int),
    "no inputs": np.zeros((4, 0), int),
    "large": np.full((4, 6), 512),
    "nothing": None,
}
NOT_VECTORS: dict[str, Any] = {
    "number": 3,
    "list": [1, 2, 3, 4],
    "fractions": np.full(4, 0.5),
    "few": np.zeros(3, int),
}
ARGUMENTS |= {
    "runtime.run net_config": Argument(lambda v: runtime.run(v, GOOD, 9), "", NOT_PATHS),
    "hdf5.Network reset_interval": Argument(
        lambda v: built(v, reset_interval=...), "reset_interval", {**NOT_COUNTS, **ZERO}
    ),
    "hdf5.Network num_layers": Argument(lambda v: built(v, num_layers=...), "num_layers", {**NOT_COUNTS, **ZERO}),
    "hdf5.Network time_base": Argument(lambda v: built(v, time_base=...), "time_base", {"unknown": "x", "number": 3}),
    "hdf5.Network input_shape": Argument(
        lambda v: built(v, input_shape=...), "input_shape", {"a number": 4, "text": ("4",)}
    ),
    "inprocess.run inputs": Argument(
        lambda v: ran(NETWORK, v, 9), "inputs", {k: v for k, v in ARRAYS.items() if k != "four axes"} | SEVERAL
    ),
    "inprocess.run steps": Argument(lambda v: ran(NETWORK, GOOD, v), "steps", {**NOT_COUNTS, **ZERO}),
    "inprocess.run timeout": Argument(lambda v: ran(NETWORK, GOOD, 9, timeout=v), "timeout", NOT_POSITIVE),
    "inprocess.run record": Argument(
        lambda v: ran(NETWORK, GOOD, 9, record=v), "record", {"unknown": ("nothing",), "numbers": (1,)}
    ),
    "inprocess.run states_at": Argument(lambda v: ran(NETWORK, GOOD, 9, states_at=v), "states_at", PLACES),
    "runtime.run states_at": Argument(lambda v: runtime.run(NETWORK, GOOD, 9, states_at=v), "states_at", PLACES),
    "reference.Network net_config": Argument(reference.Network, "", NOT_PATHS),
    "verify net_config": Argument(lambda v: verify.verify(v, lava=False), "", NOT_PATHS),
    "audit net_config": Argument(audit, "", NOT_PATHS),
    "exchange.check weight": Argument(lambda v: exchange.check(described(weight=v)), "weight", WEIGHTS),
    "exchange.write weight": Argument(lambda v: exchange.write("x.net", described(weight=v)), "weight", WEIGHTS),
    "exchange.write shape": Argument(
        lambda v: exchange.write("x.net", described(shape=v)), "shape",
        {"list": [4], "number": 4, "fraction": (4.0,), "zero": (0,), "negative": (-4,), "text": ("4",), "axes": (2, 2)},
    ),
    "exchange.write delay": Argument(
        lambda v: exchange.write("x.net", described(delay=v)), "delay",
        {**NOT_VECTORS, "negative": np.full(4, -1)},
    ),
    "exchange.write bias": Argument(
        lambda v: exchange.write("x.net", described(bias=v)), "bias",
        {**NOT_VECTORS, "large": np.full(4, 2**31)},
    ),
    "fuzz.run files": Argument(lambda v: fuzzed().run(v), "files", {**NOT_COUNTS, **ZERO}),
    "fuzz.run seed": Argument(lambda v: fuzzed().run(1, v), "seed", NOT_COUNTS),
    "fuzz.run workers": Argument(lambda v: fuzzed().run(1, workers=v), "workers", {**NOT_COUNTS, **ZERO}),
    "fuzz.run megabytes": Argument(lambda v: fuzzed().run(1, megabytes=v), "megabytes", NOT_POSITIVE),
    "fuzz.run timeout": Argument(lambda v: fuzzed().run(1, timeout=v), "timeout", NOT_POSITIVE),
}  # fmt: skip


def fuzzed() -> Any:
    """The module, which needs Hypothesis."""
    from lavadl_ref.testing import fuzz

    return fuzz


ROWS = [
    pytest.param(argument, value, id=f"{name}: {kind}")
    for name, argument in ARGUMENTS.items()
    for kind, value in argument.kinds.items()
]
NEED_LAVA = ("runtime.run", "inprocess.run", "hdf5.Network")


def assert_ours(error: BaseException, names: str) -> None:
    """One line of this project, which says `names`."""
    assert type(error) in TYPES, repr(error)
    message = str(error)
    assert len(message.splitlines()) == 1, message
    assert names in message, message
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert Path(last.filename).is_relative_to(OURS), f"{message!r} comes from {last.filename}:{last.lineno}"
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    assert line.startswith("raise "), f"{message!r} comes out of {line!r}"


@pytest.mark.parametrize(("argument", "value"), ROWS)
def test_bad_arguments_of_every_function_are_refused(argument, value, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not USABLE and any(name in request.node.name for name in NEED_LAVA):
        pytest.skip(WHY)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        argument.call(value)
    assert_ours(caught.value, argument.names)


# -- files --------------------------------------------------------------------------------------


def npy(text: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file with this header."""
    header = text.encode("latin1")
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + header + content


def saved(values: Any, **options: Any) -> bytes:
    """A .npy file of NumPy's."""
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def archive() -> bytes:
    """A .npz file."""
    stream = io.BytesIO()
    np.savez(stream, x=GOOD)
    return stream.getvalue()


#: Content of a file that is neither a network nor an input; None: there is none.
FILES: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "text": b"1 0 1 0",
    "archive": archive(),
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "other data": bytes(range(256)),
}
WHOLE = saved(GOOD)
TEXT = "{'descr': '<i8', 'fortran_order': False, 'shape': %s}"
INPUTS: dict[str, bytes] = {
    "terabytes": npy(TEXT % "(6, 1000000000000)", bytes(800)),
    "more than 64 bits": npy(TEXT % f"(6, {10**30})", bytes(800)),
    "a negative extent": npy(TEXT % "(-6, 9)", bytes(432)),
    "two negative extents": npy(TEXT % "(-6, -9)", bytes(432)),
    "an open header": npy(TEXT.replace("}", "") % "(6, 9)", bytes(432)),
    "a nested header": npy("(" * 3000, bytes(432)),
    "a header of other things": npy("[1, 2]", bytes(432)),
    "no type": npy(TEXT.replace("<i8", "<q9") % "(6, 9)", bytes(432)),
    "a header that claims gigabytes": b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{}",
    "a version to come": npy(TEXT % "(6, 9)", bytes(432), b"\x09\x00"),
    "cut off": WHOLE[:-1],
    "cut off in the header": WHOLE[:40],
    "more than one": WHOLE + WHOLE,
    "objects": saved(np.full((6, 9), None), allow_pickle=True),
    "records": saved(np.zeros((6, 9), "i4, f4")),
    "texts": saved(np.full((6, 9), "1")),
    "complex": saved(np.zeros((6, 9), complex)),
    "dates": saved(np.zeros((6, 9), "M8[s]")),
    "fractions": saved(np.full((6, 9), 0.5)),
    "NaN": saved(np.full((6, 9), np.nan)),
    "infinity": saved(np.full((6, 9), np.inf)),
}


def run(*arguments: Any) -> Any:
    """The command in this process."""
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, [str(a) for a in arguments])


def assert_one_line(result: Any, *words: str) -> None:
    """Status 2 and one line that says `words`, no number of the system's and no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "Errno" not in line
    assert "Traceback" not in line
    for word in words:
        assert word in line, line


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.net"
    exchange.write(path, NETWORK)
    return path


def made(folder: Path, name: str, content: bytes | None) -> Path:
    if content is not None:
        (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_no_network_are_refused(kind, tmp_path):
    path = made(tmp_path, "other.net", FILES[kind])
    for call in (exchange.read, reference.Network, audit, lambda p: verify.verify(p, lava=False), runtime_plan):
        with pytest.raises(ExchangeError) as caught:
            call(path)
        assert_ours(caught.value, "other.net")
    for command in ("inspect", "verify", "audit"):
        assert_one_line(run(command, path), "other.net")


def runtime_plan(path: Path) -> Any:
    """The plan that netx makes of a file."""
    return plan(load(path))


@pytest.mark.parametrize("kind", [*FILES, *INPUTS])
def test_files_that_are_no_input_are_refused(kind, file, tmp_path):
    """Whatever they claim, they take no more memory than they have bytes."""
    path = made(tmp_path, "other.npy", {**FILES, **INPUTS}[kind])
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, OSError)) as caught:
            read_input(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1
    if kind != "missing":
        assert_ours(caught.value, "other.npy")
    for command in ("verify", "audit"):
        assert_one_line(run(command, file, "--input", path), "other.npy")


def test_what_is_wanted_is_said(file, tmp_path):
    said = {
        kind: run("verify", file, "--input", made(tmp_path, kind, content)).stderr for kind, content in FILES.items()
    }
    assert said["missing"].endswith("missing: No such file or directory\n")
    assert "must be a .npy file of integers, got an empty file" in said["empty"]
    assert "got an archive (.npz); save the one array with numpy.save" in said["archive"]
    assert "git lfs pull" in said["Git LFS pointer"]
    content = INPUTS["terabytes"]
    told = run("verify", file, "--input", made(tmp_path, "large.npy", content)).stderr
    assert "its header claims 48,000,000,000,000 bytes of numbers, the file has 800" in told


@pytest.mark.parametrize(
    "values", [GOOD, GOOD.astype(np.float16), GOOD > 0, np.asfortranarray(GOOD), GOOD.astype(">i2")]
)
def test_every_array_of_numbers_is_an_input(values, tmp_path):
    np.save(tmp_path / "x.npy", values)
    found = read_input(tmp_path / "x.npy")
    assert found.dtype.kind in "bui"
    np.testing.assert_array_equal(found, values)


def test_folders_and_places_that_cannot_be_written_are_refused_in_one_line(file, tmp_path):
    for command in ("inspect", "verify", "audit"):
        assert_one_line(run(command, tmp_path), str(tmp_path), "directory")
    assert_one_line(run("verify", file, "--input", tmp_path), str(tmp_path), "directory")
    taken = made(tmp_path, "taken", b"")
    assert_one_line(run("vectors", taken / "x"), "taken", "Not a directory")
    with pytest.raises(OSError, match="Not a directory"):
        vectors.write(taken / "x", "CUBA", "slayer")
    with pytest.raises(OSError, match="taken"):
        exchange.write(taken / "x.net", NETWORK)


@pytest.mark.parametrize("url", ["https://example.org/x.net", "file:///x.net", "s3://bucket/x.net"])
def test_a_url_is_no_file(url, file):
    """It is named as it was given, both of its slashes included."""
    commands = (["inspect", url], ["verify", url], ["audit", url], ["verify", file, "--input", url])
    for arguments in (*commands, ["audit", file, "--input", url], ["vectors", url]):
        assert_one_line(run(*arguments), f"{url} must be a local file or folder, got a URL")


# -- options ------------------------------------------------------------------------------------

#: Options that would be given in vain, and what is said.
IN_VAIN = {
    "verify --reset-offset 3": "--reset-offset needs --reset-interval",
    "verify --reset-offset 0": "--reset-offset needs --reset-interval",
    "verify --no-lava --in-process": "in_process must be left out where Lava does not run",
    "verify --no-lava --timeout 5": "timeout must be left out where Lava does not run",
    "verify --no-lava --input X --seed 0": "seed must be left out where input is given",
    "verify --no-lava --input X --rate 0.2": "rate must be left out where input is given",
    "verify --no-lava --input X --steps 10": "steps must be at most 9, which the input has, got 10",
    "verify --no-lava --memory-mb 0": "megabytes must be positive, got 0",
    "verify --no-lava --memory-mb 0.001": "64 steps of input of shape (6,) would take about",
    "verify --no-lava --steps 99999999999999999999": "MB of memory, more than the 4,000 MB allowed",
    "audit --input X --seed 0": "seed must be left out where input is given",
    "audit --input X --rate 1": "rate must be left out where input is given",
    "audit --input X --steps 10": "steps must be at most 9, which the input has, got 10",
    "audit --memory-mb -1": "megabytes must be positive, got -1",
    "vectors": "vectors needs either a folder or --check CMD, got neither",
    "vectors OUT --check cat": "vectors needs either a folder or --check CMD, got both",
    "vectors OUT --timeout 3": "--timeout needs --check",
    "vectors OUT --widths wide": "widths must be some of slayer, loihi, got wide",
    "vectors --check cat --timeout -1": "timeout must be positive, got -1",
}


@pytest.mark.parametrize("line", IN_VAIN)
def test_nothing_is_given_in_vain(line, file, tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    places = {"X": tmp_path / "x.npy", "OUT": tmp_path / "out"}
    command, *words = line.split()
    arguments = [file] if command in ("verify", "audit") else []
    assert_one_line(run(command, *arguments, *(places.get(word, word) for word in words)), IN_VAIN[line])
    assert not (tmp_path / "out").exists()


# -- the outermost layer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "error: not enough memory"),
        (MemoryError("Unable to allocate 8 TiB"), "error: not enough memory: Unable to allocate 8 TiB"),
        (FileNotFoundError(2, "No such file or directory", "x.npy"), "error: x.npy: No such file or directory"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (OSError("x.net cannot be written"), "error: x.net cannot be written"),
        (PermissionError(13, "Permission denied", "a", None, "b"), "error: a: b: Permission denied"),
        (OverflowError("too large"), "error: too large"),
        (ValueError("two\nlines"), "error: two\\nlines"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "error: x is not installed: pip install x"),
    ],
)
def test_what_ends_a_command_is_one_line(error, line, file, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(reference.Network, "run", fail)
    result = run("verify", file, "--no-lava", "--steps", 5)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", line + "\n")


def test_the_command_tells_its_version():
    result = run("--version")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"lavadl-ref {lavadl_ref.__version__} (Python {platform.python_version()}, numpy ")
    assert "numba" in line
