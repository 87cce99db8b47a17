"""When a series has no correlation, and that scaling changes nothing."""

import numpy as np
import pytest

from ebmdiag.numerics.mean import mean_and_deviation
from ebmdiag.numerics.scaling import deviations, doubtful, spread_share, to_unit_size, undefined, unit_vector


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, 2.0, 3.0], "3 rows are too few"),
        ([0.0] * 10, "constant"),
        ([1e9] * 9 + [1e9 + 1e-6], "constant up to the rounding"),
        ([1e9] * 9 + [1e9 + 1e-5], ""),
        ([0.0] * 9 + [5e-324], ""),
    ],
)
def test_undefined(values, reason):
    found = undefined(np.array(values))
    assert (reason in found) if reason else found == ""


def test_few_rows():
    assert doubtful(49)
    assert doubtful(50) == ""


def test_scaling_is_exact():
    x = np.random.default_rng(41).standard_normal(50) * 1e-250
    scaled, exponent = to_unit_size(x)
    assert (np.ldexp(scaled, exponent) == x).all()
    assert 0.5 <= np.abs(scaled).max() < 1


def test_deviations_sum_to_nothing():
    scaled, exponent = deviations(1e9 + np.random.default_rng(42).standard_normal(1000))
    assert abs(scaled.sum()) < 1e-12
    assert 0 <= exponent <= 3


def test_unit_vector_has_length_one():
    x = np.arange(10.0)
    assert np.linalg.norm(unit_vector(x)) == pytest.approx(1, rel=1e-15)
    assert np.linalg.norm(unit_vector(x, centred=False)) == pytest.approx(1, rel=1e-15)
    assert np.isnan(unit_vector(np.ones(10))).all()


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_spread_share(offset):
    x = np.array([-1.0, 1.0] * 50) + offset
    assert spread_share(x * 1e200) == pytest.approx(1 / np.sqrt(1 + offset**2), rel=1e-12)
    assert spread_share(np.ones(5)) == 0


@pytest.mark.parametrize("size", [0.0, 5e-324, 1e-310, 1e-300, 0.75, 1.0, 3e5, 1e300, 1.7e308])
def test_a_product_with_a_power_of_two_is_that_power_to_the_last_bit(size):
    x = np.random.default_rng(0).uniform(-1, 1, 200) * size
    given = x.copy()
    scaled, exponent = to_unit_size(x)
    assert exponent == np.frexp(np.abs(x).max())[1]
    np.testing.assert_array_equal(scaled, np.ldexp(x, -exponent))
    deviations(x)
    undefined(x)
    np.testing.assert_array_equal(x, given)


def test_deviations_leave_their_argument_alone_and_are_as_written_down():
    x = 1e9 + np.random.default_rng(1).standard_normal(1000)
    given = x.copy()
    found, exponent = deviations(x)
    np.testing.assert_array_equal(x, given)
    scaled = np.ldexp(x, -30)
    shifted = scaled - scaled[0]
    shifted = shifted - shifted.mean()
    shifted = shifted - shifted.mean()
    np.testing.assert_array_equal(np.ldexp(found, exponent - 30), shifted)
    unit_vector(x)
    unit_vector(x, centred=False)
    mean_and_deviation(x)
    np.testing.assert_array_equal(x, given)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-300, 3.0, 1e300])
def test_unit_size_is_of_the_largest_magnitude_whatever_its_sign(sign, size):
    x = sign * size * np.array([0.1, 1.0, 0.5])
    scaled, exponent = to_unit_size(x)
    assert 0.5 <= np.abs(scaled).max() < 1
    assert (np.ldexp(scaled, exponent) == x).all()
