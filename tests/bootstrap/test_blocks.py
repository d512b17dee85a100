"""Every block of every family: as slayer's in SNN, as synapse, norm and curve in ANN, and what is refused."""

import copy
import inspect
import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lavadl_ref import bootstrap, slayer
from lavadl_ref.bootstrap import Mode
from lavadl_ref.bootstrap.block.base import AbstractBlock
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support.families import ADAPTIVE, COMPLEX, RATED
from tests.support.matrix import FAMILIES

T = 20
RESONATORS = [name for name in RATED if name in COMPLEX]
PHASE = ["rf", "adrf"]

#: block: arguments behind the neuron's, input without its time
BLOCKS = {
    "Input": ((), (2, 6, 7)),
    "Dense": ((12, 8), (12,)),
    "Conv": ((2, 3, 3), (2, 6, 7)),
    "Pool": ((2,), (2, 6, 6)),
    "Affine": ((12, 5), (12,)),
}
NEURONS = ["Input", "Dense", "Conv", "Pool"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


#: where a rate says most about what a resonator that is not reset does
SLOW = {name: {"period": 12, "decay": 0.3, "threshold": 0.75} for name in RESONATORS if name in ADAPTIVE}


def make(family, name, package=bootstrap, **options):
    arguments = () if name == "Input" else BLOCKS[name][0]
    if name == "Input":
        options = {"weight": 1.0, "bias": 0.0, **options}
    params = {**FAMILIES[family], **options.pop("neuron", {})}
    return getattr(getattr(package.block, family), name)(params, *arguments, **options)


def signal(name, family="cuba", steps=T, n=4):
    """Spikes; messages that begin with a value and change little; pictures."""
    shape = (n, *BLOCKS[name][1])
    if name == "Input":
        return torch.rand(*shape, 1).expand(*shape, steps).contiguous()
    if family == "sigma_delta":
        changes = (torch.rand(*shape, steps) < 0.2) * torch.randn(*shape, steps) / 8
        changes[..., 0] = torch.rand(shape)
        return changes
    return (torch.rand(*shape, steps) < torch.rand(*shape, 1)).float()


def described(block):
    with h5py.File(io.BytesIO(), "w") as file:
        block.export_hdf5(file)
        return {name: (dataset.dtype, np.asarray(dataset[()]).tolist()) for name, dataset in datasets(file)}


def datasets(file):
    found = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return found


def sampled(block, x):
    block(x, mode=Mode.SAMPLE)
    block.fit()
    return block


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NEURONS)
def test_spiking_is_slayers(family, name):
    block, plain = make(family, name), make(family, name, slayer, delay_shift=False)
    plain.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("f.")})
    x = signal(name, family).requires_grad_()
    y = block(x, mode=Mode.SNN)
    z = x.detach().requires_grad_()
    expected = plain(z)
    assert torch.equal(y, expected)
    weights = torch.randn(y.shape)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(x.grad, z.grad)
    assert described(block) == described(plain)
    assert y.stride() == expected.stride()


@pytest.mark.parametrize("family", FAMILIES)
def test_affine_is_weighted_sums_in_every_mode(family):
    block, plain = make(family, "Affine"), make(family, "Affine", slayer, dynamics=False)
    plain.load_state_dict(block.state_dict(), strict=False)
    x = signal("Affine", family)
    sums = plain(x)
    expected = sums.cumsum(-1) if family == "sigma_delta" else sums
    for mode in Mode:
        torch.testing.assert_close(block(x, mode=mode), expected, rtol=0, atol=1e-5)
    assert block.fit() is None


@pytest.mark.parametrize("name", ["Flatten", "Average"])
def test_blocks_without_neurons_are_the_same_in_every_mode(name):
    arguments = () if name == "Flatten" else (2,)
    block = getattr(bootstrap.block.cuba, name)(*arguments)
    plain = getattr(slayer.block.cuba, name)(*arguments)
    x = torch.rand(3, 4, 2, 2, T)
    for mode in Mode:
        assert torch.equal(block(x, mode=mode), plain(x))
    assert block.fit() is None
    assert described(block) == described(plain)


