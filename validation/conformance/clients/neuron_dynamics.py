"""The building blocks of neurons on a single trace, then the same neurons as modules."""

import lava.lib.dl.slayer as slayer
import torch

dynamics = slayer.neuron.dynamics
ONE = 1 << 12


def trace(steps):
    x = torch.zeros(steps)
    x[torch.randint(steps, (steps // 5,))] = 1
    return x * torch.randint(-16, 48, (steps,)) / 64


def single(steps):
    decay, state = torch.FloatTensor([0.1 * ONE]).round(), torch.FloatTensor([0])
    turn = 2 * torch.pi / 10
    sin, cos = (torch.FloatTensor([0.95 * f(torch.tensor(turn)) * ONE]).round() for f in (torch.sin, torch.cos))
    x, y = trace(steps), trace(steps)
    found = {}
    found["current"] = dynamics.leaky_integrator.dynamics(x, decay=decay, state=state, w_scale=ONE)
    found["voltage"] = dynamics.leaky_integrator.dynamics(x, decay=decay, state=state, w_scale=ONE, threshold=1.0)
    found["spike"] = (found["voltage"] >= 1).float()
    found["threshold"], found["refractory"] = dynamics.adaptive_threshold.dynamics(
        found["current"], ref_state=state, ref_decay=decay, th_state=state + 0.5, th_decay=decay / 2,
        th_scale=0.25, th0=0.5, w_scale=ONE,
    )  # fmt: skip
    found["real"], found["imag"] = dynamics.resonator.dynamics(
        x, y, sin_decay=sin, cos_decay=cos, real_state=state, imag_state=state, w_scale=ONE
    )
    found["phase_threshold"], found["phase_refractory"] = dynamics.adaptive_phase_th.dynamics(
        found["real"], found["imag"], im_state=state, ref_state=state, ref_decay=decay, th_state=state + 0.5,
        th_decay=decay / 2, th_scale=0.25, th0=0.5, w_scale=ONE,
    )  # fmt: skip
    names = ("adaptive_real", "adaptive_imag", "adaptive_threshold", "adaptive_refractory")
    states = dynamics.adaptive_resonator.dynamics(
        x, y, sin_decay=sin, cos_decay=cos, ref_decay=decay, th_decay=decay / 2, real_state=state, imag_state=state,
        ref_state=state, th_state=state + 0.5, th_scale=0.25, th0=0.5, w_scale=ONE,
    )  # fmt: skip
    return found | dict(zip(names, states, strict=True))


def modules(steps):
    found = {}
    cuba = slayer.neuron.cuba.Neuron(threshold=1, current_decay=0.25, voltage_decay=0.05)
    x = 2 * trace(steps).reshape(1, 1, steps).repeat(3, 4, 1)
    current, voltage = cuba.dynamics(x)
    found.update(cuba_current=current, cuba_voltage=voltage, cuba_spike=cuba.spike(voltage))
    alif = slayer.neuron.alif.Neuron(
        threshold=0.75, threshold_step=0.25, current_decay=0.25, voltage_decay=0.05, threshold_decay=0.1,
        refractory_decay=0.2,
    )  # fmt: skip
    current, voltage, threshold, refractory = alif.dynamics(x)
    found.update(alif_current=current, alif_voltage=voltage, alif_threshold=threshold, alif_refractory=refractory)
    found["alif_spike"] = alif.spike(voltage, threshold, refractory)
    for name in ("rf", "rf_iz"):
        neuron = getattr(slayer.neuron, name).Neuron(threshold=0.5, period=10, decay=0.05)
        real, imag = neuron.dynamics((x, x.roll(3, -1)))
        found.update({f"{name}_real": real, f"{name}_imag": imag, f"{name}_spike": neuron.spike(real, imag)})
    return found


def run(seed):
    torch.manual_seed(seed)
    return {**single(200), **modules(120)}


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.abs().sum()))
