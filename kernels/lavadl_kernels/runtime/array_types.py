"""Type aliases of the arrays in the kernels' signatures; docstrings give their shapes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = np.ndarray[Any, Any]  #: of any number type
Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

__all__ = ["Array", "Bools", "Floats", "Integers"]