@pytest.mark.parametrize("family", RATED)
@pytest.mark.parametrize("name", NEURONS)
def test_samples_hold_rates_and_drives(family, name):
    block = make(family, name)
    x = signal(name, family)
    y = block(x, mode=Mode.SAMPLE)
    assert torch.equal(y, block(x, mode=Mode.SNN))
    sent = y.cumsum(-1) if family == "sigma_delta" else y
    assert torch.equal(torch.from_numpy(block.f.a), sent.mean(-1).flatten())
    assert block.f.z.size == block.f.a.size
    assert int(block.f.steps) == T


@pytest.mark.parametrize("family", ["cuba", "alif"])
@pytest.mark.parametrize("name", NEURONS)
def test_the_drive_is_the_mean_weighted_input(family, name):
    block = make(family, name)
    x = signal(name)
    block(x, mode=Mode.SAMPLE)
    z = block._scaled(x) if name == "Input" else block.synapse(x)
    torch.testing.assert_close(torch.from_numpy(block.f.z), z.mean(-1).flatten())
    block.fit()
    rates = block(x, mode=Mode.ANN)
    torch.testing.assert_close(rates, block.f(z.mean(-1, keepdim=True)), atol=1e-5, rtol=0)
    steady = x.mean(-1, keepdim=True)
    torch.testing.assert_close(block(steady, mode=Mode.ANN), rates, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", RESONATORS)
def test_the_drive_of_a_resonator_is_its_scaled_mean_input(family):
    block = make(family, "Dense")
    x = signal("Dense")
    block(x, mode=Mode.SAMPLE)
    lam = complex(block.neuron.cx_cos_decay, block.neuron.cx_sin_decay) / 4096
    real, imag = (part.mean(-1).detach().numpy() for part in block.synapse(x))
    factor = 1 + lam if family == "rf_iz" else 1 / (1 - lam)
    np.testing.assert_allclose(block.f.z, ((real + 1j * imag) * factor).imag.flatten(), atol=1e-5)


@pytest.mark.parametrize("family", RESONATORS)
@pytest.mark.parametrize("steps", [16, 64])
def test_the_drive_of_resonators_tells_the_rate(family, steps):
    """Most of the variance of rates is between, not within, groups of neurons with about one drive."""
    params = {**FAMILIES[family], "threshold": 1.0, "period": 10, "decay": 0.2}
    block = getattr(bootstrap.block, family).Dense(params, 128, 64, weight_scale=4)
    x = (torch.rand(64, 128, steps) < torch.rand(64, 128, 1)).float()
    block(x, mode=Mode.SAMPLE)

    def explained(drive):
        groups = block.f.a[np.argsort(drive)].reshape(-1, 32)
        return 1 - groups.var(axis=1).mean() / block.f.a.var()

    assert explained(block.f.z) > 0.85
    real, imag = (part.mean(-1).flatten().detach().numpy() for part in block.synapse(x))
    assert all(explained(other) < explained(block.f.z) for other in (real, imag, np.hypot(real, imag)))


@pytest.mark.parametrize("name", NEURONS)
def test_sigma_delta_is_exact_up_to_the_threshold(name):
    block = make("sigma_delta", name, neuron={"threshold": 1 / 64})
    if name != "Input":
        block.neuron.set_bias(torch.tensor([0.25]))
    x = signal(name, "sigma_delta")
    # of a sum that changes sign in between the mean of the activation is not the activation of the mean
    steady = torch.cat([x[..., :1], torch.zeros_like(x[..., 1:])], -1) if name != "Input" else x
    sent = block(steady, mode=Mode.SNN).cumsum(-1).mean(-1, keepdim=True)
    rates = block(steady, mode=Mode.ANN)
    assert rates.shape[-1] == 1
    assert rates.std() > 0.01
    torch.testing.assert_close(rates, sent, atol=1 / 64 + 1e-5, rtol=0)
    assert block(steady, mode=Mode.FIT).equal(rates)  # without samples: nothing to fit


@pytest.mark.parametrize("family", RATED)
def test_rates_are_those_of_the_spikes(family):
    """ANN follows SNN: on new data rates correlate, and their mean is close."""
    neuron = SLOW.get(family, {})
    block = sampled(make(family, "Dense", neuron=neuron, weight_scale=4), signal("Dense", family, n=400))
    x = signal("Dense", family, n=100)
    sent = block(x, mode=Mode.SNN)
    spiking = (sent.cumsum(-1) if family == "sigma_delta" else sent).mean(-1).flatten()
    rates = block(x, mode=Mode.ANN).flatten()
    assert torch.corrcoef(torch.stack([spiking, rates]))[0, 1] > 0.9
    assert abs(spiking.mean() - rates.mean()) < 0.05


@pytest.mark.parametrize("family", RATED)
def test_gradients_reach_every_weight(family):
    block = sampled(make(family, "Dense", weight_scale=4), signal("Dense", family, n=100))
    x = signal("Dense", family).mean(-1, keepdim=True).requires_grad_()
    block(x, mode=Mode.ANN).square().sum().backward()
    assert x.grad.abs().sum() > 0
    parameters = [p for name, p in block.named_parameters() if name.startswith("synapse")]
    assert all(p.grad.abs().sum() > 0 for p in parameters)


@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("family", RATED)
def test_a_norm_sees_what_it_sees_in_spiking_neurons(family, norm):
    """The curve is fitted over normalised drives, and rates gather the mean that spikes would."""
    block = make(family, "Dense", neuron={**SLOW.get(family, {}), "norm": norm}, weight_scale=4)
    x = signal("Dense", family, n=200)
    for _ in range(60):  # running statistics settle
        block(x, mode=Mode.SNN)
    norms = [module for module in block.modules() if isinstance(module, MeanOnlyBatchNorm)]
    before = [each.running_mean.clone() for each in norms]
    block(x, mode=Mode.SAMPLE)
    block.fit()
    block.train()
    for _ in range(60):
        block(x, mode=Mode.ANN)
    for each, mean in zip(norms, before, strict=True):
        assert mean.abs().max() > 0.03
        torch.testing.assert_close(each.running_mean, mean, atol=0.15 * mean.abs().max().item(), rtol=0)
    block.eval()
    sent = block(x, mode=Mode.SNN)
    spiking = (sent.cumsum(-1) if family == "sigma_delta" else sent).mean(-1).flatten()
    assert torch.corrcoef(torch.stack([spiking, block(x, mode=Mode.ANN).flatten()]))[0, 1] > 0.85


def test_sampling_gathers_a_norms_statistics_once():
    block, plain = (
        make("cuba", "Dense", package, neuron={"norm": MeanOnlyBatchNorm}) for package in (bootstrap, slayer)
    )
    plain.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("f.")})
    x = signal("Dense")
    block(x, mode=Mode.SAMPLE), plain(x)
    assert torch.equal(block.neuron.norm.running_mean, plain.neuron.norm.running_mean)
    assert block.neuron.norm.update


