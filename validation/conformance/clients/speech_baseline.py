"""Noise suppression on spectrograms with sigma-delta neurons: the shape of a public baseline, small."""

import lava.lib.dl.slayer as slayer
import torch
import torch.nn.functional as F

BINS, HOP, OUT_DELAY = 17, 16, 2


def spectrogram(wave):
    """Magnitude and phase, (N, bins, frames)."""
    found = torch.stft(wave, 2 * HOP, HOP, window=torch.ones(2 * HOP), onesided=True, return_complex=True)
    return found.abs(), found.angle()


def waveform(magnitude, phase):
    return torch.istft(torch.polar(magnitude, phase), 2 * HOP, HOP, window=torch.ones(2 * HOP), onesided=True)


def si_snr(wave, target):
    wave, target = wave - wave.mean(-1, keepdim=True), target - target.mean(-1, keepdim=True)
    along = (wave * target).sum(-1, keepdim=True) * target / (target.pow(2).sum(-1, keepdim=True) + 1e-8)
    rest = wave - along
    return 10 * torch.log10(along.pow(2).sum(-1) / (rest.pow(2).sum(-1) + 1e-8) + 1e-8)


class Network(torch.nn.Module):
    def __init__(self, threshold=0.1, tau_grad=0.1, scale_grad=0.8, max_delay=16, hidden=24):
        super().__init__()
        params = {
            "threshold": threshold, "tau_grad": tau_grad, "scale_grad": scale_grad, "requires_grad": False,
            "shared_param": True, "activation": F.relu,
        }  # fmt: skip
        block = slayer.block.sigma_delta
        self.input_quantizer = lambda x: slayer.utils.quantize(x, step=1 / 64)
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(params),
                block.Dense(params, BINS, hidden, weight_norm=False, delay=True, delay_shift=True),
                block.Dense(params, hidden, hidden, weight_norm=False, delay=True, delay_shift=True),
                block.Output(params, hidden, BINS, weight_norm=False),
            ]
        )
        self.blocks[0].pre_hook_fx = self.input_quantizer
        self.blocks[1].delay.max_delay = max_delay
        self.blocks[2].delay.max_delay = max_delay

    def forward(self, noisy):
        x = noisy - 2.0
        for block in self.blocks:
            x = block(x)
        mask = torch.relu(x + 1)
        return slayer.axon.delay(noisy, OUT_DELAY) * mask


def run(seed):
    torch.manual_seed(seed)
    frames = 40
    clean = torch.sin(torch.arange(HOP * frames) * 0.3).repeat(2, 1) * torch.tensor([[1.0], [8.0]])
    noisy = clean + 0.3 * torch.randn(clean.shape)
    found = {f"wave_{n}": slayer.axon.delay(noisy, n) for n in (0, 1, OUT_DELAY * HOP, 2 * HOP * frames)}
    magnitude, phase = spectrogram(noisy)
    found["largest"] = magnitude.max()
    found["quantised"] = Network().blocks[0](torch.tensor([3.0, 50, 120, 139.9921875]).reshape(1, 4, 1))
    net = Network()
    denoised = net(magnitude)
    clean_magnitude, _ = spectrogram(slayer.axon.delay(clean, OUT_DELAY * HOP))
    score = si_snr(waveform(denoised, slayer.axon.delay(phase, OUT_DELAY)), slayer.axon.delay(clean, OUT_DELAY * HOP))
    loss = 0.001 * F.mse_loss(denoised, clean_magnitude) + (100 - score.mean())
    loss.backward()
    found.update(denoised=denoised.detach(), score=score.detach(), loss=loss.detach())
    for index in (1, 2):
        found[f"delay_{index}"] = net.blocks[index].delay.delay.detach().flatten()
    found["gradient"] = net.blocks[3].synapse.weight.grad.clone().flatten(1)
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.abs().sum()))
