"""Check that training, the integer reference and Lava agree, or find the first place at which they differ.

`verify` runs a file on one input with all backends, and compares every spike of every layer at every step, and the
final states in Lava. `trained` does the same for blocks in memory and the file that they would export.

All backends are compared in the deployed time base: slayer's step t of a layer is step n = t + start of that layer
(`exchange.Network.start_steps`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from lavadl_ref import exchange
from lavadl_ref._arguments import described, positive, whole
from lavadl_ref._cost import MEGABYTES
from lavadl_ref.cli.doctor import missing
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.exchange import Input
from lavadl_ref.verify.inputs import chosen_input, exact_integers, input_shape, random_input
from lavadl_ref.verify.lava_path import compare_lava
from lavadl_ref.verify.report import Array, Comparison, Divergence, LayerResult, Report, new_report
from lavadl_ref.verify.slayer_path import compare_outputs, compare_slayer

__all__ = [
    "Comparison",
    "Divergence",
    "LayerResult",
    "Report",
    "exact_integers",
    "input_shape",
    "random_input",
    "trained",
    "verify",
]


def verify(
    net_config: str | os.PathLike[str] | exchange.Network,
    inputs: Array | None = None,
    steps: int | None = None,
    *,
    slayer: bool = True,
    lava: bool = True,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    timeout: float | None = None,
    in_process: bool = False,
    seed: int | None = None,
    rate: float | None = None,
    megabytes: float = MEGABYTES,
) -> Report:
    """Run one input through the reference, slayer and Lava and compare all integers.

    Parameters
    ----------
    net_config : path or exchange.Network
        The network.
    inputs : ndarray, optional
        (\\*shape, T) integers as `reference.Network` takes them: spikes, sigma-delta messages, or
        the current of an input layer; `random_input` by default.
    steps : int, optional
        Number of steps, at most those of `inputs`. By default all steps of `inputs`, or 64 of a random input.
    slayer, lava : bool
        The backends to compare with the reference.
    reset_interval, reset_offset : int, optional
        As in `reference.Network`, for a stream of samples. Slayer then processes each window between resets as a
        separate sample, with the one-step shift of its blocks turned off, because the staggered resets replace it.
    timeout : float, optional
        Seconds that Lava may take; the default grows with the number of steps.
    in_process : bool
        Run Lava's process models in this Python process (`lavadl_ref.netx.inprocess`) instead of in one process each,
        which takes only milliseconds.
    seed, rate : int, float, optional
        Seed and rate of the random input, see `random_input`.
    megabytes : float
        Largest memory that the run may take, as estimated in advance.

    Returns
    -------
    Report
        ``skipped`` lists the backends that cannot run the network, with the reason.

    Raises
    ------
    exchange.ExchangeError, NotImplementedError, ValueError, TypeError
        As `reference.Network` and its ``run``; also if an argument would have no effect, or if the run would take more
        than `megabytes`.
    lavadl_ref.netx.runtime.LavaRunError
        If Lava fails or does not finish.

    Examples
    --------
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> report = verify(Network((Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron),)), lava=False)
    >>> report.exact, report.compared, list(report.layers[0].paths)
    (True, 64, ['slayer'])
    """
    network = described(net_config)
    _check_options(lava, reset_interval, reset_offset, timeout, in_process)
    resets = {"reset_interval": reset_interval, "reset_offset": reset_offset}
    deployed = reference.Network(network, **resets)  # type: ignore[arg-type]
    x, random = chosen_input(deployed, inputs, steps, seed, rate, megabytes, lava)
    run, seconds = _timed(deployed, x)
    report = new_report(network, run, x.shape[-1])
    report.random = random
    report.seconds["reference"] = seconds
    if slayer:
        _attempt(report, "slayer", lambda: compare_slayer(report, network, run, x, reset_interval, reset_offset))
    if lava:
        _attempt(report, "lava", lambda: compare_lava(report, network, run, x, resets, timeout, in_process))
    return report


def _check_options(
    lava: bool, reset_interval: int | None, reset_offset: int, timeout: float | None, in_process: bool
) -> None:
    """Raise for what is out of range or would have no effect."""
    if whole("reset_offset", reset_offset, 0) and reset_interval is None:
        raise ValueError(f"reset_offset needs a reset_interval, got {reset_offset} alone")
    if timeout is not None:
        positive("timeout", timeout)
    for name, given in (("timeout", timeout is not None), ("in_process", in_process)):
        if given and not lava:
            raise ValueError(f"{name} must be left out where Lava does not run (lava=False, --no-lava)")


def trained(blocks: Iterable[Any], x: Any) -> Report:
    """Compare the blocks of a trained network in memory with the reference run of their export.

    Parameters
    ----------
    blocks : iterable of slayer or bootstrap blocks
        The blocks in order, in evaluation mode.
    x : Tensor
        float32 (B, \\*shape, T): spikes or messages of B samples, or for an input block whatever it takes.

    Returns
    -------
    Report

    Examples
    --------
    >>> import torch
    >>> from lavadl_ref.slayer.block import cuba
    >>> params = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.03}
    >>> report = trained([cuba.Dense(params, 3, 2).eval()], torch.ones(4, 3, 10))
    >>> report.exact, report.compared
    (True, 80)
    """
    import torch

    from lavadl_ref.slayer.block import describe

    blocks = list(blocks)
    outputs, y = [], x
    began = time.perf_counter()
    with torch.no_grad():
        for block in blocks:
            y = getattr(block, "deployed", block)(y)
            y = y[0] if isinstance(y, tuple) else y
            outputs.append(y.numpy())
    seconds = time.perf_counter() - began
    network = describe.network(blocks)
    exchange.check(network)
    first = network.layers[0]
    if isinstance(first, Input) and first.neuron is not None:
        gained = blocks[0].pre_hook_fx(x).numpy().astype(np.float64) * first.weight + first.bias
        inputs = exact_integers(gained, 1, "input current in 1/64")
    else:
        inputs = exact_integers(x.numpy(), 2 ** deployment.input_bits(network.layers), "network input")
    run, reference_seconds = _timed(reference.Network(network), inputs)
    report = new_report(network, run, inputs.shape[-1], len(inputs))
    report.seconds = {"reference": reference_seconds, "slayer": seconds}
    compare_outputs(report, network, run, outputs, network.start_steps)
    return report


def _timed(deployed: reference.Network, x: Array) -> tuple[reference.Run, float]:
    """The reference run with everything recorded, and its seconds."""
    with suppress(TypeError, ValueError):  # which the run below raises with the whole input
        deployed.run(x[..., :1])  # loads the kernels
    began = time.perf_counter()
    run = deployed.run(x, record=reference.RECORDABLE)
    return run, time.perf_counter() - began


def _attempt(report: Report, path: str, compare: Callable[[], None]) -> None:
    try:
        compare()
    except NotImplementedError as error:
        report.skipped[path] = str(error)
    except ImportError as error:
        report.skipped[path] = missing(error)
