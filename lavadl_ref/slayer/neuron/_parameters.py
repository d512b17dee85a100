"""Conversion of the parameters of a ``.net`` file to the arguments of a neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from lavadl_kernels.neurons import FAMILIES

from lavadl_ref import exchange


class NeuronParams(Protocol):
    """The signature of every spiking family's ``neuron_params``."""

    __doc__: str | None

    def __call__(
        self, device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12
    ) -> dict[str, Any]: ...


def neuron_params_of(
    module: str, family: str, convert: Callable[[dict[str, Any], Mapping[str, Any], int], None] | None = None
) -> NeuronParams:
    """Create the function ``neuron_params`` of a family.

    Parameters
    ----------
    module : str
        Name of the module that it is an attribute of.
    family : str
        The family's name in a ``.net`` file.
    convert : callable, optional
        Replaces decays by what the constructor takes instead: of the arguments, the device parameters and `p_scale`.
    """

    def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12) -> dict[str, Any]:
        params = parameters_of(family, device_params, scale, p_scale)
        if convert is not None:
            convert(params, device_params, p_scale)
        return params

    fields = exchange.FAMILIES[family].fields
    needed = ", ".join(f"``{field.key}``" for field in fields if field.required)
    neuron_params.__module__, neuron_params.__qualname__ = module, "neuron_params"
    summary = "The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``."
    neuron_params.__doc__ = f"""{summary}

    Parameters
    ----------
    device_params : mapping
        With {needed}, and optionally ``gradedSpike``.
    scale, p_scale : int
        Integers per unit of thresholds and of decays.

    Returns
    -------
    dict
        Decays are floats, or arrays of one float per channel with ``shared_param`` False.

    Raises
    ------
    KeyError
        If a parameter is missing.
    """
    if convert is not None:
        neuron_params.__doc__ += f"{(convert.__doc__ or '').partition('------')[2].strip()}\n    "
    return neuron_params


def parameters_of(type: str, device_params: Mapping[str, Any], scale: int, p_scale: int) -> dict[str, Any]:
    """Device parameters in units of 1, by the names of the family's fields; arguments and errors as `neuron_params`."""
    params: dict[str, Any] = {}
    for field in exchange.FAMILIES[type].fields:
        if field.per_channel:
            values = np.asarray(device_params[field.key], dtype=np.float64).reshape(-1) / p_scale
            params[field.name] = float(values[0]) if values.size == 1 else values
        elif field.name in FAMILIES[type].constants:
            params[field.name] = device_params[field.key] / scale
        elif field.kind == "bool" and field.key in device_params:
            params[field.name] = bool(device_params[field.key])
    channels = max(np.size(value) for value in params.values())
    if channels > 1:
        # one number would be spread over the channels
        decays = {name: np.full(channels, params[name]) for name in _decays(type) if np.ndim(params[name]) == 0}
        params.update(decays, shared_param=False)
    return params


def _decays(type: str) -> list[str]:
    return [field.name for field in exchange.FAMILIES[type].fields if field.per_channel]
