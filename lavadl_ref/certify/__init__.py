"""A certificate of a ``.net`` file: its content, what was compared, proved and measured about it, and what was not.

`certify` creates a certificate as plain values and as an HTML page; `check` repeats the claims of a certificate on a
file.
"""

from __future__ import annotations

from lavadl_ref.certify.checking import DIFFERS, HOLDS, LEFT_OUT, NOT_REPEATED, OUTCOMES, Checked, Claim, check
from lavadl_ref.certify.making import certify
from lavadl_ref.certify.report import FORMAT, VERSION, Certificate

__all__ = [
    "DIFFERS",
    "FORMAT",
    "HOLDS",
    "LEFT_OUT",
    "NOT_REPEATED",
    "OUTCOMES",
    "VERSION",
    "Certificate",
    "Checked",
    "Claim",
    "certify",
    "check",
]