def test_dropout_takes_no_part_in_samples():
    block = make("cuba", "Dense", neuron={"dropout": slayer.neuron.Dropout(0.5)}, weight_scale=4)
    x = signal("Dense")
    y = block(x, mode=Mode.SAMPLE)
    assert set(y.unique().tolist()) == {0, 2}
    block.eval()
    assert torch.equal(torch.from_numpy(block.f.a), block(x, mode=Mode.SNN).mean(-1).flatten())
    block.fit()
    whole = block(x, mode=Mode.ANN)
    dropped = block.train()(x, mode=Mode.ANN)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
    assert 0.2 < (dropped[whole > 0] == 0).float().mean() < 0.8


@pytest.mark.parametrize("family", RATED)
def test_a_rate_is_held_for_the_steps_that_were_sampled(family):
    """As a spiking layer needs where the network is fed with rates."""
    for name in ("Input", "Dense"):
        block = make(family, name, weight_scale=4) if name == "Dense" else make(family, name)
        x = signal(name, family)
        rate = x[..., :1] if name == "Input" else torch.rand(4, 12, 1)
        assert block(rate, mode=Mode.SNN).shape[-1] == 1
        block(x, mode=Mode.SAMPLE)
        held = block(rate, mode=Mode.SNN)
        steady = rate.expand(*rate.shape[:-1], T)
        if family == "sigma_delta" and name == "Dense":
            steady = torch.nn.functional.pad(rate, (0, T - 1))
        assert torch.equal(held, block(steady, mode=Mode.SNN))
        assert torch.equal(block.deployed(rate), make_same(block)(rate, mode=Mode.SNN))


