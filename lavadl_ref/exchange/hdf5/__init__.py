"""HDF5 files read in Python, from the file format specification (version 3.0), at a bounded cost.

A file that nobody vouches for is not given to HDF5's C library: it follows lists that lead back to
themselves, descends into nested types as deep as they go, and asks for memory before it looks whether
the data is there.  Here every structure is read through a `Source`, which counts how many and how large
they are, and nothing is recursive that a file may nest.  The checksums of structures are not looked at: they
would say nothing of the values, which `lavadl_ref.exchange.digest` covers.

What is understood is what HDF5's own library writes for groups and for datasets of numbers and strings,
in its oldest format and in its newest: contiguous, compact and chunked data, gzip, shuffle and checksums.
What else there is (references, compound types, links to other files) is named in an error.

>>> import tempfile, h5py
>>> with tempfile.TemporaryDirectory() as folder:
...     with h5py.File(f"{folder}/x.h5", "w") as file:
...         file["layer/0/shape"] = [2, 3]
...     with open(f"{folder}/x.h5", "rb") as raw:
...         shape = root(Source(raw)).open("layer").open("0").open("shape")
...         shape.read().tolist()
[2, 3]
"""

from lavadl_ref.exchange.hdf5.decoder import Dataset, Group, Object, Source, root

__all__ = ["Dataset", "Group", "Object", "Source", "root"]
