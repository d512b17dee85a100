"""The files that a network becomes: what is in them, how they are used, the room they take, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from lavadl_kernels import neurons as kernels

from lavadl_ref import exchange, port, reference
from lavadl_ref.exchange import (
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Network,
    Neuron,
    Pool,
    Recurrent,
    TimeDecimation,
    Unpool,
)
from tests.support import PATIENCE, c_programs, generate
from tests.support.generate import ALL_FAMILIES

COMPILED = pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})

SUMS = {"threshold": 1}


def random(*shape, low=-60, high=70, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape)


def spikes(*shape, rate=0.4, seed=0):
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.int64)


def small(**more):
    return Network(
        (
            Dense(shape=(5,), weight=random(5, 6), neuron=CUBA, delay=np.array([0, 3, 1, 2, 0])),
            Dense(shape=(4,), weight=random(4, 5), neuron=CUBA, **more),
        )
    )


# -- files --------------------------------------------------------------------------------------


def test_four_files_are_written_and_others_stay(tmp_path):
    (tmp_path / "mine.c").write_text("of the user")
    port.export(small(), tmp_path, name="digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "digits.c", "digits.h", "main.c", "mine.c"]
    assert (tmp_path / "mine.c").read_text() == "of the user"


def test_a_network_is_written_from_its_file_as_from_its_description(tmp_path):
    exchange.write(tmp_path / "small.net", small())
    assert port.sources(tmp_path / "small.net") == port.sources(small())


def test_two_exports_of_a_network_are_equal():
    case = generate.case(4, families=ALL_FAMILIES)
    assert port.sources(case.network, **case.options) == port.sources(case.network, **case.options)


def network_code(seed):
    case = generate.case(seed, families=ALL_FAMILIES)
    shape = c_programs.open_shape(case.network, case.inputs)
    return port.sources(case.network, input_shape=shape, **case.options)[1]["network.c"]


@pytest.mark.parametrize("seed", range(8))
def test_the_network_needs_integers_and_two_headers_alone(seed):
    text = re.sub(r"/\*.*?\*/", "", network_code(seed), flags=re.DOTALL)
    assert set(re.findall(r"#include (\S+)", text)) == {'"network.h"', "<string.h>"}
    words = set(re.findall(r"[A-Za-z_]\w*", text))
    assert words.isdisjoint(
        {"float", "double", "malloc", "calloc", "free", "goto", "define", "ifdef", "printf", "int8"}
    )
    assert {word for word in words if word.startswith("mem")} <= {"memset", "memcpy"}


@pytest.mark.parametrize("seed", range(8))
def test_no_state_stands_outside_of_the_structure(seed):
    for line in network_code(seed).splitlines():
        if line.startswith("static ") and "(" not in line:
            assert line.startswith("static const "), line


# -- use ----------------------------------------------------------------------------------------


@COMPILED
def test_the_makefile_makes_the_program(tmp_path):
    port.export(small(), tmp_path, name="digits")
    command = ["make", f"CC={c_programs.COMPILERS[0]}", "CFLAGS=-O1 -Werror"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError:
        pytest.skip("make is not installed")
    assert done.returncode == 0, done.stderr
    x = spikes(6, 20)
    lines = c_programs.said(tmp_path / "digits", c_programs.steps(x)).splitlines()
    assert lines == c_programs.steps(reference.Network(small()).run(x).output).splitlines()


@COMPILED
def test_a_network_begins_again_at_init(tmp_path):
    port.export(small(), tmp_path)
    program, text = c_programs.compiled(tmp_path), c_programs.steps(spikes(6, 30))
    once = c_programs.said(program, text)
    assert "1" in once
    assert c_programs.said(program, f"{text}init\n{text}") == once * 2
    assert c_programs.said(program, text * 2) != once * 2


@COMPILED
def test_a_reset_sets_neurons_to_rest_and_leaves_messages_on_their_way(tmp_path):
    """The reset of one layer at a step is that of the reference with as long an interval."""
    layer = Dense(shape=(5,), weight=random(5, 6), neuron=CUBA, delay=np.array([0, 3, 1, 2, 0]))
    network, x = Network((layer,)), spikes(6, 40)
    port.export(network, tmp_path)
    frames = c_programs.steps(x).splitlines(keepends=True)
    frames.insert(17, "reset\n")
    given = c_programs.said(c_programs.compiled(tmp_path), "".join(frames))
    run = reference.Network(network, reset_interval=40, reset_offset=17).run(x)
    assert given == c_programs.steps(run.output)
    assert given != c_programs.steps(reference.Network(network).run(x).output)


TWO = """
#include <stdio.h>
#include "one.h"
#include "other.h"

