"""The two rows of a neuron family side by side: its keys in a ``.net`` file, and its record in the kernels.

The file's row (`lavadl_ref.exchange.FAMILIES`) says which keys a family has and within which bounds, the kernels'
record (`lavadl_kernels.neurons.FAMILIES`) how it computes.  A layer is deployed by these two alone.
"""

from __future__ import annotations

from functools import lru_cache

from lavadl_kernels.neurons import Family
from lavadl_kernels.neurons import family as kernel_family

from lavadl_ref import exchange


def family_of(name: str) -> Family:
    """Look up the kernels' record of a family, which agrees with the family's row in `exchange`.

    Parameters
    ----------
    name : str
        As a ``.net`` file calls the family.

    Returns
    -------
    Family

    Raises
    ------
    KeyError
        If the kernels or the file format have no such family; the message names what is missing.
    ValueError
        If the two rows contradict each other, see `check_family`.
    """
    record = kernel_family(name)
    check_family(exchange.FAMILIES[name], record)
    return record


@lru_cache(64)
def check_family(row: exchange.Family, record: Family) -> None:
    """Raise unless a family's row in `exchange` and its record in the kernels agree.

    Parameters
    ----------
    row : exchange.Family
        Of the file.
    record : lavadl_kernels.neurons.Family
        Of the kernels.

    Raises
    ------
    ValueError
        If the names differ, or if the file lacks a parameter of the kernels or demands a number that they do not know,
        or if the two disagree about complex input or about where the bias acts.
    """
    numbers = {field.name for field in row.fields if field.kind == "int"}
    demanded = {field.name for field in row.fields if field.kind == "int" and field.required}
    used = {*record.decays, *record.constants}
    for what, of_row, of_record in (
        ("type", row.type, record.name),
        ("parameters that the kernels take", sorted(used & numbers), sorted(used)),
        ("required parameters", sorted(demanded), sorted(used & demanded)),
        ("complex_input", row.complex_input, record.complex),
        ("bias_at_input", row.bias_at_input, not record.bias_at_state),
    ):
        if of_row != of_record:
            raise ValueError(
                f"{what} of family {row.type!r} in lavadl_ref.exchange must agree with its record in "
                f"lavadl_kernels.neurons, {of_record}, got {of_row}"
            )
