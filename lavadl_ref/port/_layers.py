"""Layers as C: for each its state, its constants, and the functions that move it by one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import STATE_BITS, WEIGHT_ONE, scale_by_power_of_two, wrap, wrap32
from lavadl_kernels.neurons import Family
from numpy.typing import NDArray

from lavadl_ref.deployed import deployment
from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Input, Kernel, Layer, Pool, Recurrent, Unpool
from lavadl_ref.port._constants import BYTES, Parameter, Rows, Table, literal64, smallest_type
from lavadl_ref.port.translate import Expression, Known, Translated, Translator, Untranslatable, identifier, literal

Integers = NDArray[np.int64]
_PARTS = ("", "_imag")  # of what has a real and an imaginary part


@dataclass(frozen=True)
class Signal:
    """Messages that a layer receives: an array of C, and its shape."""

    array: str  #: an expression
    type: str  #: of an element
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of messages."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Member:
    """An array in the state of a layer."""

    type: str
    name: str
    size: int
    comment: str

    @property
    def bytes(self) -> int:
        """The RAM that it takes."""
        return BYTES[self.type] * self.size


@dataclass
class LayerCode:
    """A layer as C."""

    position: int  #: in the file
    layer: Layer
    name: str
    members: list[Member] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    late: bool = False  #: whether it hands on what it received one step earlier
    start: int = 0  #: it rests before this step
    phase: int | None = None  #: the step before which it goes to rest, as (step + 1) modulo the interval
    rests: bool = False  #: whether it has states that a reset sets back
    sums: int = 0  #: weighted sums of each part that it needs room for
    parts: int = 1
    operations: int = 0  #: products that it adds up in a step in which each input sends a message
    states: tuple[str, ...] = ()
    signal: Signal = field(default_factory=lambda: Signal("", "", ()))  #: what leaves it


class Writer:
    """Writes the layers of one network.

    Parameters
    ----------
    network : str
        The name of the network, which its structures begin with.
    spike_exp : int
        Scale of sigma-delta messages.
    input_bias : bool
        Whether an input layer has a bias that is set while it runs.
    """

    def __init__(self, network: str, spike_exp: int, input_bias: bool = False) -> None:
        self.network, self.spike_exp, self.input_bias = network, spike_exp, input_bias
        self.translator = Translator()

    def helper(self, function: Any, *arguments: str | int) -> str:
        """A call of a function of the kernels' arithmetic."""
        values = [Expression(a) if isinstance(a, str) else Known(a) for a in arguments]
        given = ", ".join(literal(a).text if isinstance(a, int) else a for a in arguments)
        if function is wrap32:
            return self.translator.primitive("wrap32", *(v for v in values if isinstance(v, Expression))).text
        return f"{self.translator.function(function, values).name}({given})"

    def folded(self, value: str, bits: int) -> str:
        """A sum in the width of its synapse."""
        return self.helper(wrap32, value) if bits == 32 else self.helper(wrap, f"(int64_t){value}", bits)

    def layer(
        self, position: int, layer: Layer, source: Signal, incoming: int, start: int, phase: int | None
    ) -> LayerCode:
        """The code of a layer that receives `source`, messages of `incoming` fractional bits."""
        code = LayerCode(position, layer, f"layer_{position}_{layer.kind}", start=start, phase=phase)
        body: list[str] = []
        synapse = isinstance(layer, (Dense, Kernel))
        if synapse:
            code.late, code.sums = True, layer.size
            body += self._synapses(code, layer, source, incoming)
        if isinstance(layer, Average):
            body += self._average(code, source)
        elif layer.neuron is None:
            body += self._bare(code, layer, incoming)
        else:
            body += self._neurons(code, layer, source, incoming)
        sent = next(member for member in code.members if member.name == "sent")
        code.signal = Signal(f"net->{code.name}.sent", sent.type, layer.shape)
        if layer.neuron is not None and layer.delay is not None and np.any(layer.delay):
            body += self._delay(code, layer, sent)
        # what arrives from outside is looked at in the step in which it arrives
        outside = "" if source.array.startswith("net->") else ", const int32_t *in"
        own = f"    struct {self.network}_{code.name} *layer = &net->{code.name};\n"
        title = self._title(layer, source, code)
        code.functions.append(
            f"{title}static void step_{code.name}(struct {self.network} *net{outside})\n{{\n{own}{''.join(body)}}}\n"
        )
        return code

    def _title(self, layer: Layer, source: Signal, code: LayerCode) -> str:
        neurons = "" if layer.neuron is None else f", {layer.neuron.type} neurons"
        text = f"Layer {code.position}: {layer.kind}, {_shape(source.shape)} to {_shape(layer.shape)}{neurons}"
        return f"/* {text}. */\n"

    # -- synapses -----------------------------------------------------------------------------------

    def _synapses(self, code: LayerCode, layer: Any, source: Signal, incoming: int) -> list[str]:
        """The lines that add up the weighted sums of a step."""
        weights = [weight for weight in (layer.weight, layer.weight_imag) if weight is not None]
        code.parts = len(weights)
        lines = ["    uint32_t source = 0;\n"] if isinstance(layer, Kernel) else []
        up = 0
        rows: list[Rows] = []
        for weight, part in zip(weights, _PARTS, strict=False):
            lines.append(f"    clear(net->sums{part}, {layer.size}u);\n")
            rows.append(self._rows(code, f"{code.name}{part}", *_as_rows(layer, weight)))
        if isinstance(layer, Recurrent):
            fed_back = deployment.message_bits(layer, incoming, self.spike_exp)
            up = max(fed_back - incoming, 0)
        if isinstance(layer, Kernel):
            lines += self._window(layer, source, rows)
            code.operations += sum(_window_operations(layer, source, part) for part in rows)
        else:
            lines += self._dense(rows, source.array, source.size, up)
            code.operations += sum(int(part.counts.sum()) for part in rows)
        if isinstance(layer, Recurrent):
            feedback = [weight for weight in (layer.weight_rec, layer.weight_rec_imag) if weight is not None]
            rows = [
                self._rows(code, f"{code.name}_feedback{part}", np.asarray(weight, np.int64).T, "is of one neuron")
                for weight, part in zip(feedback, _PARTS, strict=False)
            ]
            lines.append("    /* what the layer itself sent one step earlier */\n")
            lines += self._dense(rows, "layer->sent", layer.size, max(incoming - fed_back, 0))
            code.operations += sum(int(part.counts.sum()) for part in rows)
        return lines

    def _rows(self, code: LayerCode, name: str, matrix: Integers, comment: str) -> Rows:
        rows = Rows(name, matrix, comment)
        code.tables += rows.tables
        code.functions.append(rows.text())
        return rows

    @staticmethod
    def _message(array: str, index: str, up: int) -> str:
        """A message on the scale of the sums."""
        return f"(uint32_t){array}[{index}]" + (f" << {up}" if up else "")

    def _dense(self, rows: Sequence[Rows], array: str, size: int, up: int) -> list[str]:
        lines = [
            f"    for (uint32_t source = 0; source < {size}u; source++) {{\n",
            f"        const uint32_t message = {self._message(array, 'source', up)};\n",
            "        if (message != 0) {\n",
        ]
        for part, suffix in zip(rows, _PARTS, strict=False):
            lines.append(f"            {part.function}(net->sums{suffix}, source, message);\n")
        return [*lines, "        }\n", "    }\n"]

    def _window(self, layer: Kernel, source: Signal, rows: Sequence[Rows]) -> list[str]:
        """The loops that bring each message to the windows that it is in."""
        channels, height, width = source.shape
        _, below, beside = layer.shape
        groups = channels if isinstance(layer, (Pool, Unpool)) else layer.groups
        per_group, span = channels // groups, layer.shape[0] // groups
        kernel_h, kernel_w = layer.kernel_size
        transposed = isinstance(layer, (ConvTranspose, Unpool))
        shared = isinstance(layer, (Pool, Unpool))
        group = "channel" if per_group == 1 else f"(channel / {per_group}u)"
        # sums of a pixel are beside each other: a row is added to them in one go
        base = f" + {group} * {span}u" if groups > 1 else ""
        row = "" if shared else f"channel * {kernel_h * kernel_w}u + "
        lines = [
            f"    for (uint32_t channel = 0; channel < {channels}u; channel++) {{\n",
            f"        for (int32_t h = 0; h < {height}; h++) {{\n",
            f"            for (int32_t w = 0; w < {width}; w++) {{\n",
            f"                const uint32_t message = {self._message(source.array, 'source', 0)};\n",
            "                source++;\n",
            "                if (message == 0) {\n",
            "                    continue;\n",
            "                }\n",
        ]
        pad = " " * 16
        for axis, place, name, taps, extent, n in (
            ("h", "y", "ky", kernel_h, below, 0),
            ("w", "x", "kx", kernel_w, beside, 1),
        ):
            stride, padding, dilation = layer.stride[n], layer.padding[n], layer.dilation[n]
            tap = name if dilation == 1 else f"{dilation} * {name}"
            # without dilation every so manieth tap meets an output, and those between are not looked at
            skips = not transposed and dilation == 1 and stride > 1
            begin, move = (f"({axis} + {padding}) % {stride}", f"{name} += {stride}") if skips else ("0", f"{name}++")
            lines.append(f"{pad}for (int32_t {name} = {begin}; {name} < {taps}; {move}) {{\n")
            pad += "    "
            if transposed:
                lines.append(f"{pad}const int32_t {place} = {axis} * {stride} + {tap} - {padding};\n")
                lines.append(f"{pad}if ({place} < 0 || {place} >= {extent}) {{\n")
            else:
                strided = "" if stride == 1 or skips else f" || {place}_at % {stride} != 0"
                lines.append(f"{pad}const int32_t {place}_at = {axis} + {padding} - {tap};\n")
                place_of = f"{place}_at" if stride == 1 else f"{place}_at / {stride}"
                lines.append(f"{pad}const int32_t {place} = {place_of};\n")
                lines.append(f"{pad}if ({place}_at < 0{strided} || {place} >= {extent}) {{\n")
            lines += [f"{pad}    continue;\n", f"{pad}}}\n"]
        lines += [
            f"{pad}const uint32_t row = {row}(uint32_t)(ky * {kernel_w} + kx);\n",
            f"{pad}const uint32_t first = (uint32_t)(y * {beside} + x) * {layer.shape[0]}u{base};\n",
        ]
        for part, suffix in zip(rows, _PARTS, strict=False):
            lines.append(f"{pad}{part.function}(net->sums{suffix} + first, row, message);\n")
        return lines + [" " * (4 * n) + "}\n" for n in range(5, 0, -1)]

    # -- what becomes of the sums -------------------------------------------------------------------

    def _average(self, code: LayerCode, source: Signal) -> list[str]:
        size = code.layer.size
        terms = source.size // size
        code.members.append(Member("int32_t", "sent", size, f"sums of {terms} messages, which are not divided"))
        code.operations = source.size
        return [
            f"    for (uint32_t i = 0; i < {size}u; i++) {{\n",
            "        uint32_t sum = 0;\n",
            f"        for (uint32_t k = 0; k < {terms}u; k++) {{\n",
            f"            sum += (uint32_t){source.array}[i * {terms}u + k];\n",
            "        }\n",
            f"        layer->sent[i] = (int32_t){self.folded('sum', 32)};\n",
            "    }\n",
        ]

    def _bare(self, code: LayerCode, layer: Layer, incoming: int) -> list[str]:
        """Weighted sums that leave the network as they are."""
        code.members.append(Member("int32_t", "sent", layer.size, f"weighted sums in 1/2^{6 + incoming}"))
        value = self.folded(f"net->sums[{_place(layer)}]", deployment.sum_bits(layer))
        given = getattr(layer, "bias", None)
        if given is None or not np.any(given):
            kept = f"        layer->sent[i] = (int32_t){value};\n"
            return self._lanes(layer, (), [kept])
        bias = Parameter(f"{code.name}_bias", _lanes_of(layer, given) << incoming, layer.shape, "biases, as sums")
        self._keep(code, bias)
        acts = bias.text() if code.start == 0 else f"(net->step >= {code.start}u ? {bias.text()} : 0)"
        total = self.helper(wrap32, f"{value} + {acts}")
        return self._lanes(layer, (bias,), [f"        layer->sent[i] = (int32_t){total};\n"])

    @staticmethod
    def _keep(code: LayerCode, parameter: Parameter) -> None:
        if parameter.table is not None:
            code.tables.append(parameter.table)

    @staticmethod
    def _lanes(layer: Layer, parameters: Sequence[Parameter], lines: Sequence[str]) -> list[str]:
        """A loop over all neurons, with the channel of each where a parameter asks for it."""
        if _place(layer) == "i" and not any(parameter.by_channel for parameter in parameters):
            return [f"    for (uint32_t i = 0; i < {layer.size}u; i++) {{\n", *lines, "    }\n"]
        inner = layer.size // layer.shape[0]
        return [
            f"    for (uint32_t channel = 0; channel < {layer.shape[0]}u; channel++) {{\n",
            f"        for (uint32_t pixel = 0; pixel < {inner}u; pixel++) {{\n",
            f"            const uint32_t i = channel * {inner}u + pixel;\n",
            *(f"    {line}" for line in lines),
            "        }\n",
            "    }\n",
        ]

    def _neurons(self, code: LayerCode, layer: Layer, source: Signal, incoming: int) -> list[str]:
        """One step of a layer's neurons."""
        record = deployment.record_of(layer)
        assert record is not None
        assert layer.neuron is not None
        made = deployment.deploy(layer, incoming, spike_exp=self.spike_exp, shared=True)
        code.states = tuple(map(_state, made.states))
        code.rests = True
        for state in made.states:
            unit = _unit(layer, self.spike_exp, behind=state != record.bias_at)
            code.members.append(Member("int32_t", _state(state), layer.size, f"after a step, in {unit}"))
        driven = self.input_bias and isinstance(layer, Input)
        if driven:
            code.members.append(Member("int32_t", "bias", layer.size, "a constant input, in 1/64"))
        kind = "int32_t" if made.graded else "uint8_t"
        what = "messages" if made.graded else "spikes, 0 or 1"
        code.members.append(Member(kind, "sent", layer.size, what))
        parameters: list[Parameter] = []
        lines: list[str] = []
        inputs: list[str] = []
        for n in range(len(record.inputs)):
            text, bias = self._input(code, layer, source, made, n)
            parameters += [bias] if bias is not None else []
            lines += text
            inputs.append(_input_name(record, n))
        given = []
        for name in record.step_parameters:
            if driven and name == "bias":
                given.append(f"layer->bias[i] * {literal64(WEIGHT_ONE)}")
                continue
            parameter = self._parameter(code, layer, record, made, name)
            if isinstance(parameter, Parameter):
                parameters.append(parameter)
                given.append(parameter.text())
            else:
                given.append(parameter)
        step = self._step(record, made)
        arguments = ", ".join([*(f"layer->{_state(s)}[i]" for s in made.states), *inputs, *given])
        lines.append(f"        const struct {step.name}_result next = {step.name}({arguments});\n")
        lines += [f"        layer->{_state(s)}[i] = (int32_t)next.{identifier(s)};\n" for s in made.states]
        if record.sends_messages:
            lines.append("        layer->sent[i] = (int32_t)next.message;\n")
        elif made.graded:
            carried = identifier(record.carried)
            before = f"compared_{carried}" if f"compared_{carried}" in step.fields else carried
            lines.append(f"        layer->sent[i] = next.spike ? (int32_t)next.{before} : 0;\n")
        else:
            lines.append("        layer->sent[i] = (uint8_t)next.spike;\n")
        self._rest(code, layer, made)
        return self._lanes(layer, parameters, lines)

    def _step(self, record: Family, made: deployment.Deployment) -> Translated:
        """The translated `step` of a family."""
        fields = made.neuron._asdict()
        names = (*record.states, *record.inputs)
        arguments: list[Any] = [Expression(name) for name in names]
        for name in record.step_parameters:
            truth = name not in record.rows and isinstance(fields.get(name), (bool, np.bool_))
            arguments.append(Expression(name, truth=truth))
        states = [identifier(state) for state in record.states]
        own = "step" if record.step.__name__.strip("_") == "step" else record.step.__name__.strip("_")
        count = len(record.step(*[0] * len(arguments), False)) - len(states) - 1
        compared = [f"compared_{state}" for state in states[len(states) - count :]] if count else []
        if record.sends_messages:
            compared = [f"compared_{n}" for n in range(count)]
        results = [*states, "message" if record.sends_messages else "spike", *compared]
        try:
            return self.translator.function(
                record.step, [*arguments, Known(True)], name=f"{_plain(record.name)}_{own}", fields=results
            )
        except Untranslatable as error:
            raise Untranslatable(f"family {record.name!r} has no C: {error}") from None

    def _input(
        self, code: LayerCode, layer: Layer, source: Signal, made: deployment.Deployment, part: int
    ) -> tuple[list[str], Parameter | None]:
        """The lines that bring a sum and its bias to the scale of the neurons."""
        record = deployment.record_of(layer)
        assert record is not None
        name = _input_name(record, part)
        if isinstance(layer, Input) and part:
            return [f"        const int64_t {name} = 0; /* what arrives drives the real part */\n"], None
        up = int(made.up[part])
        about = "biases of the input, on the scale of the sums"
        bias = Parameter(f"{code.name}_bias{_PARTS[part]}", made.bias[part], layer.shape, about)
        self._keep(code, bias)
        if isinstance(layer, Input):
            value = f"(int64_t){source.array}[i]"
        else:
            value = self.folded(f"net->sums{_PARTS[part]}[{_place(layer)}]", made.bits)
        offset = "" if bias.zero else f" + {bias.text()}"
        if self.input_bias and isinstance(layer, Input) and record.bias_at not in record.states:
            offset = " + layer->bias[i]"
        total = name.replace("input", "sum")
        lines = [f"        const int64_t {total} = {value}{offset};\n"]
        scaled = total if up == 0 else self.helper(scale_by_power_of_two, total, up)
        # nothing that a synapse of 32 bits gives can leave them without a bias or a factor
        scaled = scaled if up == 0 and not offset else self.helper(wrap32, scaled)
        return [*lines, f"        const int64_t {name} = {scaled}; /* in {_unit(layer, self.spike_exp)} */\n"], bias

    def _parameter(
        self, code: LayerCode, layer: Layer, record: Family, made: deployment.Deployment, name: str
    ) -> Parameter | str:
        """An argument of `step`: one of the layer's parameters."""
        if name in record.rows:
            values = made.neuron.decay[record.rows.index(name)]
        else:
            values = getattr(made.neuron, name)
            if isinstance(values, (bool, np.bool_)):
                return str(int(values))
        comment = name.replace("_", " ")
        parameter = Parameter(f"{code.name}_{_plain(name)}", np.atleast_1d(values), layer.shape, comment)
        if parameter.table is not None and parameter.table.name in {table.name for table in code.tables}:
            # a bias of a state beside one of the input
            parameter.table = Table(f"{parameter.table.name}_of_state", parameter.table.values, parameter.table.comment)
        self._keep(code, parameter)
        return parameter

    def _rest(self, code: LayerCode, layer: Layer, made: deployment.Deployment) -> None:
        """The function that sets a layer's states back."""
        lines = []
        for state, values in zip(made.states, made.rest, strict=True):
            rest = np.unique(values)
            name = _state(state)
            if len(rest) != 1 or not -(2**31) <= rest[0] < 2**31:
                raise Untranslatable(
                    f"layer {code.position} ({layer.kind}) must rest at one integer of 32 bits, got {rest.tolist()[:3]}"
                )
            if rest[0] == 0:
                lines.append(f"    memset(layer->{name}, 0, sizeof layer->{name});\n")
            else:
                lines += [
                    f"    for (uint32_t i = 0; i < {layer.size}u; i++) {{\n",
                    f"        layer->{name}[i] = {literal(int(rest[0])).text};\n",
                    "    }\n",
                ]
        code.functions.append(
            f"static void rest_{code.name}(struct {self.network}_{code.name} *layer)\n{{\n{''.join(lines)}}}\n"
        )

    def _delay(self, code: LayerCode, layer: Layer, sent: Member) -> list[str]:
        """The lines that hold messages back: for each channel a ring of as many steps as its delay has."""
        delays = np.broadcast_to(np.asarray(layer.delay, np.int64), layer.shape[:1])
        inner, channels = layer.size // layer.shape[0], layer.shape[0]
        table = Table(f"{code.name}_delay", delays, "axonal delay of each channel, in steps")
        code.tables.append(table)
        at = smallest_type(np.array([0, int(delays.max())]))
        ring = Member(
            sent.type, "ring", int(delays.sum()) * inner, "messages on their way, those of a channel together"
        )
        code.members += [
            Member(sent.type, "arrived", layer.size, "messages after the delay"),
            ring,
            Member(at, "at", channels, "the oldest step in the ring of each channel"),
        ]
        code.signal = Signal(f"net->{code.name}.arrived", sent.type, layer.shape)
        return [
            "    /* A channel of delay d sends what it wrote to its ring d steps earlier. */\n",
            f"    {sent.type} *ring = layer->ring;\n",
            f"    for (uint32_t channel = 0; channel < {channels}u; channel++) {{\n",
            f"        const uint32_t delay = {table.name}[channel];\n",
            f"        {sent.type} *const slot = ring + (uint32_t)layer->at[channel] * {inner}u;\n",
            f"        const {sent.type} *const now = layer->sent + channel * {inner}u;\n",
            f"        {sent.type} *const arrived = layer->arrived + channel * {inner}u;\n",
            "        if (delay == 0) {\n",
            f"            memcpy(arrived, now, {inner}u * sizeof arrived[0]);\n",
            "            continue;\n",
            "        }\n",
            f"        memcpy(arrived, slot, {inner}u * sizeof arrived[0]);\n",
            f"        memcpy(slot, now, {inner}u * sizeof slot[0]);\n",
            f"        layer->at[channel] = ({at})((layer->at[channel] + 1u) % delay);\n",
            f"        ring += delay * {inner}u;\n",
            "    }\n",
        ]


