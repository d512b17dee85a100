"""For those who test against this package, or port its kernels elsewhere.

`strategies` draws neurons, spike trains, networks and ``.net`` files, whole and damaged, with
Hypothesis.  `vectors` writes golden vectors of every neuron family and compares another
implementation with them.  Needs neither torch nor Lava.
"""
