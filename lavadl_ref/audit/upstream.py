"""Lava-DL's netx on each layer of a file: it loads the layer, refuses it, or silently changes it.

These are rules of lava-dl 0.6.0, found by observing what its netx does. ``validation/conformance/test_audit.py``
compares each of them with an installed lava-dl; that a layer loads is compared by the integers of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lavadl_ref.audit import netx_weights
from lavadl_ref.audit.lava_neurons import lava_neuron, loaded_as
from lavadl_ref.audit.report import ALTERS, LOADS, OUTCOMES, REFUSES, Finding
from lavadl_ref.deployed import deployment
from lavadl_ref.exchange import (
    FAMILIES,
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Layer,
    Network,
    Pool,
    Recurrent,
    TimeDecimation,
    Unpool,
)

DELAY_LIMIT = 62  # netx clips delays to it, although Lava's synapses take 63
FORGETS = 4096  # the voltage decay of neurons that keep nothing of their voltage from one step to the next


def worst(findings: tuple[Finding, ...]) -> str:
    """The worst outcome of the findings, "loads" without any."""
    return max((finding.outcome for finding in findings), key=OUTCOMES.index, default=LOADS)


def findings(network: Network) -> list[tuple[Finding, ...]]:
    """Findings for each layer of the file, netx called with default arguments; () where it simply loads the layer."""
    found = []
    for position, (layer, start) in enumerate(zip(network.layers, network.start_steps, strict=True)):
        before = network.layers[:position]
        found.append((*_layer(layer, start), *_arriving(layer, before)))
    return found


def _layer(layer: Layer, start: int) -> Iterator[Finding]:
    """Findings on a layer by itself; netx goes no further than the first refusal."""
    refusal = _refusal(layer)
    if refusal is not None:
        yield Finding(REFUSES, refusal)
        return
    if isinstance(layer, TimeDecimation):
        yield Finding(ALTERS, "left out")
        return
    if isinstance(layer, Dense) and layer.neuron is None:
        yield Finding(ALTERS, "gets neurons: LIF with iDecay 0, vDecay 4096, threshold 131072; sums add up for ever")
    if isinstance(layer, Dense):
        yield from _dense(layer)
    constant = getattr(layer, "input_bias", None)
    if constant is not None and constant.any():
        yield Finding(ALTERS, "inputBias ignored")
    if layer.neuron is not None:
        yield from _neuron(layer)
        if start > 0 and deployment.fires_at_rest(layer):
            yield Finding(ALTERS, f"fires at rest from step 0, {start} before the layer's first input")
        yield from _bias(layer, start)
        yield from _delay(layer)


def _refusal(layer: Layer) -> str | None:
    if isinstance(layer, (Pool, ConvTranspose, Unpool, Average)):
        return f"NotImplementedError: {layer.kind}"
    neuron = layer.neuron
    complex_input = neuron is not None and FAMILIES[neuron.type].complex_input
    if neuron is not None and loaded_as(neuron) is None:
        return f"AttributeError: {neuron.type} neurons are not known"
    if isinstance(layer, Conv) and neuron is None:
        return "KeyError: a convolution without neurons"
    if isinstance(layer, Conv) and complex_input:
        return "TypeError: complex weights of a convolution"
    if isinstance(layer, Input) and complex_input:
        return "AttributeError: resonators in an input layer"
    if isinstance(layer, Recurrent) and not complex_input:
        if netx_weights.zeros([layer.weight, layer.weight_rec]):
            return "OverflowError: all weights are 0"
        if layer.delay is not None and layer.weight.shape != layer.weight_rec.shape:
            return "ValueError: delays of a recurrent layer whose feedback has another shape than its input"
    elif isinstance(layer, Dense) and any(
        netx_weights.zeros([part]) for part in (layer.weight, layer.weight_imag) if part is not None
    ):
        return "OverflowError: all weights are 0"
    if neuron is None or not FAMILIES[neuron.type].sends_changes:
        return None
    if deployment.is_sigma_output(layer):
        return "TypeError: the bias of a layer that sends its sums" if _biased(layer) is not None else None
    if isinstance(neuron["threshold"], np.ndarray):
        return "loads, but Lava cannot build it: sigma-delta neurons have one threshold per layer"
    shift = lava_neuron(neuron).threshold_shift
    if int(neuron["threshold"]) >= 1 << (31 - shift):
        return f"loads, but Lava cannot hold it: threshold {neuron['threshold']} leaves 32 bits when shifted by {shift}"
    return None


def _dense(layer: Dense) -> Iterator[Finding]:
    complex_input = layer.weight_imag is not None
    if isinstance(layer, Recurrent) and complex_input:
        yield Finding(ALTERS, "feedback dropped")
    groups = [[layer.weight]]
    if layer.weight_imag is not None:
        groups.append([layer.weight_imag])
    elif isinstance(layer, Recurrent):
        groups = [[layer.weight, layer.weight_rec]]
    changed = sum(map(netx_weights.changed, groups))
    if changed:
        every = sum(matrix.size for group in groups for matrix in group)
        low, high = (int(f([f(matrix) for group in groups for matrix in group])) for f in (np.min, np.max))
        yield Finding(ALTERS, f"{changed} of {every} weights changed, which are from {low} to {high}")


def _neuron(layer: Layer) -> Iterator[Finding]:
    neuron = layer.neuron
    assert neuron is not None
    family = FAMILIES[neuron.type]
    if isinstance(layer, Input) and (layer.weight, layer.bias) != (64, 0):
        yield Finding(LOADS, f"gain {layer.weight} and offset {layer.bias} are left to the caller (transform)")
    if isinstance(layer, Input):
        yield Finding(LOADS, "NumPy 2.4 and later: TypeError where weight or bias has shape (1,), as lava-dl writes it")
    if family.complex_input:
        loaded = loaded_as(neuron)
        if loaded != neuron.type:
            yield Finding(ALTERS, f"loaded as {loaded}: threshold and refractory adaptation dropped")
        yield from _rotation(neuron["sin_decay"], neuron["cos_decay"])
    exponents = [neuron.parameters.get(name) or 0 for name in ("weight_exp", "weight_exp_imag")]
    if any(exponents):
        yield Finding(ALTERS, f"weight_exp {', '.join(str(e) for e in exponents if e)} ignored")
    if neuron.parameters.get("graded_spike"):
        yield Finding(ALTERS, "graded spikes become 1")
    if not family.sends_changes or deployment.is_sigma_output(layer):
        return
    if neuron.parameters.get("cum_error"):
        yield Finding(ALTERS, "cum_error ignored")
    activation = neuron.parameters.get("activation")
    if not isinstance(layer, Input) and activation != "relu":
        yield Finding(ALTERS, f"activation {activation} becomes relu")


def _rotation(sine: Any, cosine: Any) -> Iterator[Finding]:
    sines, cosines = np.broadcast_arrays(np.atleast_1d(sine), np.atleast_1d(cosine))
    held = netx_weights.rotation(sines, cosines)
    different = (held[0] != sines) | (held[1] != cosines)
    if not different.any():
        return
    first = int(different.argmax())
    before, after = ((int(s[first]), int(c[first])) for s, c in ((sines, cosines), held))
    count = f" ({int(different.sum())} of {different.size} channels)" if different.size > 1 else ""
    yield Finding(ALTERS, f"sinDecay, cosDecay {before[0]}, {before[1]} become {after[0]}, {after[1]}{count}")


def _biased(layer: Layer) -> Any:
    """The layer's bias, both parts, or None where netx would find none."""
    parts = [getattr(layer, name, None) for name in ("bias", "bias_imag")]
    given = [part for part in parts if part is not None]
    return None if isinstance(layer, Input) or not given else np.stack(given)


