"""Correction for the number of tests: statsmodels' numbers, and what cannot be tested does not count."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ebmdiag.numerics.discoveries import adjusted


def test_it_is_that_of_statsmodels():
    p = np.random.default_rng(0).random(40) ** 3
    assert adjusted(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)


def test_tests_that_could_not_be_done_do_not_count():
    found = adjusted([0.01, np.nan, 0.03, 0.5])
    assert np.isnan(found[1])
    assert found[[0, 2, 3]] == pytest.approx(adjusted([0.01, 0.03, 0.5]))
    assert found[0] < 4 * 0.01  # negative control: three tests, not four
    assert adjusted([]).shape == (0,)
    assert np.isnan(adjusted([np.nan])).all()
