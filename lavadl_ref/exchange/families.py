"""The neuron families a ``.net`` file can name, and the keys each of them carries.

This table is the only list of names, keys, bounds and defaults of families; the reader, the writer, the checks and the
summary all use it. It does not describe how a family computes: that is in the family's record in the kernels, and
`lavadl_ref.deployed.families` checks that the two agree. Keys, dtypes and scales are those of the ``neuron`` group that
Lava-DL's blocks export.
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
    needed_unless: str = ""  #: name of a bool: unless it is true, a description without this field is refused


@dataclass(frozen=True)
class Family:
    """One neuron family: its name in the file and its fields, in the order they are written."""

    type: str  #: content of ``neuron/type``
    fields: tuple[Field, ...]
    delay_shift: bool = True  #: default one-step shift of the family's blocks in slayer
    complex_input: bool = False  #: synapses carry a real and an imaginary weight
    sends_changes: bool = False  #: messages are the changes of a value instead of spikes
    bias_at_input: bool = True  #: the bias is part of the weighted sum; else it acts behind it, as on CUBA's voltage
    aliases: tuple[str, ...] = ()  #: legacy names of the same family

    @property
    def takes_input_bias(self) -> bool:
        """True if a layer can have a second bias, in the weighted sum.

        Neurons whose `bias` acts there already need no second one, and sigma-delta neurons would sum it up without end.
        """
        return not (self.bias_at_input or self.sends_changes)


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


class _Families(dict[str, Family]):
    """Families by their names; the error for one that is not there names the row."""

    def __missing__(self, name: str) -> Family:
        raise KeyError(f"family {name!r} must have a row in lavadl_ref.exchange.FAMILIES, got none")


FAMILIES: dict[str, Family] = _Families(
    (family.type, family)
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
            bias_at_input=False,
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
                Field("activation", "activation", kind="str", required=False, needed_unless="sigma_output"),
                Field(
                    "vThMant",
                    "threshold",
                    0,
                    THRESHOLD_LIMIT,
                    per_channel=True,
                    required=False,
                    needed_unless="sigma_output",
                ),
                # Lava-DL looks only at whether the key is there.
                Field("sigma_output", "sigma_output", kind="bool", required=False, default=False, sparse=True),
                Field("cum_error", "cum_error", kind="bool", required=False, default=False, sparse=True),
                _EXPONENT,
            ),
            delay_shift=False,
            sends_changes=True,
            bias_at_input=False,
        ),
    )
)

#: Legacy keys of a ``neuron`` group that older exporters wrote and that do not bear on a run:
#: the surrogate gradient, a copy of the threshold, and a weight exponent that was always 0
#: (a file where it is not is refused).  They are read past; any other unknown key is refused.
LEGACY_KEYS = frozenset({"theta", "tauRho", "scaleRho", "wgtExp"})


def register(family: Family) -> Family:
    """Add a family to `FAMILIES`, so that files can name it.

    Raises
    ------
    ValueError
        If another family has its name or one of its aliases.
    """
    for name in (family.type, *family.aliases):
        for other in FAMILIES.values():
            if name in (other.type, *other.aliases) and other != family:
                raise ValueError(f"names of families must be unique, got a second {name!r}")
    FAMILIES[family.type] = family
    return family


def family(name: str) -> Family:
    """Look up the family that the file calls `name`, aliases included.

    Raises
    ------
    KeyError
        If no family has that name.
    """
    for entry in FAMILIES.values():
        if name == entry.type or name in entry.aliases:
            return entry
    raise KeyError(name)