def _state(name: str) -> str:
    """The array of a state in the structure of a layer, which has some arrays of other names."""
    return f"{name}_" if name in ("sent", "arrived", "ring", "at", "bias") else identifier(name)


def _input_name(record: Family, part: int) -> str:
    """The variable of an input of a neuron."""
    return "input" if len(record.inputs) == 1 else ("real_input", "imag_input")[part]


def _place(layer: Layer) -> str:
    """The sum of neuron i: those of windows have the channel as their last axis."""
    windows = isinstance(layer, Kernel) and layer.shape[0] > 1 and layer.size > layer.shape[0]
    return f"pixel * {layer.shape[0]}u + channel" if windows else "i"


def _unit(layer: Layer, spike_exp: int, behind: bool = False) -> str:
    """The unit of a layer's states; `behind` a sum that is divided by a power of two it is finer."""
    if not deployment.sends_changes(layer.neuron):
        return "1/4096"
    assert layer.neuron is not None
    finer = max(int(layer.neuron.parameters.get("weight_exp") or 0), 0) if behind else 0
    return f"1/2^{STATE_BITS + spike_exp + finer}"


def _plain(name: str) -> str:
    """A name in lower case, of letters, digits and underscores."""
    return identifier("".join(c if c.isalnum() and c.isascii() else "_" for c in name).lower())


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _lanes_of(layer: Layer, values: Any) -> Integers:
    """One value, or one for each channel, of every neuron (M,)."""
    array = np.asarray(values, np.int64)
    if array.ndim == 1:
        array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
    return np.broadcast_to(array, layer.shape).reshape(-1)