def make_same(block):
    """`block` before it was sampled."""
    fresh = copy.deepcopy(block)
    fresh.f.steps = torch.tensor(0)
    return fresh


@pytest.mark.parametrize("family", FAMILIES)
def test_signatures_are_slayers_but_for_the_shift(family):
    for name in BLOCKS:
        ours, theirs = (inspect.signature(getattr(getattr(p.block, family), name)) for p in (bootstrap, slayer))
        assert list(ours.parameters) == list(theirs.parameters)
        for parameter in ours.parameters.values():
            expected = theirs.parameters[parameter.name].default
            assert parameter.default == (False if parameter.name == "delay_shift" else expected)


def test_delay_shift_of_a_block_is_off_by_default():
    x = signal("Dense")
    block = make("cuba", "Dense", weight_scale=4)
    late = make("cuba", "Dense", delay_shift=True)
    late.load_state_dict(block.state_dict())
    y = block(x, mode=Mode.SNN)
    assert not block.delay_shift
    assert torch.equal(late(x, mode=Mode.SNN)[..., 1:], y[..., :-1])


def test_the_logged_count_is_the_mean_rate():
    block = make("cuba", "Dense", count_log=True, weight_scale=4)
    x = signal("Dense")
    _, rate = block(x, mode=Mode.SAMPLE)
    assert 0 < rate < 1
    rates, share = block(x, mode=Mode.FIT)
    assert rates.shape == (4, 8, 1)
    assert share == pytest.approx((rates != 0).float().mean().item())


@pytest.mark.parametrize("mode", [Mode.ANN, Mode.SAMPLE, Mode.FIT])
@pytest.mark.parametrize("family", PHASE)
@pytest.mark.parametrize("name", NEURONS)
def test_neurons_with_spikes_by_phase_have_no_rates(family, name, mode):
    said = f"a {name} block of {family} neurons cannot run in Mode.{mode.name}: they fire by phase"
    with pytest.raises(ValueError, match=said):
        make(family, name)(signal(name), mode=mode)


@pytest.mark.parametrize("mode", [Mode.ANN, Mode.SAMPLE, Mode.FIT])
def test_delays_have_no_rates(mode):
    block = make("cuba", "Dense", delay=True)
    assert block(signal("Dense"), mode=Mode.SNN).shape == (4, 8, T)
    with pytest.raises(ValueError, match=f"delay=True cannot run in Mode.{mode.name}: rates show no delays"):
        block(signal("Dense"), mode=mode)


@pytest.mark.parametrize("mode", [Mode.ANN, Mode.FIT])
def test_rates_need_a_sample(mode):
    with pytest.raises(
        RuntimeError, match=r"a Dense block of cuba neurons has no rate curve and no samples .* Mode.SAMPLE"
    ):
        make("cuba", "Dense")(signal("Dense"), mode=mode)


