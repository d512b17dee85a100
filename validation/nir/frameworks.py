"""Frameworks that read and write graphs of NIR: a graph run by each, and a model of each with the graph it writes."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from validation.benchmarks import stubs

Array = np.ndarray
INPUTS, HIDDEN, OUTPUTS = 12, 20, 5


@dataclass(frozen=True)
class Framework:
    """One framework, by its name in `lavadl_ref.nir.SOURCES`."""

    name: str
    module: str  #: what is imported to see whether it is there
    load: Callable[[Any], Callable[[Any, Any], Any]]  #: of a graph: a function of a frame and a state, both returned
    model: Callable[[], tuple[Any, Callable[[Any, Any], Any]]]  #: the graph of a model of its own, and that model
    told: dict[str, Any]  #: what an import must be told of its graphs

    @property
    def is_there(self) -> bool:
        """True if the framework can be imported, and what it needs for NIR."""
        try:
            with quiet():
                for name in ("nir", "nirtorch", self.module):
                    importlib.import_module(name)
        except Exception:  # whatever a broken installation raises
            return False
        return True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep frameworks from printing and warning."""
    stubs.install()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def run(step: Callable[[Any, Any], Any], inputs: Array) -> Array:
    """Run a framework's network: its output, (N, T), for inputs (\\*shape, T), one sample at a time."""
    state, found = None, []
    frames = torch.tensor(np.moveaxis(inputs, -1, 0), dtype=torch.float32)
    with torch.no_grad(), quiet():
        for frame in frames:
            out, state = step(frame[None], state)
            found.append(out.reshape(-1).numpy())
    return np.stack(found, -1)


# -- snnTorch


def _snntorch(graph: Any) -> Callable[[Any, Any], Any]:
    from snntorch.import_nir import import_from_nir

    module = import_from_nir(graph)

    def step(frame: Any, state: Any) -> Any:
        out = module(frame) if state is None else module(frame, state)
        return (out[0][0] if isinstance(out[0], tuple) else out[0], out[1]) if isinstance(out, tuple) else (out, None)

    return step


def _of_snntorch() -> tuple[Any, Callable[[Any, Any], Any]]:
    import snntorch
    from snntorch.export_nir import export_to_nir

    def options(size: int) -> dict[str, Any]:
        reset = {"reset_mechanism": "zero", "reset_delay": False}
        return {"beta": torch.full((size,), 0.9), "threshold": torch.ones(size), "init_hidden": True, **reset}

    net = torch.nn.Sequential(
        torch.nn.Linear(INPUTS, HIDDEN),
        snntorch.Leaky(**options(HIDDEN)),
        torch.nn.Linear(HIDDEN, OUTPUTS),
        snntorch.Synaptic(alpha=torch.full((OUTPUTS,), 0.7), **options(OUTPUTS)),
    )
    graph = export_to_nir(net, torch.zeros(1, INPUTS), ignore_dims=[0])
    for module in net:
        getattr(module, "reset_mem", getattr(module, "reset_hidden", lambda: None))()
    return graph, lambda frame, state: (net(frame), None)


# -- norse


def _norse(graph: Any) -> Callable[[Any, Any], Any]:
    from norse.torch.utils.import_nir import from_nir

    module: Callable[[Any, Any], Any] = from_nir(graph, dt=1e-4)
    return module


def _of_norse() -> tuple[Any, Callable[[Any, Any], Any]]:
    import norse.torch as norse
    from norse.torch.utils.export_nir import to_nir

    def parameters(size: int) -> Any:
        each = torch.ones(size)
        return norse.LIFParameters(100 * each, 200 * each, 0 * each, 0.4 * each, 0 * each)

    net = norse.SequentialState(
        torch.nn.Linear(INPUTS, HIDDEN),
        norse.LIFCell(p=parameters(HIDDEN)),
        torch.nn.Linear(HIDDEN, OUTPUTS),
        norse.LIFCell(p=parameters(OUTPUTS)),
    )
    # a graph of a sample with a batch does not read back
    return to_nir(net, torch.zeros(INPUTS)), lambda frame, state: net(frame[0], state)


# -- SpikingJelly


def _spikingjelly(graph: Any) -> Callable[[Any, Any], Any]:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    module: Callable[[Any, Any], Any] = import_from_nir(graph, dt=1e-4)
    return module


def _of_spikingjelly() -> tuple[Any, Callable[[Any, Any], Any]]:
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    net = torch.nn.Sequential(
        layer.Linear(INPUTS, HIDDEN),
        neuron.LIFNode(tau=5.0, decay_input=False, v_reset=0.0),
        layer.Linear(HIDDEN, OUTPUTS),
        neuron.CUBALIFNode(c_decay=0.7, v_decay=0.9, v_reset=0.0),
    )
    graph = export_to_nir(net, torch.zeros(1, INPUTS))
    for module in net:
        getattr(module, "reset", lambda: None)()
    return graph, lambda frame, state: (net(frame), None)


FRAMEWORKS = (
    Framework("snntorch", "snntorch", _snntorch, _of_snntorch, {"reset": "zero"}),
    Framework("norse", "norse.torch", _norse, _of_norse, {"reset": "zero", "dt": 1e-3}),
    Framework("spikingjelly", "spikingjelly.activation_based.neuron", _spikingjelly, _of_spikingjelly, {}),
)
