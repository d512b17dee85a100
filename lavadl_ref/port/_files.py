"""The files that are written: header, network, a program that runs it on text, and a Makefile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from lavadl_ref.port._layers import LayerCode, Signal
from lavadl_ref.port.translate import comment_of, folded


@dataclass(frozen=True)
class Facts:
    """The facts of a whole network that its files state."""

    summary: str  #: its layers
    table: str  #: the room and the work
    input: str  #: what a step takes
    output: str  #: what it gives
    sums: tuple[int, int]  #: the most weighted sums that a layer has, and of their imaginary parts
    last_start: int  #: the step from which on no layer waits
    reset_interval: int | None
    driven: LayerCode | None  #: the input layer whose bias is set while the network runs


def header(name: str, codes: Sequence[LayerCode], source: Signal, output: Signal, buffered: bool, facts: Facts) -> str:
    """``NAME.h``: the state of a network, and what can be done with it."""
    capital = name.upper()
    structures = []
    for code in codes:
        arrays = "".join(f"    {m.type} {m.name}[{m.size}]; /* {m.comment} */\n" for m in code.members)
        structures.append(f"struct {name}_{code.name} {{\n{arrays}}};\n")
    members = [f"    struct {name}_{code.name} {code.name};\n" for code in codes]
    if buffered:
        members.insert(0, f"    int32_t input[{source.size}]; /* what arrived one step earlier */\n")
    for part, size in zip(("", "_imag"), facts.sums, strict=True):
        if size:
            members.append(f"    uint32_t sums{part}[{size}]; /* weighted sums of one layer, modulo 2^32 */\n")
    for member, there, comment in (
        ("step", facts.last_start > 0, "steps that were taken, as far as a layer waits for one"),
        ("phase", facts.reset_interval is not None, "(steps that were taken + 1) modulo the reset interval"),
    ):
        if there:
            members.append(f"    uint32_t {member}; /* {comment} */\n")
    if not members:
        members.append("    uint8_t nothing[1]; /* C has no structures without members */\n")
    about = comment_of(
        f"A network of spiking neurons as lavadl-ref runs it, integer by integer.\n\n{facts.summary}\n\n{facts.table}"
    )
    enclosed = "\n".join(structures)
    return f"""\
{about}#ifndef {capital}_H
#define {capital}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Integers that a step takes: {facts.input}. */
#define {capital}_INPUTS UINT32_C({source.size})

/* Integers that a step gives: {facts.output}. */
#define {capital}_OUTPUTS UINT32_C({output.size})

{enclosed}
/* The whole state of a network: each instance has its own, and shares nothing. */
struct {name} {{
{"".join(members)}}};

/* Begin: neurons at rest, nothing on its way, step 0. To be called before anything else. */
void {name}_init(struct {name} *net);

/* Take one step: {capital}_INPUTS integers from `in`, {capital}_OUTPUTS to `out`. */
void {name}_step(struct {name} *net, const int32_t *in, int32_t *out);

/* Set the neurons of all layers to rest. Messages that are on their way stay on it. */
void {name}_reset(struct {name} *net);
{_bias_declared(name, facts)}
#ifdef __cplusplus
}}
#endif

#endif
"""


_CLEAR = """\
static void clear(uint32_t *sums, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        sums[i] = 0;
    }
}
"""


def _bias_declared(name: str, facts: Facts) -> str:
    if facts.driven is None:
        return ""
    return f"""