def test_a_first_fit_is_made_where_an_epoch_was_too_short_for_it():
    block = make("cuba", "Dense")
    x = signal("Dense")
    block(x, mode=Mode.SAMPLE)
    block(x, mode=Mode.ANN)
    assert block.f.fitted


def test_misuse_of_modes_is_refused():
    with pytest.raises(TypeError, match=r"mode must be a bootstrap.Mode, got 'ann'"):
        make("cuba", "Dense")(signal("Dense"), mode="ann")
    with pytest.raises(ValueError, match="a Input block of bootstrap needs neurons"):
        bootstrap.block.cuba.Input()
    norm = {"norm": MeanOnlyBatchNorm, "current_decay": 0}
    with pytest.raises(ValueError, match="no rate where current_decay is 0"):
        make("cuba", "Dense", neuron=norm)(signal("Dense"), mode=Mode.SAMPLE)


@pytest.mark.parametrize("family", RATED)
def test_checkpoints_hold_the_curve(family):
    block = sampled(make(family, "Dense"), signal("Dense", family, n=100))
    file = io.BytesIO()
    torch.save(block.state_dict(), file)
    file.seek(0)
    fresh = make(family, "Dense")
    fresh.load_state_dict(torch.load(file, weights_only=True))
    x = signal("Dense", family)
    assert torch.equal(fresh(x, mode=Mode.ANN), block(x, mode=Mode.ANN))


def test_own_decays_are_drawn_by_the_first_rate():
    block = make("rf_iz", "Dense", neuron={"shared_param": False, "period": (5, 10)})
    block.f.append(torch.rand(50, T), torch.rand(50, 1))
    block(signal("Dense"), mode=Mode.ANN)
    assert block.neuron.sin_decay.numel() == 8


def test_blocks_are_one_kind():
    assert issubclass(bootstrap.block.cuba.Dense, AbstractBlock)


def test_modes_are_arguments():
    neuron = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1}
    dense, flatten = bootstrap.block.cuba.Dense(neuron, 4, 2), bootstrap.block.cuba.Flatten()
    for block in (dense, flatten, bootstrap.block.cuba.Average(2)):
        with pytest.raises(AttributeError, match=r"mode of .* cannot be assigned"):
            block.mode = bootstrap.Mode.SNN
        assert not hasattr(block, "mode")
    for name, value in {"f": dense.f, "delay_shift": True}.items():
        with pytest.raises(AttributeError, match=f"{name} of Flatten cannot be assigned: .*no neurons"):
            setattr(flatten, name, value)
    mode = bootstrap.routine.LayerMode(1, bootstrap.Mode.ANN)
    with pytest.raises(AttributeError, match=r"count of LayerMode .*begins with the first layer"):
        mode.count = 0
    mode.crossover, mode.base_mode = 2, bootstrap.Mode.FIT
    assert [one.name for _, one in zip(range(3), mode, strict=False)] == ["SNN", "SNN", "FIT"]
    schedule = bootstrap.routine.Scheduler()
    schedule.num_sample_iter, schedule.sample_period, schedule.crossover_epochs = 1, 2, [2]
    modes = [schedule.mode(epoch, i).base_mode.name for epoch in (2, 3) for i in (0, 1, 2)]
    assert modes == ["SAMPLE", "FIT", "ANN", "ANN", "ANN", "ANN"]
    assert schedule.crossover == 1
    schedule.crossover = 3
    assert schedule.mode(3, 5).crossover == 3


def test_each_file_of_the_package_is_an_attribute_of_it():
    names = bootstrap.block.__all__
    files = {path.stem for path in Path(bootstrap.block.__file__).parent.glob("[a-z]*.py")}
    assert set(names) == files - {"blocks"}
    assert [getattr(bootstrap.block, name).__name__.rpartition(".")[2] for name in names] == names


def test_a_family_without_a_file_is_named():
    with pytest.raises(AttributeError, match=r"must have a file lif\.py to have lif, got adrf, "):
        _ = bootstrap.block.lif
