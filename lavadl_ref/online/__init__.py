"""Online learning: a network that learns step by step, while a signal passes it.

`Learner` trains slayer's blocks in memory that does not grow with the length of the signal.
"""

from lavadl_ref.online.learner import Learner

__all__ = ["Learner"]
