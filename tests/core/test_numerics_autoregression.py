"""The fitted autoregression against statsmodels, its own truth, and what it simulates."""

import numpy as np
import pytest
from helpers import assert_within_errors
from scipy.signal import lfilter
from series import autoregression
from statsmodels.regression.linear_model import yule_walker

from ebmdiag.numerics.autoregression import fit_autoregression, levinson
from ebmdiag.numerics.correlation import autocorrelation


def ringing(rng, rows):
    """AR(2) of modulus 0.9 and period 12."""
    first = 2 * 0.9 * np.cos(2 * np.pi / 12)
    return lfilter([1.0], [1.0, -first, 0.81], rng.standard_normal(rows + 500))[500:], (first, -0.81)


def test_equals_statsmodels_yule_walker():
    x, _ = ringing(np.random.default_rng(311), 3000)
    for order, (fitted, _) in enumerate(levinson(autocorrelation(x, 6))):
        if order:
            expected, _ = yule_walker(x, order=order, method="mle", result_object=False)
            assert fitted == pytest.approx(expected, rel=1e-9)


def test_order_and_coefficients():
    rng = np.random.default_rng(312)
    x, truth = ringing(rng, 20_000)
    fitted = fit_autoregression(x)
    assert fitted.order == 2
    assert fitted.coefficients == pytest.approx(truth, abs=0.02)
    assert fitted.innovation == pytest.approx(1, rel=0.02)
    orders = [fit_autoregression(rng.standard_normal(2000)).order for _ in range(60)]
    assert np.mean(np.array(orders) > 0) < 0.05


@pytest.mark.parametrize("own", [False, True])
def test_simulation_has_the_moments_of_the_fit(own):
    rng = np.random.default_rng(313)
    x = 2 + autoregression(rng, 0.6, (5000,))
    fitted = fit_autoregression(x)
    drawn = fitted.simulate(rng, 40, 3000, fitted.residuals(x) if own else None)
    assert_within_errors(drawn.mean(1), x.mean())
    assert_within_errors(drawn.var(1), x.var(), errors=5)
    assert_within_errors([autocorrelation(item, 1)[1] for item in drawn], autocorrelation(x, 1)[1], errors=5)


def test_residuals_keep_the_tails():
    """Exponential innovations: skewness 2 among the residuals' draws, 0 among Gaussian ones."""
    rng = np.random.default_rng(314)
    x = lfilter([1.0], [1.0, -0.5], rng.exponential(size=20_000))[100:]
    fitted = fit_autoregression(x)
    left = fitted.residuals(x)
    assert np.mean(left**3) / left.std() ** 3 == pytest.approx(2, rel=0.1)
    assert left.std() == pytest.approx(fitted.innovation, rel=0.01)
    skewness = [np.mean((y - y.mean()) ** 3) / y.std() ** 3 for y in (fitted.simulate(rng, 1, 30_000)[0], x)]
    assert skewness[0] == pytest.approx(0, abs=0.1)
    assert skewness[1] > 1


def test_refuses_what_has_no_correlation():
    for bad in ([1.0] * 50, [1.0, 2.0]):
        with pytest.raises(ValueError, match=r"constant|too few"):
            fit_autoregression(bad)


def test_a_line_that_foretells_itself():
    """A slow sine needs no more lags than it takes; nothing is divided by 0."""
    fitted = fit_autoregression(np.sin(np.arange(4000) / 3))
    assert np.isfinite(fitted.coefficients).all()
    assert fitted.innovation < 0.2
