"""The rate curve: fitted and evaluated as the naive model has it, saved, and drawn."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.bootstrap.ann_sampler import LOWEST_MAX, AnnSampler
from tests.support.oracle import rates as naive

STEPS = 20


def population(seed, count=1500, gain=0.5, offset=0.2, top=1.0):
    """Drives, and spikes (count, STEPS) of neurons whose rate is a noisy ramp of them."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1, 2, count).astype(np.float32)
    rates = np.clip(gain * z + offset + 0.02 * rng.normal(size=count), 0, top)
    counts = np.rint(rates * STEPS)
    spikes = (np.arange(STEPS) < counts[:, None]).astype(np.float32)
    return torch.from_numpy(z)[:, None], torch.from_numpy(spikes)


def filled(*populations, **options):
    sampler = AnnSampler(**options)
    for z, a in populations:
        sampler.append(a, z)
    return sampler


def same_curve(sampler, knots, slopes):
    np.testing.assert_allclose(sampler.centers, knots, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(sampler.slopes, slopes, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"num_centers": 3, "sample_range": [0.2, 0.7]}, {"num_centers": 1}])
@pytest.mark.parametrize("seed", range(3))
def test_the_fitted_curve_equals_the_oracles(seed, options):
    sampler = filled(population(seed), population(seed + 10), **options)
    sampler.fit()
    knots, slopes = naive.fit(sampler.z, sampler.a, **options)
    same_curve(sampler, knots, slopes)
    assert sampler.max == pytest.approx(knots[-1][1])
    assert (np.diff(sampler.centers, axis=0) >= 0).all()


def test_a_second_fit_keeps_nine_tenths_of_the_first():
    sampler = filled(population(0))
    sampler.fit()
    old = [tuple(knot) for knot in sampler.centers]
    sampler.clear()
    sampler.append(*population(1, gain=0.4, offset=0.3)[::-1])
    sampler.fit()
    same_curve(sampler, *naive.fit(sampler.z, sampler.a, old))
    fresh, _ = naive.fit(sampler.z, sampler.a)
    assert abs(sampler.centers[2, 0] - old[2][0]) < 0.2 * abs(fresh[2][0] - old[2][0])


def test_bins_without_samples_keep_the_old_centre():
    sampler = filled(population(0))
    sampler.fit()
    old = [tuple(knot) for knot in sampler.centers]
    sampler.clear()
    sampler.append(*population(1, top=0.5)[::-1])  # the upper bins are empty
    sampler.fit()
    knots, slopes = naive.fit(sampler.z, sampler.a, old)
    same_curve(sampler, knots, slopes)
    assert old[-3] in knots


def test_the_rate_of_the_samples_is_found_again():
    """On a ramp without noise between neighbours the curve is the ramp."""
    z = torch.linspace(0, 1, 1001)[:, None]
    sampler = filled((z, z * 0.9))
    sampler.fit()
    x = torch.linspace(0, 1, 50)
    torch.testing.assert_close(sampler(x), (0.9 * x).clamp(max=sampler.max), atol=1e-3, rtol=0)


@given(st.integers(0, 99), st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=30))
def test_the_curve_gives_value_and_gradient(seed, values):
    sampler = filled(population(seed))
    sampler.fit()
    knots, slopes = sampler.centers.tolist(), sampler.slopes.tolist()
    x = torch.tensor(values, requires_grad=True)
    y = sampler(x)
    y.sum().backward()
    assert y.tolist() == [float(naive.rate(v, knots, slopes)) for v in values]
    assert x.grad.tolist() == [float(naive.gradient(v, knots, slopes)) for v in values]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1), (1, 0, 3, 2)])
def test_samples_may_lie_in_memory_in_any_order(order):
    sampler = filled(population(0))
    sampler.fit()
    plain = torch.randn(2, 3, 4, 5)
    x = plain.permute(order).contiguous().permute(np.argsort(order).tolist()).requires_grad_()
    y = sampler(x)
    assert torch.equal(y, sampler(plain))
    weights = torch.randn(5, 4, 3, 2).permute(3, 2, 1, 0)
    (y * weights).sum().backward()
    reference = plain.clone().requires_grad_()
    (sampler(reference) * weights).sum().backward()
    assert torch.equal(x.grad, reference.grad)
    expanded = torch.randn(3, 1).expand(3, 7)
    assert torch.equal(sampler(expanded), sampler(expanded.contiguous()))


def test_silent_samples_give_the_unit_slope():
    """Lava-DL's highest rate is then NaN."""
    sampler = filled((torch.rand(30, 1), torch.zeros(30, STEPS)))
    sampler.fit()
    assert sampler.centers.tolist() == [[0, 0], [LOWEST_MAX, LOWEST_MAX]]
    assert sampler(torch.tensor([-1.0, 0.5, 3.0])).tolist() == pytest.approx([0, 0.5, LOWEST_MAX])


@pytest.mark.parametrize(("z", "knots"), [(0.5, [(0, 0), (0.5, 0.5)]), (-0.5, [(-1, 0), (-0.5, 0.5)])])
def test_a_single_centre_makes_a_curve(z, knots):
    sampler = filled((torch.full((9, 1), z), torch.full((9, STEPS), 0.5)))
    sampler.fit()
    same_curve(sampler, *naive.fit(sampler.z, sampler.a))
    assert sampler.centers[1:3].tolist() == [list(knot) for knot in knots]
    assert np.isfinite(sampler.slopes).all()


