"""The parts that tests and validation share: oracles, families, generators, matrices."""

#: Seconds after which something hangs. Nothing takes as long, also on a machine ten times slower than ours.
PATIENCE = 600