def _as_rows(layer: Any, weight: Integers) -> tuple[Integers, str]:
    """The rows of weights that a message is multiplied with, and what a row is."""
    weight = np.asarray(weight, np.int64)
    if isinstance(layer, Dense):
        return weight.T, "is of one input"
    taps = weight.shape[2] * weight.shape[3]
    if isinstance(layer, Conv):
        outputs, per_group = weight.shape[:2]
        grouped = weight.reshape(layer.groups, outputs // layer.groups, per_group, taps)
        return grouped.transpose(0, 2, 3, 1).reshape(-1, outputs // layer.groups), "is of a channel and a tap"
    if isinstance(layer, ConvTranspose):
        rows = weight.reshape(*weight.shape[:2], taps).transpose(0, 2, 1).reshape(-1, weight.shape[1])
        return rows, "is of a channel and a tap"
    return weight.reshape(taps, 1), "is of a tap"


def _window_operations(layer: Kernel, source: Signal, rows: Rows) -> int:
    """Products of a step in which each input sends a message."""
    met = []
    for n, (inputs, outputs, taps) in enumerate(zip(source.shape[1:], layer.shape[1:], layer.kernel_size, strict=True)):
        stride = layer.stride[n]
        first = np.arange(taps) * layer.dilation[n] - layer.padding[n]
        # through each tap, place q * stride + first of one side meets place q of the other
        strided, plain = (inputs, outputs) if isinstance(layer, (ConvTranspose, Unpool)) else (outputs, inputs)
        low = np.maximum(-(first // stride), 0)
        high = np.minimum((plain - 1 - first) // stride, strided - 1)
        met.append(np.maximum(high - low + 1, 0))
    times = np.outer(*met).reshape(-1)
    channels = source.shape[0]
    if isinstance(layer, (Pool, Unpool)):
        return int((times * rows.counts).sum()) * channels
    return int((np.tile(times, channels) * rows.counts).sum())
