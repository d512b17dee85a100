"""Modules that a script calls once per step around a running network: fixed-point conversion and a delay line.

Lava-DL knows this module as ``netx.modules`` too. Nothing here needs Lava.
"""

from __future__ import annotations

from collections import deque
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 2**53  # a float64 holds every integer below


class AbstractSeqModule:
    """Base class of modules that are called once per step.

    A subclass defines ``forward``; a call returns its result. If it has a method ``post_forward``, each call starts it
    on a thread of its own once ``forward`` has returned, without arguments, and the next call waits for it to end.

    Attributes
    ----------
    time_step : int
        Calls so far; 1 inside the first ``forward``.
    has_post_fx : bool
        Whether the class has ``post_forward``.
    post_fx_thread : threading.Thread or None
        Where ``post_forward`` of the last call runs, or ran.
    """

    def __init__(self) -> None:
        self.time_step = 0
        self.has_post_fx = callable(getattr(self, "post_forward", None))
        self.post_fx_thread: Thread | None = None
        self._failure: BaseException | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Return what ``forward`` returns for these arguments.

        Raises
        ------
        Exception
            Whatever ``post_forward`` of the call before raised.
        """
        self.join()
        self.time_step += 1
        result = self.forward(*args, **options)
        if self.has_post_fx:
            self.post_fx_thread = Thread(target=self._finish, name=f"{type(self).__name__}.post_forward")
            self.post_fx_thread.start()
        return result

    def forward(self, *args: Any, **options: Any) -> Any:
        """One step, which a subclass defines."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def join(self) -> None:
        """Wait for ``post_forward`` of the last call, and raise its exception if it raised one."""
        if self.post_fx_thread is not None:
            self.post_fx_thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _finish(self) -> None:
        try:
            self.post_forward()  # type: ignore[attr-defined]
        except BaseException as error:
            self._failure = error


class Quantize(AbstractSeqModule):
    """Convert real numbers to integers with `exp` fractional bits.

    Parameters
    ----------
    exp : int
        round(x * 2**exp); negative ones divide.
    """

    def __init__(self, exp: int = 0) -> None:
        super().__init__()
        self.exp = int(exp)

    def forward(self, x: Any) -> Any:
        """Round to the nearest integer, halves to the even one.

        Parameters
        ----------
        x : number, array or tensor
            Any shape.

        Returns
        -------
        ndarray or numpy.int64
            int64 of the same shape.

        Raises
        ------
        ValueError
            A number is not finite, or its result not below 2**53.
        """
        scaled = np.rint(np.ldexp(_array(x).astype(np.float64), self.exp))
        if not (np.abs(scaled) < EXACT).all():
            raise ValueError(f"Quantize(exp={self.exp}) needs finite numbers below 2**53 / 2**exp, got {x}")
        return scaled.astype(np.int64)[()]


class Dequantize(AbstractSeqModule):
    """Convert the integers of a register to real numbers.

    Parameters
    ----------
    exp : int
        Fractional bits: the result is x / 2**exp.
    num_raw_bits : int
        Width of the register, 1 to 32; its highest bit is the sign. Higher bits of x are not looked at, so
        signed and unsigned readings of the register give the same.

    Raises
    ------
    ValueError
        `num_raw_bits` is not from 1 to 32.
    """

    def __init__(self, exp: int = 0, num_raw_bits: int = 24) -> None:
        super().__init__()
        if not 1 <= num_raw_bits <= 32:
            raise ValueError(f"num_raw_bits must be from 1 to 32, got {num_raw_bits}")
        self.exp, self.num_raw_bits = int(exp), int(num_raw_bits)

    @property
    def shift_32(self) -> int:
        """32 - `num_raw_bits`: by how much the register is shifted to read its sign."""
        return 32 - self.num_raw_bits

    @shift_32.setter
    def shift_32(self, value: int) -> None:
        if not 0 <= value <= 31:
            raise ValueError(f"shift_32 must be from 0 to 31, got {value}")
        self.num_raw_bits = 32 - int(value)

    def forward(self, x: Any) -> Any:
        """Extend the sign and divide.

        Parameters
        ----------
        x : integer, array or tensor
            Any shape; floats must be whole.

        Returns
        -------
        ndarray or numpy.float64
            float64 of the same shape.

        Raises
        ------
        ValueError
            A number is not an integer below 2**53.
        """
        values = _array(x)
        if values.dtype.kind not in "biu":
            whole = values.astype(np.float64)
            if not ((np.abs(whole) < EXACT) & (np.trunc(whole) == whole)).all():
                raise ValueError(f"Dequantize needs integers below 2**53, got {x}")
        half = 1 << (self.num_raw_bits - 1)
        raw = ((values.astype(np.int64) + half) & (2 * half - 1)) - half
        return np.ldexp(raw.astype(np.float64), -self.exp)[()]


class FIFO(AbstractSeqModule):
    """A first-in, first-out buffer: returns the argument of `depth` calls earlier, None in the first `depth` calls.

    Parameters
    ----------
    depth : int
        At least 1.

    Raises
    ------
    ValueError
        `depth` is less than 1.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.buffer: deque[Any] = deque([None] * depth)

    def forward(self, x: Any) -> Any:
        """Put `x`, which is not copied, in and take the oldest out."""
        self.buffer.append(x)
        return self.buffer.popleft()


def _array(x: Any) -> NDArray[Any]:
    """`x` as an array, a tensor without its gradient."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
