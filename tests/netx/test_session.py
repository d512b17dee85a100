"""Networks of Lava processes built by hand run in this process as Lava defines it, or end with an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lavadl_ref.netx.run import runtime
from tests.support.lava import USABLE, WHY
from tests.support.one_process import nothing_left

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunContinuous, RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.io.reset import Reset
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

from lavadl_ref.netx.run import inprocess

__all__ = ["nothing_left"]


def leak(state, decay):
    """Decay by decay / 4096, toward zero."""
    return np.sign(state) * (np.abs(state) * (4096 - decay) >> 12)


class Loop:
    """One population of Lava's with three synapses: forward, feedback, delayed feedback."""

    steps = 60

    def __init__(self):
        rng = np.random.default_rng(3)
        self.x = (rng.random((6, self.steps)) < 0.3).astype(int)
        self.forward, self.back, self.late = (2 * rng.integers(-25, 35, (5, n)) for n in (6, 5, 5))
        self.delays = rng.integers(0, 4, (5, 5))
        source, forward = Source(data=self.x), Dense(weights=self.forward)
        back, late = Dense(weights=self.back), DelayDense(weights=self.late, delays=self.delays, max_delay=3)
        self.neurons = LIF(shape=(5,), du=700, dv=150, vth=70)
        source.s_out.connect(forward.s_in)
        forward.a_out.connect(self.neurons.a_in)
        for synapse in (back, late):
            self.neurons.s_out.connect(synapse.s_in)
            synapse.a_out.connect(self.neurons.a_in)

    def expected(self):
        """u, v and spikes after each step, (steps, 5)."""
        u, v = np.zeros(5, int), np.zeros(5, int)
        x = self.x.T
        us, vs, spikes = [], [], []
        for n in range(self.steps):
            a = self.forward @ x[n - 1] + self.back @ spikes[n - 1] if n else np.zeros(5, int)
            for d in range(min(n, 4)):
                a = a + np.where(self.delays == d, self.late, 0) @ spikes[n - 1 - d]
            u = leak(u, 701) + (a << 6)
            v = leak(v, 150) + u
            spike = v > 70 << 6
            v = np.where(spike, 0, v)
            us.append(u), vs.append(v), spikes.append(spike.astype(int))
        return np.array(us), np.array(vs), np.array(spikes)


def test_two_feedback_loops_on_one_population_run():
    loop = Loop()
    u, v, spikes = loop.expected()
    assert 0.1 < spikes.mean() < 0.9
    session = inprocess.Session(loop.neurons)
    sent = session.record(loop.neurons.s_out)
    for end in (1, 20, loop.steps):
        session.run(end - len(sent))
        assert (session.var(loop.neurons.u) == u[end - 1]).all()
        assert (session.var(loop.neurons.v) == v[end - 1]).all()
    assert (np.array(sent) == spikes).all()
    assert {message.dtype for message in sent} == {np.dtype(np.int32)}


def test_a_session_is_the_runtime_of_its_processes():
    loop = Loop()
    session = inprocess.Session(loop.neurons)
    loop.neurons.run(RunSteps(7))
    found = loop.neurons.v.get()
    assert (found == loop.expected()[1][6]).all()
    found[...] = -1
    assert (session.var(loop.neurons.v) != -1).all()
    loop.neurons.stop()
    with pytest.raises(ValueError, match="condition must be RunSteps, got"):
        loop.neurons.run(RunContinuous())


def test_a_process_may_write_variables_of_another():
    neurons, sink = LIF(shape=(2,), du=4095, dv=0, vth=100, bias_mant=[1, 2]), Sink(shape=(2,), buffer=9)
    neurons.s_out.connect(sink.a_in)
    reset = Reset(interval=4, offset=2)
    reset.connect_var(neurons.v)
    session = inprocess.Session(neurons)
    voltages = []
    for _ in range(9):
        session.run(1)
        voltages.append(session.var(neurons.v)[1])
    assert voltages == [2, 4, 0, 2, 4, 6, 0, 2, 4]


class Probe(AbstractProcess):
    """A process that does in each step what it is told to."""

    def __init__(self, behaviour, **options):
        super().__init__(behaviour=behaviour, **options)
        self.a_in, self.s_out, self.seen = InPort(shape=(2,)), OutPort(shape=(2,)), Var(shape=(2,), init=0)


