"""Sliding correlations equal those of each window alone; marks and changes keep their rates in noise."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from series import autoregression, learning_loop

from ebmdiag.numerics.bands import bartlett_errors
from ebmdiag.numerics.character import best_cut, find_changes, local_autocorrelation, windows_of
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.sliding import (
    discoveries,
    first_lag,
    sliding_autocorrelation,
    sliding_crosscorrelation,
    window_starts,
)


def test_windows_end_with_the_record():
    starts = window_starts(1000, 100, 30)
    assert starts[-1] + 100 == 1000
    assert (np.diff(starts) == 30).all()
    assert 0 <= starts[0] < 30
    for rows, width, stride in ((50, 60, 1), (50, 10, 0), (50, 0, 1)):
        with pytest.raises(ValueError, match="does not fit"):
            window_starts(rows, width, stride)


def test_each_window_is_what_it_is_alone():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 900)) + 1e6
    found = sliding_autocorrelation(x, 150, 75, 6)
    both = sliding_crosscorrelation(x, y, 150, 75, 6)
    for place, start in enumerate(found.starts):
        window = slice(start, start + 150)
        assert found.values[place] == pytest.approx(autocorrelation(x[window], 6), abs=1e-12)
        assert found.errors[place, 1:] == pytest.approx(bartlett_errors(found.values[place], 150)[1:])
        assert both.values[place] == pytest.approx(crosscorrelation(x[window], y[window], 6), abs=1e-12)
    assert first_lag(x, 150, 75)[0] == pytest.approx(found.values[:, 1])


def test_marks_are_those_of_benjamini_and_hochberg():
    from scipy.special import ndtr

    rng = np.random.default_rng(2)
    z = np.abs(rng.standard_normal((20, 10)))
    z[:4] += 3
    expected = false_discovery_control(2 * ndtr(-z.ravel())) <= 0.05
    z[5, 5] = np.nan
    kept = discoveries(z, 0.05)
    assert kept.sum() > 20
    assert abs(int(kept.sum()) - int(expected.sum())) <= 1
    assert not kept[5, 5]
    assert not discoveries(np.full((3, 3), np.nan), 0.05).any()


def test_nothing_is_marked_in_noise():
    """If all is noise, a map has any mark at all in 5% of the runs at most; without the correction, in each."""
    rng, marked, plain = np.random.default_rng(3), [], []
    for _ in range(60):
        found = sliding_autocorrelation(rng.standard_normal(3000), 200, 100, 15)
        marked.append(found.significant(0.05).any())
        plain.append((np.abs(found.values) > 1.96 * found.errors).any())
    assert np.mean(marked) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert np.mean(plain) == 1


def test_independent_red_series_show_no_cross_correlation():
    rng, marked, naive = np.random.default_rng(4), [], []
    for _ in range(40):
        x, y = autoregression(rng, 0.9, (2, 6000))
        found = sliding_crosscorrelation(x, y, 500, 250, 15)
        marked.append(found.significant(0.05).any())
        naive.append(discoveries(np.abs(found.values) * np.sqrt(500), 0.05).any())
    assert np.mean(marked) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    assert np.mean(naive) > 0.9


def test_share_of_false_marks():
    """MA(1): true at lag 1 alone; of the marks, at most 5% lie elsewhere."""
    rng, false = np.random.default_rng(5), []
    for _ in range(40):
        noise = rng.standard_normal(4001)
        marks = sliding_autocorrelation(noise[1:] + 0.8 * noise[:-1], 200, 100, 15).significant(0.05)
        assert marks[:, 1].all()
        false.append(marks[:, 2:].sum() / marks.sum())
    assert np.mean(false) < 0.05 + 3 * np.std(false) / np.sqrt(40)


STEADY = {
    "white": lambda rng, rows: rng.standard_normal(rows),
    "AR(.9)": lambda rng, rows: autoregression(rng, 0.9, (rows,)),
    "loop": lambda rng, rows: learning_loop(rng, 0.5, rows)[0],
    "louder": lambda rng, rows: np.exp(np.linspace(0, 3, rows)) * rng.standard_normal(rows),
    "drift": lambda rng, rows: np.linspace(0, 10, rows) + rng.standard_normal(rows),
}


@pytest.mark.parametrize("kind", STEADY)
def test_no_change_in_a_steady_series(kind):
    rng = np.random.default_rng(6)
    found = [len(find_changes(STEADY[kind](rng, 1500), 0.05, seed)) > 0 for seed in range(100)]
    assert np.mean(found) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["white", "AR(.9)", "loop"])
def test_size_of_the_search(kind):
    rng = np.random.default_rng(7)
    found = [len(find_changes(STEADY[kind](rng, 3000), 0.05, seed)) > 0 for seed in range(400)]
    assert abs(np.mean(found) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_switch_is_found_at_its_place():
    misses = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        x = np.concatenate((learning_loop(rng, 0.05, 1800)[0], learning_loop(rng, 0.8, 1200)[0]))
        found = find_changes(x)
        misses.append(abs(found[0].row - 1800) / found[0].uncertainty if len(found) == 1 else np.inf)
    assert np.mean(np.array(misses) <= 1) > 0.8


def test_two_switches():
    rng = np.random.default_rng(8)
    x = np.concatenate([learning_loop(rng, gain, 4000)[0] for gain in (0.05, 0.9, 0.05)])
    rows = [change.row for change in find_changes(x)]
    assert len(rows) == 2
    assert rows == pytest.approx([4000, 8000], abs=375)


def test_permutation_p_and_the_best_cut():
    rho = np.concatenate((np.zeros((10, 3)), np.ones((6, 3)))) + 0.1 * np.random.default_rng(9).standard_normal((16, 3))
    place, p_value = best_cut(rho, np.random.default_rng(0))
    assert (place, p_value) == (10, 0.001)


def test_short_and_constant():
    assert windows_of(599) == 0
    assert windows_of(600) == 12
    assert find_changes(np.random.default_rng(10).standard_normal(599)) == []
    assert find_changes(np.ones(1000)) == []
    assert np.isnan(local_autocorrelation(np.ones(100), 50)).all()
    assert np.isnan(sliding_autocorrelation(np.ones(100), 50, 25, 3).values).all()
    with pytest.raises(ValueError, match="does not fit"):
        local_autocorrelation(np.ones(10), 50)
