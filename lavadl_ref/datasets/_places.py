"""Indices of samples."""

from __future__ import annotations


def from_the_front(index: int, length: int, what: str) -> int:
    """An index of Python, which may be negative, counted from the front.

    Raises
    ------
    IndexError
        If it is out of range.
    """
    place = index + length if index < 0 else index
    if not 0 <= place < length:
        raise IndexError(f"index of {what} must be at least {-length} and below {length}, got {index}")
    return int(place)
