"""The best cut against all cuts, planted changes, and what is found in noise."""

import itertools
import math

import numpy as np
import pytest
from series import autoregression, learning_loop

from ebmdiag.numerics import segmentation as module
from ebmdiag.numerics.segmentation import find_changes, memory_inflation


def all_cuts(x, price, shortest):
    """The cheapest of all segmentations, by trying each."""
    best = (math.inf, ())
    for count in range(len(x) // shortest):
        for cuts in itertools.combinations(range(1, len(x)), count):
            edges = (0, *cuts, len(x))
            pieces = [x[low:high] for low, high in itertools.pairwise(edges)]
            if min(map(len, pieces)) >= shortest:
                cost = sum(len(piece) * math.log(piece.var()) for piece in pieces) + price * count
                best = min(best, (cost, cuts))
    return best[1]


def test_is_the_minimum_over_all_cuts():
    """Fifteen rows, stretches of at least three, prices from none to high: the same cuts as by exhaustion."""
    rng, seen = np.random.default_rng(331), set()
    for _ in range(6):
        x = rng.standard_normal(15) * np.repeat(rng.uniform(0.2, 3, 3), 5) + np.repeat(rng.normal(0, 2, 3), 5)
        x = (x - x.mean()) / x.std()
        for price in (0.0, 4.0, 12.0):
            cuts = module._best_cuts(module._Sums.of(x), price, 3)
            assert tuple(cuts) == all_cuts(x, price, 3)
            seen.add(len(cuts))
    assert len(seen) >= 3


NOISE = {
    "white": lambda rng, rows: rng.standard_normal(rows),
    "memory": lambda rng, rows: autoregression(rng, 0.9, (rows,)),
    "alternating": lambda rng, rows: autoregression(rng, -0.7, (rows,)),
    "loop": lambda rng, rows: learning_loop(rng, 0.3, rows)[0],
}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_keeps_one_regime(noise):
    """At most 5% of records of 3,000 rows show any change."""
    rng = np.random.default_rng(332)
    found = sum(len(find_changes(NOISE[noise](rng, 3000)).rows) > 0 for _ in range(60))
    assert found <= 60 * 0.05 + 2 * math.sqrt(60 * 0.05 * 0.95)


def test_without_the_price_of_memory_noise_is_cut():
    """Negative control: what I is for."""
    rng = np.random.default_rng(333)
    assert sum(len(find_changes(autoregression(rng, 0.9, (3000,)), inflation=1.0).rows) > 0 for _ in range(10)) == 10


@pytest.mark.parametrize("rows", [2000, 20_000])
def test_planted_changes_are_found_in_place(rows):
    """A mean of 2 deviations, then a spread of 3: both found, and found alone, within 20 rows in 9 of 10 records."""
    rng, near, count = np.random.default_rng(334), [], []
    for _ in range(30):
        x = rng.standard_normal(rows)
        x[rows // 4 :] += 2
        x[rows // 2 :] = 2 + 3 * (x[rows // 2 :] - 2)
        found = find_changes(x).rows
        count.append(len(found))
        if len(found) == 2:
            near.append(np.abs(found - [rows // 4, rows // 2]).max() <= 20)
    assert np.mean(np.array(count) == 2) > 0.9
    assert np.mean(near) > 0.9


def test_switches_in_autoregressive_noise():
    """Regimes of ±1.5 deviations in noise of coefficient 0.5, four switches: all found, each within 60 rows."""
    rng, truth = np.random.default_rng(335), np.array([1500, 3000, 4500, 6000])
    level = np.repeat([1.5, -1.5, 1.5, -1.5, 1.5], 1500)
    for _ in range(10):
        x = autoregression(rng, 0.5, (7500,)) * math.sqrt(0.75) + level
        found = find_changes(x)
        assert len(found.rows) == 4
        assert np.abs(found.rows - truth).max() <= 60
        assert (found.gains > found.price).all()


def test_a_short_burst():
    rng = np.random.default_rng(336)
    x = rng.standard_normal(3000)
    x[2000:2100] *= 6
    assert find_changes(x).rows == pytest.approx([2000, 2100], abs=10)


@pytest.mark.parametrize(("coefficient", "truth"), [(0.0, 1.0), (0.5, 3.0), (-0.5, 5 / 3)])
def test_inflation_closed_form(coefficient, truth):
    """(1 + f)/(1 - f) of the mean, or (1 + f²)/(1 - f²) of the square: the larger."""
    rng = np.random.default_rng(337)
    found = [memory_inflation(x) for x in autoregression(rng, coefficient, (20, 20_000))]
    assert np.mean(found) == pytest.approx(truth, rel=0.1)


def test_a_change_does_not_pass_for_memory():
    x = np.random.default_rng(338).standard_normal(4000)
    x[2000:] += 3
    assert memory_inflation(x) < 1.4


def test_units_and_undefined():
    x = np.random.default_rng(339).standard_normal(1000)
    x[600:] += 4
    plain = find_changes(x)
    assert list(find_changes(1e200 * x + 1e200).rows) == list(plain.rows) != []
    assert plain.reason == ""
    assert "constant" in find_changes(np.ones(99)).reason
    assert "too few" in find_changes([1.0, 2.0]).reason
    assert "too few to tell memory" in find_changes(autoregression(np.random.default_rng(340), 0.95, (300,))).reason
    assert len(find_changes(x[:15]).rows) == 0