/* Drive the input layer with a constant from now on: {facts.driven.layer.size} integers in 1/64. */
void {name}_bias(struct {name} *net, const int32_t *bias);
"""


def network(
    name: str, codes: Sequence[LayerCode], definitions: str, buffered: bool, output: Signal, facts: Facts
) -> str:
    """``NAME.c``: constants, neurons, layers, and the three functions."""
    parts = [
        f"/* See {name}.h. Integers alone; nothing is allocated. Sums wrap as unsigned numbers do. */\n",
        f'#include "{name}.h"\n\n#include <string.h>\n',
    ]
    if any(code.sums for code in codes):
        parts.append(_CLEAR)
    if definitions:
        parts.append(definitions)
    for code in codes:
        parts += [table.text() for table in code.tables]
        parts += code.functions
    parts.append(_functions(name, codes, buffered, output, facts))
    return "\n".join(
        folded(part) if not part.startswith("/* ") or "static const" not in part else part for part in parts
    )


def _functions(name: str, codes: Sequence[LayerCode], buffered: bool, output: Signal, facts: Facts) -> str:
    resting = [code for code in codes if code.rests]
    reset = [f"    rest_{code.name}(&net->{code.name});\n" for code in resting] or ["    (void)net;\n"]
    begin = ["    memset(net, 0, sizeof *net);\n", f"    {name}_reset(net);\n"]
    if facts.reset_interval is not None:
        begin.append(f"    net->phase = {1 % facts.reset_interval};\n")
    lines: list[str] = []
    for code in codes:
        if code.phase is not None:
            lines += [
                f"    if (net->phase == {code.phase}u) {{\n",
                f"        rest_{code.name}(&net->{code.name});\n",
                "    }\n",
            ]
    # a layer behind a synapse reads what was sent one step earlier: it goes before the layer that sends
    late = [code for code in reversed(codes) if code.late]
    order = [*late, *(code for code in codes if not code.late)]
    if late:
        lines.append("    /* last layers first: each takes what the layer before it sent one step earlier */\n")
    reads_input = buffered
    # without neurons a layer hands on its sums, and its bias alone waits
    for start, group in groupby(order, lambda code: code.start if code.rests else 0):
        pad = "        " if start else "    "
        lines += [f"    if (net->step >= {start}u) {{\n"] if start else []
        for code in group:
            outside = ", in" if "const int32_t *in" in code.functions[-1] else ""
            reads_input = reads_input or bool(outside)
            lines.append(f"{pad}step_{code.name}(net{outside});\n")
        lines += ["    }\n"] if start else []
    if buffered:
        lines.append("    memcpy(net->input, in, sizeof net->input);\n")
    lines += [
        f"    for (uint32_t i = 0; i < {output.size}u; i++) {{\n",
        f"        out[i] = {output.array}[i];\n",
        "    }\n",
    ]
    reads_input = reads_input or output.array == "in"
    if facts.last_start > 0:
        lines += [f"    if (net->step < {facts.last_start}u) {{\n", "        net->step++;\n", "    }\n"]
    if facts.reset_interval is not None:
        lines.append(f"    net->phase = net->phase + 1u < {facts.reset_interval}u ? net->phase + 1u : 0u;\n")
    unused = "" if reads_input else "    (void)in;\n"
    unused += "" if any("net" in line for line in lines) else "    (void)net;\n"
    bias = ""
    if facts.driven is not None:
        bias = f"""
void {name}_bias(struct {name} *net, const int32_t *bias)
{{
    memcpy(net->{facts.driven.name}.bias, bias, sizeof net->{facts.driven.name}.bias);
}}
"""
    return f"""\
void {name}_reset(struct {name} *net)
{{
{"".join(reset)}}}

void {name}_init(struct {name} *net)
{{
{"".join(begin)}}}

void {name}_step(struct {name} *net, const int32_t *in, int32_t *out)
{{
{unused}{"".join(lines)}}}
{bias}"""


def program(name: str, codes: Sequence[LayerCode], facts: Facts) -> str:
    """``main.c``: the network on standard input and output."""
    capital = name.upper()
    shown = []
    for code in codes:
        for member in code.members:
            if member.name in ("sent", *code.states):
                shown.append((f"{code.name}.{member.name}", member))
    writers = "".join(
        f"""\
