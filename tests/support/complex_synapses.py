"""Complex synapses of every kind: name of the class, its arguments, shape of an input."""

CASES = [
    ("Dense", (7, 5), (2, 7, 6)),
    ("Dense", ((4, 3, 2), 5), (2, 2, 3, 4, 6)),
    ("Conv", (4, 6, (3, 2)), (2, 4, 5, 6, 3)),
    ("Conv", (4, 6, 3, 2, 1, 1, 2), (2, 4, 5, 6, 3)),
    ("Pool", (2,), (2, 4, 5, 6, 3)),
    ("ConvTranspose", (4, 6, 3, 2, 1, 1, 2), (2, 4, 5, 6, 3)),
    ("Unpool", (2,), (2, 4, 5, 6, 3)),
]
