"""Dendrites: what happens to a signal before its neuron."""

from lavadl_ref.slayer.dendrite.sigma import Sigma

__all__ = ["Sigma"]
