"""The mutants of each family beside the golden vectors of level 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lavadl_kernels.neurons import FAMILIES

from lavadl_ref.testing import vectors
from validation.mutation.equivalent import EQUIVALENT, Equivalent, reason
from validation.mutation.mutants import Mutant, mutants
from validation.mutation.program import Program
from validation.mutation.vectors import Step, drawn, noticed, steps

SEARCHED = 2000  #: steps drawn at random in which an equivalent mutant must give the family's own integers


@dataclass
class Found:
    """The outcome of one family."""

    family: str
    mutants: int = 0
    names: int = 0  #: of them, those in which a name is changed
    noticed: int = 0  #: by at least one vector
    by_loihi: int = 0  #: by at least one with the device's widths
    shown: int = 0  #: change nothing but a value that `step` gives beside states and spike
    equivalent: dict[Equivalent, int] = field(default_factory=dict)  #: mutants that each entry covers
    survivors: list[Mutant] = field(default_factory=list)  #: neither noticed nor explained
    contradicted: list[Mutant] = field(default_factory=list)  #: that an entry covers, and an input tells apart

    def __str__(self) -> str:
        return (
            f"{self.family}: {self.mutants} mutants, {self.noticed} noticed ({self.by_loihi} by vectors with the "
            f"device's widths alone), {self.shown} change only what is shown, {sum(self.equivalent.values())} "
            f"equivalent, {len(self.survivors)} survive"
        )


def family(name: str, names: bool = True) -> Found:
    """Run the mutants of one family; with `names` also those in which a name is another argument's."""
    golden = steps(vectors.cases(name))
    narrow, free = ([one for one in golden if one.arguments[-1] == loihi] for loihi in (True, False))
    program, found = Program(FAMILIES[name].step), Found(name)
    assert noticed(program.compiled(), golden) is None
    random = drawn(name, SEARCHED)
    for mutant in mutants(program, names):
        found.mutants += 1
        found.names += mutant.of_name
        by_loihi = noticed(mutant.step, narrow) is not None
        entry = reason(mutant)
        if by_loihi or noticed(mutant.step, free) is not None:
            found.noticed += 1
            found.by_loihi += by_loihi
            found.contradicted += [mutant] if entry else []
        elif entry is not None:
            found.equivalent[entry] = found.equivalent.get(entry, 0) + 1
            found.contradicted += [mutant] if noticed(mutant.step, random) else []
        elif noticed(mutant.step, random) is not None and _shown_alone(mutant, name, random):
            found.shown += 1
        else:
            found.survivors.append(mutant)
    return found


def _shown_alone(mutant: Mutant, name: str, random: list[Step]) -> bool:
    """Tell whether states and spike are those of the family in steps drawn at random, so that the rest differs."""
    answered = len(FAMILIES[name].states) + 1
    return all(mutant.step(*one.arguments)[:answered] == one.expected[:answered] for one in random)


def unused(found: Iterable[Found]) -> list[Equivalent]:
    """Entries that cover no mutant of any family."""
    used = {entry for one in found for entry in one.equivalent}
    return [entry for entry in EQUIVALENT if entry not in used]
