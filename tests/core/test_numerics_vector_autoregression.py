"""The vector autoregression against statsmodels; Granger's test: size on independent pairs, power on the loop."""

import numpy as np
import pytest
from scipy.signal import lfilter
from series import autoregression, learning_loop
from statsmodels.tsa.api import VAR
from statsmodels.tsa.stattools import grangercausalitytests

from ebmdiag.numerics.vector_autoregression import fit_pair, lagged_products


def noisy_loop(rng, gain, rows, noise=0.5):
    d, state = learning_loop(rng, gain, rows)
    return d, state + noise * rng.standard_normal(rows)


@pytest.fixture(scope="module")
def pair():
    return noisy_loop(np.random.default_rng(1), 0.4, 1500)


@pytest.fixture(scope="module")
def theirs(pair):
    """statsmodels on the rows that the fit uses: the first K serve as the past only."""
    mine = fit_pair(*pair, 6)
    scaled = np.stack([(x - x.mean()) / x.std() for x in pair], axis=1)[6 - mine.order :]
    return mine, scaled, VAR(scaled).fit(mine.order)


def test_coefficients_and_covariance_equal_statsmodels(theirs):
    mine, _, fitted = theirs
    assert mine.lags == pytest.approx(fitted.coefs, abs=1e-10)
    assert mine.covariance == pytest.approx(np.asarray(fitted.sigma_u), abs=1e-12)
    assert mine.rows == 1494


def test_tests_equal_statsmodels_in_both_directions(theirs):
    """grangercausalitytests asks whether column 2 foretells column 1."""
    mine, scaled, _ = theirs
    for direction, columns in ((mine.forward, [1, 0]), (mine.backward, [0, 1])):
        found = grangercausalitytests(scaled[:, columns], [mine.order])[mine.order][0]["ssr_ftest"]
        assert direction.statistic == pytest.approx(found[0], rel=1e-9)
        assert direction.p_value == pytest.approx(found[1], rel=1e-6)
        assert direction.freedom == (int(found[3]), int(found[2]))


def test_responses_and_errors_equal_statsmodels(theirs):
    mine, _, fitted = theirs
    phi, errors = mine.responses(12)
    irf = fitted.irf(12)
    assert phi == pytest.approx(irf.irfs, abs=1e-10)
    assert errors == pytest.approx(irf.stderr(orth=False), abs=1e-10)


def test_the_share_is_the_variance_that_was_planted():
    """y = 0.6 y' + b x' + e, Var e = 1, x white of variance 1: without x, the innovations have variance 1 + b²."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(40):
        x, e = rng.standard_normal((2, 2000))
        y = lfilter([1.0], [1.0, -0.6], 0.5 * np.concatenate(([0.0], x[:-1])) + e)
        shares.append(fit_pair(x, y, 5).forward.share)
    assert np.mean(shares) == pytest.approx(0.25 / 1.25, abs=4 * np.std(shares) / np.sqrt(40) + 1e-3)


def wave(rng, rows):
    """A loop with momentum: the spectrum vanishes at 0 and peaks at period 9."""
    return lfilter([1, -1], [1, -2 * 0.93 * np.cos(2 * np.pi / 9), 0.93**2], rng.standard_normal(rows + 500))[500:]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda rng: autoregression(rng, 0.0, (400,)), lambda rng: autoregression(rng, 0.0, (400,))),
        (lambda rng: autoregression(rng, 0.9, (400,)), lambda rng: autoregression(rng, 0.5, (400,))),
        (lambda rng: autoregression(rng, -0.8, (400,)), lambda rng: autoregression(rng, 0.8, (400,))),
        (lambda rng: wave(rng, 800), lambda rng: wave(rng, 800)),
    ],
    ids=["white", "positive", "alternating", "waves"],
)
def test_size_on_independent_pairs(first, second):
    rng = np.random.default_rng(3)
    fits = [fit_pair(first(rng), second(rng), 12) for _ in range(300)]
    for p_values in ([fit.forward.p_value for fit in fits], [fit.backward.p_value for fit in fits]):
        assert abs(np.mean(np.array(p_values) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 300)


def test_power_on_the_loop():
    rng = np.random.default_rng(4)
    fits = [fit_pair(*noisy_loop(rng, 0.3, 600), 10) for _ in range(50)]
    assert np.mean([fit.forward.p_value < 0.001 for fit in fits]) == 1
    assert np.mean([fit.lags[0, 1, 0] < 0 for fit in fits]) == 1  # contraction lowers the state


def test_one_way_is_seen_as_one_way():
    rng = np.random.default_rng(5)
    x = autoregression(rng, 0.5, (3000,))
    y = np.concatenate(([0.0], x[:-1])) + rng.standard_normal(3000)
    found = fit_pair(x, y, 8)
    assert found.forward.p_value < 1e-100
    assert found.backward.p_value > 0.001


def test_the_order_is_not_cut_short():
    """BIC of the pair alone would take 9; the memory of each asks for more (size without it: .08)."""
    rng = np.random.default_rng(6)
    assert fit_pair(wave(rng, 1000), wave(rng, 1000), 15).order > 9
    assert fit_pair(*rng.standard_normal((2, 1000)), 15).order == 1


def test_an_exact_relation():
    """The theory's loop without noise in r: r[t+1] = r[t] - g d[t] exactly."""
    d, state = learning_loop(np.random.default_rng(7), 0.3, 2000)
    found = fit_pair(d, state, 8)
    assert (found.order, found.exact) == (1, True)
    assert found.forward.share == 1
    assert found.forward.p_value == 0
    assert np.isnan(found.instant)
    assert 0.05 < found.backward.share < 0.3


def test_a_column_that_needs_only_itself_is_not_foretold():
    ramp = np.arange(200.0) ** 2
    found = fit_pair(np.random.default_rng(8).standard_normal(200), np.diff(ramp, prepend=-1), 2)
    assert found.exact
    assert found.forward.share == 0
    assert found.forward.p_value == 1


def test_blocks_do_not_matter(monkeypatch):
    x, y = np.random.default_rng(9).standard_normal((2, 1000))
    whole = lagged_products(x, y, 5)
    monkeypatch.setattr("ebmdiag.numerics.vector_autoregression._BLOCK", 37)
    assert lagged_products(x, y, 5) == pytest.approx(whole, rel=1e-12, abs=1e-9)


def test_scale_and_offset_do_not_matter():
    x, y = noisy_loop(np.random.default_rng(10), 0.5, 500)
    plain, scaled = fit_pair(x, y, 5), fit_pair(1e200 * x, 1e-200 * y, 5)
    assert scaled.forward.statistic == pytest.approx(plain.forward.statistic, rel=1e-8)
    assert fit_pair(x, y + 1e6, 5).backward.statistic == pytest.approx(plain.backward.statistic, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ones(99), np.arange(99.0), "constant"),
        (np.arange(30.0) % 7, np.arange(30.0) % 5, "at least 60"),
        (np.arange(99.0) % 7, np.arange(98.0) % 5, "equally long"),
    ],
)
def test_refusals(x, y, said):
    with pytest.raises(ValueError, match=said):
        fit_pair(x, y, 5)
