"""Ljung-Box against statsmodels, and its size."""

import numpy as np
import pytest
from series import autoregression
from statsmodels.stats.diagnostic import acorr_ljungbox

from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.portmanteau import ljung_box


@pytest.mark.parametrize("lags", [1, 15])
def test_equals_statsmodels(lags):
    x = autoregression(np.random.default_rng(31), 0.1, (300,))
    expected = acorr_ljungbox(x, lags=[lags]).iloc[0]
    assert ljung_box(autocorrelation(x, lags), 300) == pytest.approx(tuple(expected), rel=1e-10)


def test_size_under_white_noise_and_power_under_memory():
    rng = np.random.default_rng(32)
    white = [ljung_box(autocorrelation(x, 15), 400)[1] for x in rng.standard_normal((1000, 400))]
    assert abs(np.mean(np.array(white) < 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 1000) + 0.01
    assert ljung_box(autocorrelation(autoregression(rng, 0.5, (400,)), 15), 400)[1] < 1e-10


def test_refuses_lags_without_pairs():
    with pytest.raises(ValueError, match="between 1 and 3"):
        ljung_box(np.ones(5), 4)
