"""Change-points of the mean: law of the bridge, false alarms under memory, planted jumps and regimes."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import kolmogorov
from series import autoregression, learning_loop

from ebmdiag.numerics.change_points import bridge_p, change_points, cusum, seeded_intervals


def test_law_of_the_bridge():
    """A variance known from very many numbers is Kolmogorov's law; from few the tail is heavier."""
    for value in (0.8, 1.36, 1.63, 2.2):
        assert bridge_p(value, 10**6) == pytest.approx(kolmogorov(value), rel=0.01)
    assert bridge_p(1.63, 8) > 2 * kolmogorov(1.63)


def test_law_against_simulation():
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.standard_normal((4000, 1000)), axis=1)
    bridges = walks - walks[:, -1:] * np.arange(1, 1001) / 1000
    largest = np.abs(bridges).max(axis=1) / np.sqrt(1000) / np.sqrt(rng.chisquare(12, 4000) / 12)
    rate = np.mean(largest > 1.5)
    assert abs(rate - bridge_p(1.5, 12)) < 4 * np.sqrt(rate / 4000) + 0.01  # 0.01: of the discrete walk


@pytest.mark.parametrize(("coefficient", "rows"), [(0.0, 300), (0.5, 500), (0.95, 2000), (-0.5, 300)])
def test_size_of_one_interval(coefficient, rows):
    x = autoregression(np.random.default_rng(2), coefficient, (500, rows))
    rate = np.mean([cusum(row).p_value < 0.05 for row in x])
    assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.parametrize(
    ("coefficient", "rows"),
    [
        (0.0, 300),
        pytest.param(0.5, 600, marks=pytest.mark.slow),
        pytest.param(0.95, 1000, marks=pytest.mark.slow),
        pytest.param(-0.5, 400, marks=pytest.mark.slow),
    ],
)
def test_false_alarms_of_all_intervals_together(coefficient, rows):
    """At most alpha; memory that a short interval cannot show must not alarm (1.0 would be all of them)."""
    x = autoregression(np.random.default_rng(3), coefficient, (150, rows))
    rate = np.mean([bool(change_points(row, alpha=0.05)) for row in x])
    assert rate < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 150)


def test_a_random_walk_has_no_jumps():
    walks = np.cumsum(np.random.default_rng(4).standard_normal((80, 400)), axis=1)
    assert np.mean([bool(change_points(x, alpha=0.05)) for x in walks]) < 0.1


def test_integral_action_has_no_jumps():
    """Its running sum is bounded: no bridge, and a variance near 0 must not make an alarm of it."""
    rng = np.random.default_rng(5)
    for gain, rows in ((0.3, 2000), (1.5, 2000), (0.3, 100_000)):
        assert change_points(learning_loop(rng, gain, rows)[0]) == []


def test_a_jump_is_found_where_it_is():
    rng = np.random.default_rng(6)
    places, shifts = [], []
    for _ in range(15):
        x = autoregression(rng, 0.5, (2000,))
        x[700:] += 1.5
        (change,) = change_points(x)
        places.append(change.row)
        shifts.append(change.shift)
    assert abs(np.median(places) - 700) < 10
    assert np.mean(shifts) == pytest.approx(1.5, abs=0.1)


def test_regimes_that_hide_each_other():
    """Up and down six times: the sum over the whole record hardly moves; the parts show each change."""
    rng = np.random.default_rng(7)
    regimes = 1.5 * ((np.arange(2000) * 6 // 2000) % 2)
    x = rng.standard_normal(2000) + regimes
    assert cusum(x).p_value > 0.01
    assert [round(change.row * 6 / 2000) for change in change_points(x)] == [1, 2, 3, 4, 5]
    shifts = [change.shift for change in change_points(x)]
    assert np.sign(shifts).tolist() == [1, -1, 1, -1, 1]


def test_a_drift_shows_as_jumps():
    x = np.random.default_rng(8).standard_normal(2000) + np.linspace(0, 2, 2000)
    changes = change_points(x)
    assert changes
    assert all(change.shift > 0 for change in changes)


def test_long_series_and_their_oldest_rows():
    x = np.random.default_rng(9).standard_normal(100_003)
    x[50_000:] += 0.3
    (change,) = change_points(x)
    assert abs(change.row - 50_000) < 200
    assert cusum(x).place == pytest.approx(change.row, abs=200)


def test_a_jump_without_noise():
    x = np.where(np.arange(200) < 80, 0.0, 1.0)
    assert cusum(x).p_value < 1e-6
    assert [change.row for change in change_points(x)] == [80]


def test_intervals_cover_each_layer():
    for layer in seeded_intervals(1003):
        assert layer[0][0] == 0
        assert layer[-1][1] == 1003
        assert all(later[0] < earlier[1] for earlier, later in pairwise(layer))
    assert [len(layer) for layer in seeded_intervals(70)] == [1]


@pytest.mark.parametrize(("x", "said"), [(np.arange(9.0), "too few"), (np.ones(99), "constant")])
def test_refusals(x, said):
    with pytest.raises(ValueError, match=said):
        change_points(x)


@pytest.mark.parametrize("size", [100.0, 1e6])
def test_one_far_value_is_no_jump(size):
    rng = np.random.default_rng(10)
    x = rng.standard_normal((200, 500))
    x[np.arange(200), rng.integers(0, 500, 200)] += size
    assert np.mean([bool(change_points(row)) for row in x]) < 0.01 + 3 * np.sqrt(0.01 * 0.99 / 200)


def test_a_high_jump_and_a_step_that_goes_on_are_kept():
    rng = np.random.default_rng(11)
    x = rng.standard_normal(500)
    x[200:] += 1000
    x[100] += 1e5
    (change,) = change_points(x)
    assert abs(change.row - 200) <= 1
    assert change.shift == pytest.approx(1000, abs=1)
