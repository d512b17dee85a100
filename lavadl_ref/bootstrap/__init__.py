"""Rate-coded spiking networks that are trained as equivalent networks of firing rates, fitted to their neurons."""

import lavadl_ref._needs_torch  # isort: skip - first of all
from lavadl_ref.bootstrap.routine import Mode  # isort: skip - blocks need it
from lavadl_ref.bootstrap import ann_sampler, block, routine

__all__ = ["Mode", "ann_sampler", "block", "routine"]