def _bias(layer: Layer, start: int) -> Iterator[Finding]:
    bias = _biased(layer)
    neuron = layer.neuron
    assert neuron is not None
    if bias is None or not bias.any():
        return
    if FAMILIES[neuron.type].complex_input:
        yield Finding(ALTERS, "bias ignored")
        return
    limit = lava_neuron(neuron).bias_limit
    if bias.max() >= limit or bias.min() < -limit:
        yield Finding(ALTERS, f"bias {bias.min()}..{bias.max()} wraps, Lava holds {-limit}..{limit - 1}")
    if start > 0 and _acts_alone(layer, bias):
        yield Finding(ALTERS, f"bias acts from step 0, {start} before the layer's first input")
    if layer.delay is not None and layer.delay.any() and isinstance(layer, Dense):
        yield Finding(ALTERS, "delay acts on the weighted sums, not on what the bias adds")


def _acts_alone(layer: Layer, bias: Any) -> bool:
    """Tell whether the bias leaves a trace in neurons at rest that get no input."""
    neuron = layer.neuron
    assert neuron is not None
    if FAMILIES[neuron.type].sends_changes:
        return bool(bias.max() > 0)
    forgetful = np.all(np.asarray(neuron["voltage_decay"]) == FORGETS)
    return not forgetful or bool(bias.max() > neuron["threshold"])


def _delay(layer: Layer) -> Iterator[Finding]:
    neuron = layer.neuron
    assert neuron is not None
    if layer.delay is None:
        return
    if isinstance(layer, Recurrent) and layer.weight_imag is None:
        up = netx_weights.shift([layer.weight, layer.weight_rec])
        if up:
            yield Finding(ALTERS, f"weights {2**up} times as large, because the layer has delays")
    if not layer.delay.any():
        return
    if isinstance(layer, Conv) or FAMILIES[neuron.type].complex_input:
        yield Finding(ALTERS, "delay ignored")
        return
    if isinstance(layer, Recurrent):
        yield Finding(ALTERS, "delay acts on the weighted sums and on the feedback")
    if layer.delay.max() > DELAY_LIMIT:
        yield Finding(ALTERS, f"delay {int(layer.delay.max())} becomes {DELAY_LIMIT}")


def _arriving(layer: Layer, before: tuple[Layer, ...]) -> Iterator[Finding]:
    """Findings on the messages that arrive: the values that netx takes them for, and arguments that it needs."""
    if not isinstance(layer, (Dense, Conv)) or layer.neuron is None:
        return
    if isinstance(layer, Conv) and all(isinstance(other, Flatten) for other in before):
        yield Finding(LOADS, "needs input_shape=(W, H, C)")
    receives = FAMILIES[layer.neuron.type].sends_changes
    senders = [FAMILIES[other.neuron.type].sends_changes for other in before if other.neuron is not None]
    if receives and not senders:
        yield Finding(LOADS, "needs input_message_bits=16, or messages count as 1")
    elif receives and not senders[-1]:
        yield Finding(ALTERS, "a spike counts as a message of 1/4096")
    elif not receives and senders and senders[-1]:
        yield Finding(ALTERS, "messages of 1/4096 are taken for whole numbers")
