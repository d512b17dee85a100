"""Mutants that no input can tell from the program itself, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from validation.mutation.mutants import Mutant


@dataclass(frozen=True)
class Equivalent:
    """A change that changes nothing."""

    function: str
    line: str  #: the statement begins so
    changes: tuple[str, ...]  #: ``before -> after``; ``before -> *`` for whatever stands there instead
    reason: str

    def covers(self, mutant: Mutant) -> bool:
        """Tell whether a mutant is this one."""
        named = mutant.change in self.changes or mutant.to("*") in self.changes
        return mutant.function == self.function and mutant.line.startswith(self.line) and named


#: A mutant that is noticed all the same is an error, and so is an entry that covers none.
EQUIVALENT = (
    Equivalent(
        "cuba.step",
        "if exponent is not None",
        ("exponent is not None -> True", "exponent -> *"),
        "None says that a neuron in training has no exponent. A deployed neuron has a number, which is 0 for none, and "
        "no other argument is None.",
    ),
    Equivalent(
        "fixed_point.shift_to_zero",
        "return -(-product >> 12)",
        ("product < 0 -> product <= 0", "0 -> 1"),
        "They differ for a product of 0 alone, and both branches give 0 for it.",
    ),
    Equivalent(
        "fixed_point.scale_by_power_of_two",
        "return -(-value >> -exponent)",
        ("value < 0 -> value <= 0", "0 -> 1"),
        "They differ for a value of 0 alone, and both branches give 0 for it.",
    ),
    Equivalent(
        "fixed_point.scale_by_power_of_two",
        "if exponent >= 0",
        ("exponent >= 0 -> exponent > 0", "0 -> 1"),
        "They differ for an exponent of 0 alone, and a shift by 0 in either direction changes nothing.",
    ),
    Equivalent(
        "fixed_point.wrap24",
        "value = value - whole if value > half",
        ("value > half -> value >= half",),
        "They differ at 2^23 alone: the mutant makes -2^23 of it, of which the next line makes 2^23 again.",
    ),
    Equivalent(
        "fixed_point.wrap32",
        "return (value + 2147483648",
        ("value + 2147483648 -> value - 2147483648", "2147483648 -> -2147483648"),
        "What is added before the 32 bits are taken counts modulo 2^32, and 2^31 and -2^31 are equal there. The one "
        "that is subtracted behind them is another constant, whose mutants are noticed.",
    ),
    Equivalent(
        "_adaptation.compare",
        "level_th, level_r =",
        ("1 -> -1",),
        "The place 1 of a pair is its last one, which is also the place -1.",
    ),
    Equivalent(
        "_adaptation.compare",
        "th, r =",
        ("1 -> -1",),
        "The place 1 of a pair is its last one, which is also the place -1.",
    ),
    Equivalent(
        "_adaptation.fire",
        "new_th, new_r =",
        ("none -> spike", "none -> spike (2)"),
        "It is added where there was no spike, so that the spike is 0 as well.",
    ),
    Equivalent(
        "sigma_delta.encode",
        "compared =",
        (
            "sigma_delta__folded(error + change, loihi) if cum_error else change "
            "-> sigma_delta__folded(error + change, loihi)",
            "cum_error -> error",
        ),
        "Without cum_error the error is 0 in every state, and 0 + change is the change. With cum_error and an error of "
        "0 the sum is the change as well.",
    ),
    Equivalent(
        "sigma_delta.encode",
        "return (change - message",
        ("change -> * (2)",),
        "The fourth result is for those who call encode in training; a step leaves it out.",
    ),
)


def reason(mutant: Mutant) -> Equivalent | None:
    """The entry for a mutant, None if it has none."""
    return next((entry for entry in EQUIVALENT if entry.covers(mutant)), None)
