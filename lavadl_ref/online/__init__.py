"""Online learning: networks that learn step by step while a signal arrives.

`Learner` trains slayer's blocks in memory that does not grow with the length of the signal. A `Firing` penalty keeps
the firing rates low.
"""

import lavadl_ref._needs_torch
from lavadl_ref.online.learner import Learner
from lavadl_ref.online.penalty import Firing

__all__ = ["Firing", "Learner"]