def test_centres_out_of_order_become_one():
    """A piece of Lava-DL's curve is then empty, or two overlap."""
    z = torch.tensor([0.1, 0.5, 0.4, 0.9, 0.2, 0.5, 0.4, 0.9])[:, None]
    a = torch.tensor([0.2, 0.3, 0.5, 0.6, 0.2, 0.3, 0.5, 0.6])[:, None].expand(-1, STEPS)
    sampler = filled((z, a))
    sampler.fit()
    assert (np.diff(sampler.centers[:, 0]) > 0).all()
    assert sampler.centers[2].tolist() == pytest.approx([0.45, 0.4])
    x = torch.linspace(-1, 3, 200)
    assert (sampler(x).diff() >= 0).all()
    assert sampler(x).max() == pytest.approx(sampler.max)


def test_a_drive_below_zero_has_a_gradient_of_the_right_sign():
    z, a = population(0)
    sampler = filled((z - 9, a))
    sampler.fit()
    x = torch.linspace(-9.4, -8, 30, requires_grad=True)
    sampler(x).sum().backward()
    assert (x.grad > 0).all()
    assert 0.3 < x.grad[x.grad > 1e-3].mean() < 3


def test_half_the_samples_go():
    sampler = filled(population(0, count=101))
    before = set(zip(sampler.z.tolist(), sampler.a.tolist(), strict=True))
    torch.manual_seed(0)
    sampler.soft_clear()
    kept = list(zip(sampler.z.tolist(), sampler.a.tolist(), strict=True))
    assert len(kept) == 51
    assert set(kept) <= before
    sampler.clear()
    assert sampler.z.size == sampler.a.size == 0


def saved(module):
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_checkpoint_goes_on_as_it_would_have():
    sampler = filled(population(0))
    sampler.fit()
    sampler.soft_clear()
    fresh = AnnSampler()
    fresh.load_state_dict(saved(sampler))
    x = torch.linspace(-1, 3, 100)
    assert torch.equal(fresh(x), sampler(x))
    for each in (sampler, fresh):
        each.append(*population(3)[::-1])
        torch.manual_seed(1)
        each.fit()
        each.soft_clear()
    assert torch.equal(fresh.curve, sampler.curve)
    assert torch.equal(fresh.samples, sampler.samples)
    assert fresh.steps == STEPS


def test_a_loaded_curve_replaces_the_one_before():
    first, second = filled(population(0)), filled(population(1, gain=0.3))
    x = torch.linspace(-1, 3, 100)
    for each in (first, second):
        each.fit()
        each(x)
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(x), second(x))
    first.load_state_dict(AnnSampler().state_dict())
    assert not first.fitted


def test_a_checkpoint_without_curve_loads_as_unfitted():
    sampler = AnnSampler()
    sampler.load_state_dict({})
    assert (sampler.fitted, sampler.centers, sampler.slopes, sampler.max, sampler.scale) == (False, None, 1, 1, 1)


def test_a_checkpoint_of_another_form_is_refused():
    with pytest.raises(RuntimeError, match="size mismatch"):
        AnnSampler().load_state_dict({"curve": torch.zeros(7, 2)})


def test_plot_shows_samples_and_curve(monkeypatch):
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    sampler = filled(population(0))
    sampler.fit()
    sampler.plot(figsize=(4, 3))
    figure = plt.gcf()
    assert tuple(figure.get_size_inches()) == (4, 3)
    data, curve, knots = figure.axes[0].lines
    assert len(data.get_xdata()) == 1500
    np.testing.assert_array_equal(knots.get_xdata(), sampler.centers[:, 0])
    np.testing.assert_array_equal(curve.get_ydata(), sampler(torch.tensor(curve.get_xdata())).numpy())
    sampler.clear()
    sampler.plot()
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: AnnSampler()(torch.zeros(3)), RuntimeError, "not fitted"),
        (lambda: AnnSampler().fit(), RuntimeError, "no samples"),
        (lambda: AnnSampler(0), ValueError, "num_centers must be at least 1, got 0"),
        (lambda: AnnSampler(sample_range=[0.9, 0.1]), ValueError, "two increasing numbers from 0 to 1"),
        (
            lambda: AnnSampler().append(torch.zeros(3, 4), torch.zeros(4, 4)),
            ValueError,
            r"shapes \(3, 4\) and \(4, 4\)",
        ),
        (lambda: AnnSampler().append(torch.zeros(1, 4), torch.full((1, 4), torch.nan)), ValueError, "finite"),
        (lambda: fitted()(torch.zeros(3, dtype=torch.float64)), TypeError, "float32 on the CPU, got torch.float64"),
    ],
)
def test_bad_arguments_of_a_sampler_are_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


def fitted():
    sampler = filled(population(0))
    sampler.fit()
    return sampler


def test_curve_and_samples_are_not_assigned():
    sampler = AnnSampler()
    for name in ("z", "a", "centers", "slopes", "max", "scale"):
        with pytest.raises(AttributeError, match=f"{name} of AnnSampler cannot be assigned: .*append, clear, fit"):
            setattr(sampler, name, np.zeros(3))
    rates = torch.linspace(0, 1, 64)[:, None]
    sampler.append(rates, 2 * rates)
    sampler.num_centers, sampler.sample_range, sampler.alpha, sampler.eps = 3, (0.2, 0.8), 1.0, 0.5
    sampler.fit()
    other = AnnSampler(3, (0.2, 0.8), 0.5)
    other.append(rates, 2 * rates)
    other.fit()
    z = torch.tensor([0.1, 1.0, 9.0], requires_grad=True)
    assert torch.equal(sampler.curve, other.curve)
    assert len(sampler.curve) == 5
    assert torch.autograd.grad(sampler(z).sum(), z)[0][2] == 0.5
    sampler.append(rates, 3 * rates)
    sampler.clear()
    sampler.append(rates, 3 * rates)
    sampler.fit()  # alpha is 1: nothing of the old curve is left
    assert sampler.curve[1, 0].item() == pytest.approx(3 * sampler.curve[1, 1].item(), rel=1e-3)
