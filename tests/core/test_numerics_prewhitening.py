"""Prewhitening: a planted delay is seen where the plain curve smears it; independent series stay in the band."""

import numpy as np
import pytest
from series import autoregression, learning_loop

from ebmdiag.numerics.correlation import crosscorrelation
from ebmdiag.numerics.prewhitening import filtered, prewhitened, prewhitened_crosscorrelation


def test_filter_is_the_difference_equation():
    x = np.random.default_rng(1).standard_normal(50)
    phi = np.array([0.5, -0.2])
    centred = x - x.mean()
    expected = centred[2:] - 0.5 * centred[1:-1] + 0.2 * centred[:-2]
    found = filtered(x, phi)
    ratio = found / expected
    assert ratio == pytest.approx(ratio[0], rel=1e-10)
    assert len(filtered(x, np.zeros(0))) == 50


def test_a_planted_delay():
    rng = np.random.default_rng(2)
    x = autoregression(rng, 0.95, (5003,))
    y = 2 * x[:-3] + rng.standard_normal(5000)  # y answers x three rows later
    x = x[3:]
    plain, white = crosscorrelation(x, y, 10), prewhitened_crosscorrelation(x, y, 10)
    assert int(np.argmax(white)) - 10 == -3
    others = np.delete(np.abs(white), 7)
    assert white[7] > 0.7
    assert others.max() < 4.5 / np.sqrt(5000)
    assert np.delete(np.abs(plain), 7).max() > 0.8


@pytest.mark.parametrize(("first", "second"), [(0.9, 0.9), (0.95, -0.5), (-0.8, 0.8)])
def test_band_of_independent_series(first, second):
    """1/√n holds after prewhitening, whatever the second remembers, and not before it."""
    rng = np.random.default_rng(3)
    x, y = autoregression(rng, first, (400, 500)), autoregression(rng, second, (400, 500))
    white = np.array([prewhitened_crosscorrelation(a, b, 0)[0] for a, b in zip(x, y, strict=True)])
    rate = np.mean(np.abs(white) > 1.96 / np.sqrt(499))
    assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)
    plain = np.array([crosscorrelation(a, b, 0)[0] for a, b in zip(x, y, strict=True)])
    assert abs(np.mean(np.abs(plain) > 1.96 / np.sqrt(500)) - 0.05) > 4 * np.sqrt(0.05 * 0.95 / 400)


def test_what_is_left_is_said():
    rng = np.random.default_rng(4)
    assert not prewhitened(autoregression(rng, 0.9, (2000,)), rng.standard_normal(2000)).left
    cut_short = prewhitened(learning_loop(rng, 1.0, 5000)[0], rng.standard_normal(5000), most_order=1)
    assert "is not white after it: autocorrelation -0." in cut_short.left
    assert cut_short.order == 1


def test_scale_does_not_matter():
    x, y = np.random.default_rng(5).standard_normal((2, 300))
    x = np.cumsum(x) * 0.1 + x
    expected = prewhitened_crosscorrelation(x, y, 5)
    assert prewhitened_crosscorrelation(1e200 * x, 1e-200 * y, 5) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ones(50), np.arange(50.0), "constant"),
        (np.arange(3.0), np.arange(3.0), "too few"),
        (np.arange(50.0), np.arange(49.0), "equally long"),
        (np.full(50, np.nan), np.arange(50.0), "finite"),
    ],
)
def test_refusals(x, y, said):
    with pytest.raises(ValueError, match=said):
        prewhitened(x, y)
