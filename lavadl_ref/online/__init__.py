"""Online learning: a network that learns step by step, while a signal passes it.

`Learner` trains slayer's blocks in memory that does not grow with the length of the signal; a `Firing`
cost keeps the rates of its neurons low.
"""

from lavadl_ref.online.learner import Learner
from lavadl_ref.online.penalty import Firing

__all__ = ["Firing", "Learner"]