static void show_{kind}(const char *label, const {kind} *values, uint32_t count)
{{
    if (strncmp(label, wanted, strlen(wanted)) != 0) {{
        return;
    }}
    printf("%s", label);
    for (uint32_t i = 0; i < count; i++) {{
        printf(" %ld", (long)values[i]);
    }}
    printf("\\n");
}}

"""
        for kind in sorted({member.type for _, member in shown})
    )
    traced = "".join(f'    show_{member.type}("{label}", net.{label}, {member.size});\n' for label, member in shown)
    bias, biased, word = "", "", ""
    if facts.driven is not None:
        word = "\n * The word `bias` and an integer for each neuron of the input layer drive it from then on."
        bias = f"static int32_t bias[{facts.driven.layer.size}];\n"
        biased = f"""\
        }} else if (count == 0 && strcmp(word, "bias") == 0) {{
            for (uint32_t i = 0; i < {facts.driven.layer.size}; i++) {{
                if (scanf("%31s", word) != 1 || !parsed(word, &bias[i])) {{
                    fprintf(stderr, "a bias must have {facts.driven.layer.size} integers of 32 bits\\n");
                    return 2;
                }}
            }}
            {name}_bias(&net, bias);
"""
    return f"""\
/* Runs the network on text. Standard input has {capital}_INPUTS integers for each step, standard output a
 * line of {capital}_OUTPUTS integers. The word `reset` sets the neurons to rest, `init` begins again.
 * With the argument `trace`, a line for each state and for what each layer sends follows each step;
 * `trace NAME` has those whose names begin so.{word} */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "{name}.h"

static struct {name} net;
static int32_t in[{capital}_INPUTS];
static int32_t out[{capital}_OUTPUTS];
static const char *wanted = ""; /* with what the names of traced arrays begin */
{bias}
{writers}static void trace(void)
{{
{traced}}}

/* One integer of 32 bits; 0 if the word is none. */
static int parsed(const char *word, int32_t *value)
{{
    char *end;
    errno = 0;
    const long number = strtol(word, &end, 10);
    if (end == word || *end != '\\0' || errno != 0 || number < INT32_MIN || number > INT32_MAX) {{
        return 0;
    }}
    *value = (int32_t)number;
    return 1;
}}

int main(int argc, char **argv)
{{
    const int traces = argc > 1 && strcmp(argv[1], "trace") == 0;
    char word[32];
    uint32_t count = 0;
    if (argc > 3 || (argc > 1 && !traces)) {{
        fprintf(stderr, "usage: %s [trace [NAME]] < steps\\n", argv[0]);
        return 2;
    }}
    if (argc == 3) {{
        wanted = argv[2];
    }}
    {name}_init(&net);
    while (scanf("%31s", word) == 1) {{
        if (count == 0 && strcmp(word, "reset") == 0) {{
            {name}_reset(&net);
        }} else if (count == 0 && strcmp(word, "init") == 0) {{
            {name}_init(&net);
{biased}        }} else if (!parsed(word, &in[count])) {{
            fprintf(stderr, "input must be integers of 32 bits, got %s\\n", word);
            return 2;
        }} else if (++count == {capital}_INPUTS) {{
            count = 0;
            {name}_step(&net, in, out);
            for (uint32_t i = 0; i < {capital}_OUTPUTS; i++) {{
                printf(i == 0 ? "%ld" : " %ld", (long)out[i]);
            }}
            printf("\\n");
            if (traces) {{
                trace();
            }}
        }}
    }}
    if (count != 0) {{
        fprintf(stderr, "a step must have %ld integers, got %ld\\n", (long){capital}_INPUTS, (long)count);
        return 2;
    }}
    return 0;
}}
"""


def makefile(name: str) -> str:
    """The Makefile of the program."""
    return f"""\
CFLAGS ?= -O2
WARNINGS = -std=c99 -Wall -Wextra -Wpedantic

{name}: main.c {name}.c {name}.h
\t$(CC) $(CFLAGS) $(WARNINGS) -o $@ main.c {name}.c

clean:
\trm -f {name}

.PHONY: clean
"""