@implements(proc=Probe, protocol=LoihiProtocol)
@requires(CPU)
class PyProbeModel(PyLoihiProcessModel):
    """Calls its process's `behaviour`."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int16)
    seen: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def run_spk(self):
        self.proc_params["behaviour"](self)


def session(*probes, **options):
    """A session of probes, which Lava need not search for models."""
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=dict.fromkeys(probes, PyProbeModel))
    return inprocess.Session(probes[0], config, **options)


def pass_on(model):
    model.s_out.send(model.a_in.recv())


def count(model):
    model.s_out.send(np.full(2, model.time_step))


def buffered(model):
    model.s_out.send(model.seen)
    model.seen = model.a_in.recv() + 1


def chain(*behaviours, closed=False):
    """Probes one after the other, in a ring if `closed`."""
    probes = [Probe(behaviour) for behaviour in behaviours]
    for before, after in zip(probes, probes[1:] + probes[:1] if closed else probes[1:], strict=False):
        before.s_out.connect(after.a_in)
    return probes


def test_a_long_chain_does_not_need_a_deep_stack():
    probes = chain(count, *[pass_on] * 150)
    running = session(*probes)
    sent = running.record(probes[-1].s_out)
    running.run(3)
    assert [message.tolist() for message in sent] == [[1, 1], [2, 2], [3, 3]]
    assert sent[0].dtype == np.int16


@pytest.mark.parametrize("order", [(pass_on, buffered, pass_on), (buffered, pass_on, pass_on), (pass_on, buffered)])
def test_a_ring_runs_if_one_of_its_processes_sends_first(order):
    probes = chain(*order, closed=True)
    running = session(*probes)
    sent = running.record(probes[0].s_out)
    running.run(4)
    assert [message[0] for message in sent] == [0, 1, 2, 3]


def test_a_ring_that_would_wait_for_ever_is_an_error():
    running = session(*chain(pass_on, pass_on, closed=True), name="the ring")
    with pytest.raises(runtime.LavaRunError, match=r"^the ring failed in a Lava process(.|\n)*waits for a message of"):
        running.run(2)


def test_a_process_that_sends_nothing_is_an_error():
    running = session(*chain(lambda model: None, pass_on))
    with pytest.raises(runtime.LavaRunError, match="a_in waits for a message of PyProbeModel that will not come"):
        running.run(2)


def test_messages_that_nobody_takes_are_an_error():
    """Lava's channel holds 64 of them, and the next one would wait for ever."""
    probes = chain(count, lambda model: None)
    session(*probes).run(64)
    with pytest.raises(runtime.LavaRunError, match="s_out sends, but 64 messages have not been received yet"):
        session(*chain(count, lambda model: None)).run(65)


def test_a_message_of_another_shape_is_an_error():
    running = session(*chain(lambda model: model.s_out.send(np.zeros(3)), pass_on))
    with pytest.raises(runtime.LavaRunError, match=r"s_out sends shape \(3,\), the channel has \(2,\)"):
        running.run(1)


def test_a_failure_inside_a_ring_is_reported():
    def fail(model):
        if model.time_step == 3:
            raise ArithmeticError("at step three")
        pass_on(model)

    running = session(*chain(fail, buffered, closed=True))
    with pytest.raises(runtime.LavaRunError, match="ArithmeticError: at step three"):
        running.run(5)
    with pytest.raises(runtime.LavaRunError, match="failed before, somewhere within a step"):
        running.run(1)


def test_an_interrupt_inside_a_ring_passes():
    def interrupt(model):
        if model.time_step == 2:
            raise KeyboardInterrupt
        pass_on(model)

    with pytest.raises(KeyboardInterrupt):
        session(*chain(interrupt, buffered, closed=True)).run(5)


def test_a_ring_ends_at_its_timeout():
    running = session(*chain(pass_on, buffered, closed=True), name="the ring", timeout=0.3)
    with pytest.raises(runtime.LavaTimeout, match=r"the ring did not finish within 0.3 s on Lava"):
        running.run(10_000_000)


def test_a_session_refuses_negative_steps():
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        session(*chain(count, pass_on)).run(-1)


def test_a_network_is_compiled_once():
    probes = chain(count, pass_on)
    session(*probes)
    with pytest.raises(runtime.LavaRunError, match=r"failed on Lava(.|\n)*compiled already"):
        session(*probes)


def test_a_variable_that_hides_a_method_of_the_model_is_an_error():
    """Lava's runtime would call it."""
    probe = Probe(count)
    probe.start = Var(shape=(1,), init=0)
    probe._post_init()
    with pytest.raises(runtime.LavaRunError, match=r"start of .* hides a method that Lava's runtime calls"):
        session(probe)
