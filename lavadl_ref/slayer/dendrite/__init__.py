"""Dendrites: operations on a signal before it reaches its neuron."""

from lavadl_ref.slayer.dendrite.sigma import Sigma

__all__ = ["Sigma"]
