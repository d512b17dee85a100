"""Runs on Lava's multiprocessing runtime: the public name of `lavadl_ref.netx.run.runtime`."""

from lavadl_ref.netx.run.runtime import RECORDS, Job, LavaRunError, LavaTimeout, Records, run, run_all

__all__ = ["RECORDS", "Job", "LavaRunError", "LavaTimeout", "Records", "run", "run_all"]
