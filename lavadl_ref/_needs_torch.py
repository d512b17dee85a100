"""Imported first by what is made of torch: where torch is missing, the error says what to type."""

from lavadl_ref import _extras

_extras.require("train", "training")
