"""Tools for testing against this package, and for porting its kernels.

`strategies` draws neurons, spike trains, networks and ``.net`` files, intact and damaged, with Hypothesis. `vectors`
writes golden vectors of every neuron family and compares another implementation with them. Both need neither torch nor
Lava.
"""
