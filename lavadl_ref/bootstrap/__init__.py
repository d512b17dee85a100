"""Rate-coded spiking networks, trained as equivalent networks of rates that are fitted to their neurons."""

from lavadl_ref.bootstrap.routine import Mode  # isort: skip - blocks need it
from lavadl_ref.bootstrap import ann_sampler, block, routine

__all__ = ["Mode", "ann_sampler", "block", "routine"]
