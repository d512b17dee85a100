"""Tests of `lavadl_ref.plot`."""
