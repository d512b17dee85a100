"""Equality of descriptions."""

from lavadl_ref.testing._same import same as same
