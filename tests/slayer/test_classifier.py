"""Classes from output spikes, against NumPy."""

import numpy as np
import pytest
import torch

from lavadl_ref.slayer.classifier import MovingWindow, Rate


def spikes(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).float()


def softmax(rate):
    power = np.exp(rate)
    return power / power.sum(axis=1, keepdims=True)


CONFIDENCE = {
    "probability": lambda rate: rate / (rate.sum(axis=1, keepdims=True) + 1e-6),
    "softmax": softmax,
    "logsoftmax": lambda rate: np.log(softmax(rate)),
}


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 2, 2, 8)])
@pytest.mark.parametrize("mode", list(CONFIDENCE))
def test_rate_takes_the_mean_over_time(shape, mode):
    x = spikes(shape)
    rate = x.double().numpy().mean(-1)
    flat = rate.reshape(2, -1)
    np.testing.assert_allclose(Rate.rate(x), rate, rtol=1e-6)
    np.testing.assert_allclose(Rate.confidence(x, mode), CONFIDENCE[mode](flat), rtol=1e-5)
    assert np.array_equal(Rate.predict(x), flat.argmax(1))
    assert torch.equal(Rate()(x), Rate.predict(x))


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 2, 2, 8)])
@pytest.mark.parametrize("mode", list(CONFIDENCE))
@pytest.mark.parametrize("length", [1, 3, 7, 20])
def test_window_counts_the_last_steps(shape, mode, length):
    x = spikes(shape)
    window = MovingWindow(length, mode)
    count = np.stack([x.numpy()[..., max(0, t + 1 - length) : t + 1].sum(-1) for t in range(8)], axis=-1)
    flat = count.reshape(2, -1, 8)
    np.testing.assert_allclose(window.rate(x), count / length, rtol=1e-6)
    np.testing.assert_allclose(window.confidence(x), CONFIDENCE[mode](flat / length), rtol=1e-5)
    np.testing.assert_allclose(window.confidence(x, "softmax"), softmax(flat / length), rtol=1e-5)
    assert window.predict(x).shape == (2, 8)
    assert np.array_equal(window.predict(x), flat.argmax(1))


def test_the_window_module_returns_its_prediction():
    x = spikes((2, 3, 8))
    window = MovingWindow(3)
    assert torch.equal(window(x), window.predict(x))


def test_spikes_may_be_boolean_to_classifiers():
    x = spikes((2, 3, 8))
    assert torch.equal(Rate.rate(x.bool()), Rate.rate(x))
    assert torch.equal(MovingWindow(4).rate(x.bool()), MovingWindow(4).rate(x))


def test_spikes_without_a_channel_axis_are_one_class_to_classifiers():
    x = spikes((3, 8))
    for actual, wanted in ((Rate.confidence(x), Rate.confidence(x[:, None])), (Rate.predict(x), torch.zeros(3))):
        assert torch.equal(actual, wanted.to(actual.dtype))
    window = MovingWindow(4)
    assert torch.equal(window.confidence(x), window.confidence(x[:, None]))
    assert torch.equal(window.predict(x), torch.zeros(3, 8, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 2, 8), (2, 3, 2, 2, 8)])
def test_every_element_is_a_class(shape):
    x = spikes(shape)
    flat = x.flatten(1, -2)
    assert torch.equal(MovingWindow(4).predict(x), MovingWindow(4).predict(flat))
    assert torch.equal(Rate.predict(x), Rate.predict(flat))


def test_confidence_of_silence_is_finite():
    x = torch.zeros(1, 3, 4)
    assert Rate.confidence(x).tolist() == [[0, 0, 0]]
    assert Rate.confidence(x + 1, eps=1.0).tolist() == [[0.25, 0.25, 0.25]]


@pytest.mark.parametrize("mode", list(CONFIDENCE))
def test_the_gradient_of_the_confidence_is_right(mode):
    x = torch.rand(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Rate.confidence(x, mode), x)
    window = MovingWindow(3, mode).double()
    assert torch.autograd.gradcheck(window.confidence, x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Rate.confidence(spikes((2, 3, 4)), "max"), ValueError, "'logsoftmax', got 'max'"),
        (
            lambda: Rate.predict(spikes((4,))),
            ValueError,
            r"spike must have at least 2 axes \(N, ..., T\), got shape \(4,\)",
        ),
        (lambda: Rate.rate([1.0]), TypeError, "spike must be a torch.Tensor, got list"),
        (lambda: MovingWindow(3, "max"), ValueError, "mode of MovingWindow must be one of"),
        (lambda: MovingWindow(2.5), TypeError, "time_window of MovingWindow must be an integer, got 2.5"),
        (lambda: MovingWindow(0), ValueError, "time_window of MovingWindow must be at least 1, got 0"),
        (lambda: MovingWindow(3).confidence(spikes((2, 3, 4)), "max"), ValueError, "got 'max'"),
    ],
)
def test_bad_arguments_of_classifiers_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
