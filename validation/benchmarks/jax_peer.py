"""Float CUBA neurons in JAX: compiled loops over time, as a user of its libraries of spiking networks writes them.

With I the current, V the voltage and s the spikes of a step::

    s[t] = 1 where V[t-1] > threshold
    I[t] = a I[t-1] + x[t]
    V[t] = b V[t-1] + I[t] - threshold s[t]

The gradient of a spike is 1 / (1 + k |V - threshold|)^2.  Weighted sums of all steps are one product, before the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import Tensor

from validation.benchmarks.measure import Job

CURRENT, VOLTAGE, THRESHOLD = 0.75, 0.97, 1.0  #: what is left after a step, and the threshold
STEEPNESS = 25.0  #: k
LEARNING, FIRST, SECOND, TINY = 1e-3, 0.9, 0.999, 1e-8  #: Adam's


def _neurons() -> Callable[[Any], Any]:
    """The spikes of neurons at rest for inputs (T, N, C)."""
    import jax
    from jax import numpy as jnp

    @jax.custom_jvp
    def fire(over: Any) -> Any:
        return (over > 0).astype(over.dtype)

    @fire.defjvp
    def surrogate(primals: Any, tangents: Any) -> Any:
        (over,), (change,) = primals, tangents
        return fire(over), change / (1 + STEEPNESS * jnp.abs(over)) ** 2

    def step(state: Any, x: Any) -> Any:
        current, voltage = state
        spike = fire(voltage - THRESHOLD)
        current = CURRENT * current + x
        voltage = VOLTAGE * voltage + current - THRESHOLD * spike
        return (current, voltage), spike

    def run(x: Any) -> Any:
        rest = jnp.zeros(x.shape[1:], x.dtype)
        return jax.lax.scan(step, (rest, rest), x)[1]

    return run


def _given(x: Tensor) -> Any:
    """`x` (N, C, T) as (T, N, C)."""
    from jax import numpy as jnp

    return jnp.asarray(x.permute(2, 0, 1).contiguous().numpy())


def neuron_jobs(x: Tensor) -> tuple[Job, Job]:
    """Forward, and forward with backward to the input, of neurons for `x` (N, C, T)."""
    import jax

    run, given = _neurons(), _given(x)
    forward = jax.jit(run)

    @jax.jit
    def both(x: Any) -> Any:
        spikes, back = jax.vjp(run, x)
        return spikes, back(jax.numpy.ones_like(spikes))

    return lambda: jax.block_until_ready(forward(given)), lambda: jax.block_until_ready(both(given))


def network_jobs(x: Tensor, wanted: Tensor, width: int) -> tuple[Job, Job, Job]:
    """A training step for rates `wanted` (N, classes), inference of all, and of one sample, of `x` (N, C, T)."""
    import jax
    from jax import numpy as jnp

    neurons, given, rates = _neurons(), _given(x), jnp.asarray(wanted.numpy())
    sizes = list(pairwise((x.shape[1], width, width, wanted.shape[1])))
    keys = jax.random.split(jax.random.key(0), len(sizes))
    weights = [
        jax.random.uniform(key, size, minval=-1, maxval=1) / size[0] ** 0.5
        for key, size in zip(keys, sizes, strict=True)
    ]

    def out(weights: Any, x: Any) -> Any:
        for weight in weights:
            x = neurons(x @ weight)
        return x

    def error(weights: Any, x: Any) -> Any:
        return ((out(weights, x).mean(0) - rates) ** 2).sum()

    @jax.jit
    def adam(weights: Any, first: Any, second: Any, count: Any, x: Any) -> Any:
        grads, count = jax.grad(error)(weights, x), count + 1
        first = [FIRST * m + (1 - FIRST) * g for m, g in zip(first, grads, strict=True)]
        second = [SECOND * v + (1 - SECOND) * g * g for v, g in zip(second, grads, strict=True)]
        weights = [
            w - LEARNING * (m / (1 - FIRST**count)) / (jnp.sqrt(v / (1 - SECOND**count)) + TINY)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return weights, first, second, count

    nothing = [jnp.zeros_like(weight) for weight in weights]
    state = (weights, nothing, nothing, jnp.zeros(()))
    infer = jax.jit(out)
    one = given[:, :1]

    def train() -> None:
        nonlocal state
        state = jax.block_until_ready(adam(*state, given))

    return (
        train,
        lambda: jax.block_until_ready(infer(state[0], given)),
        lambda: jax.block_until_ready(infer(state[0], one)),
    )