int main(void)
{
    static struct one a, b;
    static struct other c;
    int32_t in[ONE_INPUTS], given[ONE_OUTPUTS];
    one_init(&a);
    one_init(&b);
    other_init(&c);
    for (int t = 0; t < 20; t++) {
        for (uint32_t i = 0; i < ONE_INPUTS; i++) {
            in[i] = (int32_t)((t * 5 + (int)i * 3) % 4 == 0);
        }
        one_step(&a, in, given);
        for (uint32_t i = 0; i < ONE_OUTPUTS; i++) {
            printf("%d ", (int)given[i]);
        }
        other_step(&c, in, given);
        for (uint32_t i = 0; i < ONE_INPUTS; i++) {
            in[i] = 1 - in[i];
        }
        one_step(&b, in, given);
        for (uint32_t i = 0; i < ONE_OUTPUTS; i++) {
            printf("%d ", (int)given[i]);
        }
        printf("\\n");
    }
    return 0;
}
"""


@COMPILED
def test_instances_and_networks_share_nothing(tmp_path):
    """Two instances of one network and another network take their steps in turn."""
    for name, network in (("one", small()), ("other", small(bias=random(4)))):
        port.export(network, tmp_path, name=name)
    (tmp_path / "main.c").write_text(TWO)
    lines = c_programs.said(c_programs.compiled(tmp_path, ("one", "other")), "").splitlines()
    x = np.array([[int((t * 5 + i * 3) % 4 == 0) for t in range(20)] for i in range(6)])
    run = reference.Network(small())
    wanted = np.concatenate([run.run(x).output, run.run(1 - x).output])
    assert wanted.any()
    assert [list(map(int, line.split())) for line in lines] == wanted.T.tolist()


@COMPILED
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_program_in_another_language_can_call_the_network(tmp_path):
    """The functions keep their names in C++, which a sketch of Arduino is written in."""
    port.export(small(), tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include <cstdio>\n#include "network.h"\nstatic network net;\n'
        'int main() { network_init(&net); std::printf("%d", (int)NETWORK_INPUTS); }\n'
    )
    compiler = c_programs.COMPILERS[0]
    subprocess.run([compiler, "-std=c99", "-c", "network.c"], cwd=tmp_path, check=True, timeout=PATIENCE)
    command = ["g++", "-Wall", "-Wextra", "-Werror", "main.cpp", "network.o", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE)
    assert c_programs.said(tmp_path / "program", "") == "6"


def test_the_units_of_states_are_told():
    sums = {"activation": "relu", "threshold": 6, "weight_exp": 3}
    layer = Dense(shape=(4,), weight=random(4, 6), neuron=Neuron("SDNN", sums))
    header = port.sources(Network((layer,)), spike_exp=5)[1]["network.h"]
    assert "int32_t sigma[4]; /* after a step, in 1/2^17 */" in header
    assert "int32_t residue[4]; /* after a step, in 1/2^20 */" in header
    assert "int32_t voltage[5]; /* after a step, in 1/4096 */" in port.sources(small())[1]["network.h"]


@COMPILED
@pytest.mark.parametrize(
    "neuron",
    [CUBA, Neuron("ALIF", {**CUBA.parameters, "threshold_decay": 9, "refractory_decay": 900, "threshold_step": 4})],
    ids=["at the voltage", "at the input"],
)
def test_a_bias_drives_the_input_layer_in_c(tmp_path, neuron):
    network = Network((Input(shape=(6,), neuron=neuron), Dense(shape=(5,), weight=random(5, 6), neuron=CUBA)))
    bias, steps = random(6, low=-20, high=90), 30
    port.export(network, tmp_path, input_bias=True, reset_interval=9)
    given = f"bias {' '.join(map(str, bias))}\n" + c_programs.steps(np.zeros((6, steps), int))
    run = reference.Network(network, reset_interval=9).run(bias=bias, steps=steps)
    assert run.output.any()
    assert c_programs.said(c_programs.compiled(tmp_path), given) == c_programs.steps(run.output)


@COMPILED
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 0 1 0 1 x\n", "input must be integers of 32 bits, got x"),
        ("1 0 1 0 1 2147483648\n", "input must be integers of 32 bits, got 2147483648"),
        ("1 0 1 0 1\n", "a step must have 6 integers, got 5"),
        ("1 reset", "input must be integers of 32 bits, got reset"),
    ],
)
def test_the_program_refuses_what_is_no_input(tmp_path, text, said):
    port.export(small(), tmp_path)
    program = c_programs.compiled(tmp_path)
    done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr.strip()) == (2, said)


# -- room and work ------------------------------------------------------------------------------

SIZE = (
    '#include <stdio.h>\n#include "network.h"\nint main(void) { printf("%lu", (unsigned long)sizeof(struct network)); }'
)


@COMPILED
@pytest.mark.parametrize("seed", range(6))
def test_the_table_tells_the_ram_and_the_flash_that_a_compiler_gives(tmp_path, seed):
    case = generate.case(seed, families=ALL_FAMILIES)
    sizes = c_programs.exported(tmp_path, case.network, case.inputs, **case.options)
    (tmp_path / "main.c").write_text(SIZE)
    assert int(c_programs.said(c_programs.compiled(tmp_path), "")) == sizes.ram
    subprocess.run([c_programs.COMPILERS[0], "-std=c99", "-O0", "-c", "network.c"], cwd=tmp_path, check=True)
    try:
        done = subprocess.run(["nm", "-S", "network.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("nm is not installed")
    fields = [line.split() for line in done.stdout.splitlines()]
    assert sum(int(field[1], 16) for field in fields if len(field) == 4 and field[2] in "rR") == sizes.flash


def ones(*shape):
    return np.ones(shape, np.int64)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(shape=(3,), weight=ones(3, 4)), (4,)),
        (Conv(shape=(4, 3, 3), weight=ones(4, 1, 3, 2), stride=(2, 3), padding=(1, 2), groups=2), (2, 5, 6)),
        (Conv(shape=(2, 4, 4), weight=ones(2, 2, 3, 3), dilation=(2, 2), padding=(2, 2)), (2, 4, 4)),
        (ConvTranspose(shape=(4, 7, 6), weight=ones(2, 2, 3, 2), stride=(2, 2), groups=2), (2, 3, 3)),
        (Pool(shape=(2, 3, 3), weight=ones(1, 1, 2, 2), stride=(2, 2)), (2, 5, 5)),
        (Unpool(shape=(2, 6, 6), weight=ones(1, 1, 2, 2), stride=(2, 2)), (2, 3, 3)),
        (Average(shape=(2,)), (6,)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_products_are_those_of_a_step_in_which_all_send(layer, shape):
    """With weights and messages of 1, each product adds 1 to one sum."""
    network = Network((layer,), stated_input_shape=shape)
    run = reference.Network(network).run(ones(*shape, 2))
    assert port.sizes(network).operations == run.output[..., 1].sum()


def test_weights_that_are_0_make_no_products_where_they_are_left_out():
    weight = np.zeros((300, 40), np.int64)
    weight[7, 3] = weight[8, 3] = 400
    layer = Dense(shape=(300,), weight=weight)
    sizes = port.sizes(Network((layer,)))
    assert (sizes.operations, sizes.layers[0].weights) == (2, "uint16 sparse")
    assert sizes.flash == 2 * 2 + 2 + 41  # weights, their outputs, and where each of 40 inputs begins
    assert port.sizes(Network((replace(layer, weight=weight + 1),))).operations == 300 * 40


def test_the_table_has_a_row_for_each_layer_and_their_sums():
    sizes = port.sizes(small())
    assert [row[0] for row in sizes.rows] == ["layer_0_dense", "layer_1_dense", "input and sums", "all"]
    assert [layer.flash for layer in sizes.layers] == [30 + 5, 20]
    assert (sizes.neurons, sizes.operations) == (9, 30 + 20)
    assert str(sizes).splitlines()[0].split() == ["layer", "weights", "flash", "RAM", "products", "neurons"]


def test_the_header_has_the_table():
    sizes, files = port.sources(small())
    assert "\n".join(f" * {line}" for line in str(sizes).splitlines()) in files["network.h"]


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "1a", "a-b", "int", "main", "clean", "a" * 32, "ü", "a b", "../x"])
def test_a_name_that_c_cannot_have_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name must be an identifier of C"):
        port.export(small(), tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        (small(), {"name": 3}, "name must be a str, got 3"),
        (small(), {"reset_interval": 0}, "reset_interval must be at least 1, got 0"),
        (small(), {"reset_interval": 2**32}, "reset_interval must be below 4294967296 in C, got 4294967296"),
        (small(), {"time_base": "x"}, "time_base must be one of"),
        (small(), {"spike_exp": 13}, r"spike_exp must be in 0\.\.12, got 13"),
        (small(), {"input_bias": True}, "input_bias must be false unless an input layer of spiking"),
        (small(), {"input_bias": 1}, "input_bias must be a bool, got 1"),
        (small(), {"input_shape": (7,)}, r"stated_input_shape: must be \(6,\)"),
        (small(), {"input_shape": (0,)}, "input_shape must be at least 1, got 0"),
        (Network((Average(shape=(2,)),)), {}, "input_shape must be given"),
        (Network((TimeDecimation(shape=(2,), factor=2),)), {}, "averages over bins of time"),
        (
            Network((Conv(shape=(1, 2, 2), weight=ones(1, 1, 2, 2), stride=(2, 2), neuron=CUBA),)),
            {},
            r"input_shape must be given, because a first layer of kind 'conv' does not determine it, got None",
        ),
        (
            Network((Dense(shape=(2,), weight=ones(2, 2), neuron=Neuron("SDNN", {**SUMS, "activation": "tanh"})),)),
            {},
            "has the activation 'tanh'",
        ),
        (Network((Input(shape=(2**26,), neuron=CUBA),)), {}, "must take at most 67,108,864 bytes of state in C, got"),
        (
            Network((Dense(shape=(2000,), weight=ones(2000, 2), neuron=CUBA, delay=np.full(2000, 2**15)),)),
            {"reset_interval": None},
            None,
        ),
        (
            Network((Dense(shape=(2100,), weight=ones(2100, 2), neuron=CUBA, delay=np.full(2100, 2**15)),)),
            {},
            "must take at most 67,108,864 bytes of state in C, got at least 68,",
        ),
    ],
)  # fmt: skip
def test_what_c_cannot_hold_is_refused_with_its_reason(network, options, said):
    if said is None:
        port.sources(network, **options)
        return
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=said) as error:
        port.sources(network, **options)
    assert "\n" not in str(error.value)


def test_the_shape_of_an_open_input_is_taken_from_the_caller():
    layer = Conv(shape=(1, 2, 2), weight=ones(1, 1, 2, 2), stride=(2, 2), neuron=CUBA)
    files = port.sources(Network((layer,)), input_shape=(1, 5, 4))[1]
    assert "#define NETWORK_INPUTS UINT32_C(20)\n" in files["network.h"]


def strange(u, v, a, bias, current_decay, voltage_decay, threshold, exponent, loihi):
    """A step that divides."""
    return u // 3, v, v > threshold, v


def test_a_family_whose_step_c_cannot_have_is_named(monkeypatch):
    record = replace(kernels.FAMILIES["CUBA"], step=strange)
    monkeypatch.setitem(kernels.FAMILIES, "CUBA", record)
    with pytest.raises(port.Untranslatable, match=r"^family 'CUBA' has no C: strange cannot become C: this operator"):
        port.sources(small())


@COMPILED
def test_states_may_have_the_names_of_other_arrays(monkeypatch, tmp_path):
    record = replace(kernels.FAMILIES["CUBA"], states=("sent", "int"), carried="int", resets=("int",), bias_at="int")
    monkeypatch.setitem(kernels.FAMILIES, "CUBA", record)
    monkeypatch.setattr("lavadl_ref.deployed.families.check_family", lambda row, record: None)
    port.export(small(), tmp_path)
    given = c_programs.said(c_programs.compiled(tmp_path), c_programs.steps(spikes(6, 9)), "trace", "layer_0_dense.")
    names = {line.split()[0] for line in given.splitlines() if line.startswith("layer")}
    assert names == {f"layer_0_dense.{name}" for name in ("sent_", "int_", "sent")}


def test_a_description_that_is_not_legal_is_refused():
    layers = small().layers[0], Dense(shape=(4,), weight=random(4, 6), neuron=CUBA)
    with pytest.raises(exchange.ExchangeError, match=r"^layer 1: weight: must have shape \(4, 5\), got \(4, 6\)"):
        port.sources(Network(layers))


def test_networks_that_feed_back_and_flatten_are_named_by_position():
    network = Network(
        (
            Conv(shape=(2, 2, 2), weight=ones(2, 1, 2, 2), neuron=CUBA),
            Flatten(shape=(8,)),
            Recurrent(shape=(3,), weight=ones(3, 8), weight_rec=ones(3, 3), neuron=CUBA),
        )
    )
    assert [layer.name for layer in port.sizes(network).layers] == ["layer_0_conv", "layer_2_dense_rec"]
