"""Tests of `lavadl_ref.encode`."""
