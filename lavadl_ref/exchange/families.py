"""The neuron families a ``.net`` file can name, and the keys each of them carries.

This table is the only list of families in the package: the reader, the writer, the
checks and the summary all walk it.  Keys, dtypes and scales are those of the ``neuron``
group that Lava-DL's blocks export.
"""

from __future__ import annotations

from dataclasses import dataclass

DECAY_ONE = 4096  # a decay of 1.0: 12 fractional bits
THRESHOLD_LIMIT = 2**24  # mantissas are shifted left by 6 into 32-bit states
NEVER_MANTISSA = 2**18 - 1  # threshold of neurons that are read out: above all states of 24 bits, so none ever fires


@dataclass(frozen=True)
class Field:
    """One dataset of a ``neuron`` group."""

    key: str  #: name in the file, e.g. ``iDecay``
    name: str  #: name in this package, e.g. ``current_decay``
    low: int = 0  #: smallest legal integer
    high: int = DECAY_ONE  #: largest legal integer
    per_channel: bool = False  #: may hold one integer per channel
    kind: str = "int"  #: ``int``, ``bool`` or ``str``
    required: bool = True  #: a file without it is refused
    default: int | bool | str | None = None  #: value of an absent optional field
    sparse: bool = False  #: left out of the file where it has its default


@dataclass(frozen=True)
class Family:
    """One neuron family: its name in the file and its fields, in the order they are written."""

    type: str  #: content of ``neuron/type``
    fields: tuple[Field, ...]
    delay_shift: bool = True  #: default one-step shift of the family's blocks in slayer
    complex_input: bool = False  #: synapses carry a real and an imaginary weight
    sends_changes: bool = False  #: messages are the changes of a value instead of spikes
    aliases: tuple[str, ...] = ()  #: legacy names of the same family


def _decay(key: str, name: str) -> Field:
    return Field(key, name, 0, DECAY_ONE, per_channel=True)


def _resonance(key: str, name: str) -> Field:
    return Field(key, name, -DECAY_ONE, DECAY_ONE, per_channel=True)


_THRESHOLD = Field("vThMant", "threshold", 0, THRESHOLD_LIMIT)
_STEP = Field("vThStep", "threshold_step", 0, THRESHOLD_LIMIT)
# No neuron here or in Lava-DL has another refractory delay, so a file that asks for one is refused.
_REFRACTORY = Field("refDelay", "refractory_delay", 1, 1, required=False, default=1)
_GRADED = Field("gradedSpike", "graded_spike", kind="bool", required=False, default=False)
_EXPONENT = Field("weight_exp", "weight_exp", -64, 64, required=False, default=0, sparse=True)
_EXPONENT_IMAG = Field("weight_exp_imag", "weight_exp_imag", -64, 64, required=False, default=0, sparse=True)
_EXPONENTS = (_EXPONENT, _EXPONENT_IMAG)
_ADAPTIVE = (_decay("thDecay", "threshold_decay"), _decay("refDecay", "refractory_decay"))
_OSCILLATOR = (_resonance("sinDecay", "sin_decay"), _resonance("cosDecay", "cos_decay"))

FAMILIES: dict[str, Family] = {
    family.type: family
    for family in (
        Family(
            "CUBA",
            (
                _decay("iDecay", "current_decay"),
                _decay("vDecay", "voltage_decay"),
                _THRESHOLD,
                _REFRACTORY,
                _GRADED,
                _EXPONENT,
            ),
            aliases=("LOIHI",),
        ),
        Family(
            "ALIF",
            (
                _decay("iDecay", "current_decay"),
                _decay("vDecay", "voltage_decay"),
                *_ADAPTIVE,
                _THRESHOLD,
                _STEP,
                _REFRACTORY,
                _GRADED,
                _EXPONENT,
            ),
        ),
        Family("RF_PHASE", (*_OSCILLATOR, _THRESHOLD, _GRADED, *_EXPONENTS), complex_input=True),
        Family("RF_IZHIKEVICH", (*_OSCILLATOR, _THRESHOLD, _GRADED, *_EXPONENTS), complex_input=True),
        Family(
            "ADRF_PHASE",
            (*_OSCILLATOR, *_ADAPTIVE, _THRESHOLD, _STEP, _GRADED, *_EXPONENTS),
            complex_input=True,
        ),
        Family(
            "ADRF_IZHIKEVICH",
            (*_OSCILLATOR, *_ADAPTIVE, _THRESHOLD, _STEP, _GRADED, *_EXPONENTS),
            complex_input=True,
        ),
        Family(
            "SDNN",
            (
                Field("activation", "activation", kind="str", required=False),
                Field("vThMant", "threshold", 0, THRESHOLD_LIMIT, per_channel=True, required=False),
                # Lava-DL looks only at whether the key is there.
                Field("sigma_output", "sigma_output", kind="bool", required=False, default=False, sparse=True),
                Field("cum_error", "cum_error", kind="bool", required=False, default=False, sparse=True),
                _EXPONENT,
            ),
            delay_shift=False,
            sends_changes=True,
        ),
    )
}

#: Legacy keys of a ``neuron`` group that older exporters wrote and that do not bear on a run:
#: the surrogate gradient, a copy of the threshold, and a weight exponent that was always 0
#: (a file where it is not is refused).  They are read past; any other unknown key is refused.
LEGACY_KEYS = frozenset({"theta", "tauRho", "scaleRho", "wgtExp"})


def family(name: str) -> Family:
    """The family that the file calls `name`, aliases included.

    Raises
    ------
    KeyError
        If no family has that name.
    """
    for entry in FAMILIES.values():
        if name == entry.type or name in entry.aliases:
            return entry
    raise KeyError(name)
