"""What tests of every part share."""

#: Seconds after which something hangs. Nothing takes as long, also on a machine ten times slower than ours.
PATIENCE = 600
