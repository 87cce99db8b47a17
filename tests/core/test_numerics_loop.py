"""Predictions of the learning loop: closed forms, the theory's checked numbers, and simulation of the recursions."""

import math

import numpy as np
import pytest

from ebmdiag.numerics.loop import Loop, first_order, momentum, persistent, predict, spectrum

LAGS = np.arange(1, 13)


@pytest.mark.parametrize("gain", [0.05, 0.3, 1.0, 1.5, 1.95])
def test_first_order_closed_forms(gain):
    found = predict(first_order(gain), 12)
    before = -np.sqrt(gain / 2) * (1 - gain) ** (LAGS - 1)
    assert found.difference[1:] == pytest.approx(-(gain / 2) * (1 - gain) ** (LAGS - 1), abs=1e-12)
    assert found.state[1:] == pytest.approx((1 - gain) ** LAGS, abs=1e-12)
    assert found.cross[12:] == pytest.approx(np.sqrt(gain / 2) * (1 - gain) ** np.arange(13), abs=1e-12)
    assert found.cross[11::-1] == pytest.approx(before, abs=1e-12)
    assert found.standardized_variance == pytest.approx(1 / (1 - gain / 2), abs=1e-12)
    assert found.difference[0] == found.state[0] == 1
    assert found.difference[1] == pytest.approx(-(found.cross[12] ** 2), abs=1e-12)


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (1.0, {1: -0.013, 2: -0.287, 3: -0.236, 5: 0.034, 8: 0.006}),
        (0.05, {1: 0.200, 2: 0.064, 3: 0.005, 5: -0.030, 8: -0.033}),
    ],
)
def test_persistent_chains_as_the_theory_says(gain, expected):
    found = predict(persistent(gain, 0.422), 8).difference
    assert {lag: round(float(found[lag]), 3) for lag in expected} == expected


@pytest.mark.parametrize("loop", [persistent(1, 0.4, chain_share=0.3), momentum(2, 0.8), momentum(0.3, 0.2)])
def test_spectrum_and_state_space_agree(loop):
    """Two derivations: the transfer function and the covariance equation."""
    size = 4096
    covariance = np.fft.ifft(spectrum(loop, 2 * np.pi * np.arange(size) / size)).real
    found = predict(loop, 20)
    assert covariance[:21] / covariance[0] == pytest.approx(found.difference, abs=1e-10)
    assert covariance[0] == pytest.approx(found.standardized_variance, abs=1e-10)


@pytest.mark.parametrize("loop", [first_order(0.7), persistent(1.3, 0.6), momentum(2.0, 0.7)])
def test_sum_of_correlations_is_minus_a_half(loop):
    """Integral action: the running sum of d stays bounded."""
    assert predict(loop, 500).difference[1:].sum() == pytest.approx(-0.5, abs=1e-9)
    floored = Loop(loop.kind, loop.gain, loop.memory, loop.chain_share, floor=0.4)
    assert predict(floored, 500).difference[1:].sum() == pytest.approx(-0.3, abs=1e-9)


def test_floor_scales():
    plain, floored = predict(first_order(0.5), 5), predict(first_order(0.5, floor=0.36), 5)
    assert floored.difference[1:] == pytest.approx(0.64 * plain.difference[1:], abs=1e-12)
    assert floored.cross == pytest.approx(0.8 * plain.cross, abs=1e-12)
    assert floored.state == pytest.approx(plain.state)
    answered = 1 / 0.75  # the variance of the answered part over that of its noise
    white = answered * 0.36 / 0.64
    assert floored.standardized_variance == pytest.approx((answered + white) / (1 + white))


def test_without_memory_all_loops_are_one():
    for other in (persistent(0.7, 0.0, chain_share=0.4), momentum(0.7, 0.0)):
        assert predict(other, 6).difference == pytest.approx(predict(first_order(0.7), 6).difference, abs=1e-12)
        assert predict(other, 6).cross == pytest.approx(predict(first_order(0.7), 6).cross, abs=1e-12)


def test_momentum_is_persistence_without_chain_noise_in_d_but_not_in_the_state():
    one, other = predict(momentum(2, 0.8), 9), predict(persistent(2, 0.8, chain_share=0.0), 9)
    assert one.difference == pytest.approx(other.difference, abs=1e-12)
    assert np.abs(one.cross - other.cross).max() > 0.1


def test_poles():
    loop = momentum(3.65, 0.9)
    assert loop.modulus == pytest.approx(math.sqrt(0.9))
    assert math.cos(loop.angle) == pytest.approx((1.9 - 0.365) / (2 * math.sqrt(0.9)))
    assert loop.rings
    assert loop.period == pytest.approx(2 * math.pi / loop.angle)
    alternating, calm = first_order(1.5), first_order(0.5)
    assert (alternating.period, alternating.rings) == (2.0, False)
    assert (calm.period, calm.modulus) == (math.inf, 0.5)
    assert len(momentum(1.0, 0.0).poles) == 2


def test_style_of_momentum():
    """SGD's momentum has no factor 1 - b: the same loop at a smaller gain."""
    assert momentum(0.2, 0.9, style="sgd").gain == pytest.approx(momentum(2.0, 0.9).gain)


@pytest.mark.parametrize(
    ("loop", "stable"),
    [
        (first_order(1.99), True),
        (first_order(2.01), False),
        (momentum(37.9, 0.9), True),
        (momentum(38.1, 0.9), False),
        (persistent(7.9, 0.6), True),
        (persistent(8.1, 0.6), False),
    ],
)
def test_stability(loop, stable):
    assert loop.stable is stable
    if not stable:
        with pytest.raises(ValueError, match="unstable"):
            predict(loop, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "first", "gain": 0.0},
        {"kind": "first", "gain": math.nan},
        {"kind": "first", "gain": 1.0, "memory": 0.5},
        {"kind": "momentum", "gain": 1.0, "memory": 1.0},
        {"kind": "momentum", "gain": 1.0, "memory": 0.5, "chain_share": 0.5},
        {"kind": "persistent", "gain": 1.0, "memory": 0.5, "floor": 1.0},
    ],
)
def test_wrong_parameters(wrong):
    with pytest.raises(ValueError):
        Loop(**wrong)


# Simulation: each recursion written down as in the module's preface, for many records at once.

RECORDS, STEPS, BURN_IN, REACH = 2000, 60, 150, 8


def simulated(step, rng):
    """d and w of many records, shape (STEPS, RECORDS) each; ``step(memory, rng) -> d, w``."""
    memory = {"w": np.zeros(RECORDS), "m": np.zeros(RECORDS)}
    rows = [step(memory, rng) for _ in range(BURN_IN + STEPS)][BURN_IN:]
    return np.array([d for d, _ in rows]), np.array([w for _, w in rows])


def memoryless_step(gain):
    def step(memory, rng):
        w = memory["w"]
        d = w + rng.standard_normal(RECORDS)
        memory["w"] = w - gain * d
        return d, w

    return step


def persistent_step(gain, memory_share, chain_share):
    def step(memory, rng):
        w, a = memory["w"], memory_share
        noise = np.sqrt((1 - a**2) * chain_share) * rng.standard_normal(RECORDS)
        memory["m"] = a * memory["m"] - (1 - a) * w + noise
        d = np.sqrt(1 - chain_share) * rng.standard_normal(RECORDS) - memory["m"]
        memory["w"] = w - gain * d
        return d, w

    return step


def momentum_step(gain, beta, style):
    def step(memory, rng):
        w = memory["w"]
        d = w + rng.standard_normal(RECORDS)
        memory["m"] = beta * memory["m"] + (1 - beta if style == "adam" else 1) * d
        memory["w"] = w - gain * memory["m"]
        return d, w

    return step


def distances(d, w, found):
    """Predicted against simulated, in standard errors over the records: all lags of all three, and Var d."""

    def errors(values):
        means = values.mean(axis=0)
        return means.mean() / (means.std(ddof=1) / np.sqrt(len(means)))

    def lagged(x, y, rho, lags):
        size = np.sqrt((x**2).mean() / (y**2).mean())
        now = slice(REACH, STEPS - REACH)
        squares = (x[now] ** 2 / size + y[now] ** 2 * size) / 2
        return [errors(x[REACH + k : STEPS - REACH + k] * y[now] - c * squares) for k, c in zip(lags, rho, strict=True)]

    later, both = range(1, REACH + 1), range(-REACH, REACH + 1)
    return np.abs(
        [
            *lagged(d, d, found.difference[1:], later),
            *lagged(w, w, found.state[1:], later),
            *lagged(d, w, found.cross, both),
            errors(d**2 - found.standardized_variance),
        ]
    )


RECURSIONS = [
    (memoryless_step(0.3), first_order(0.3)),
    (memoryless_step(1.4), first_order(1.4)),
    (persistent_step(1.0, 0.6, 0.5), persistent(1.0, 0.6)),
    (persistent_step(3.0, 0.7, 0.2), persistent(3.0, 0.7, chain_share=0.2)),
    (momentum_step(2.0, 0.8, "adam"), momentum(2.0, 0.8)),
    (momentum_step(0.2, 0.8, "sgd"), momentum(0.2, 0.8, style="sgd")),
]


@pytest.mark.parametrize(("step", "loop"), RECURSIONS, ids=lambda value: getattr(value, "kind", ""))
def test_predictions_match_the_simulated_recursion(step, loop):
    d, w = simulated(step, np.random.default_rng(101))
    assert distances(d, w, predict(loop, REACH)).max() < 4.5  # the largest of 34: 4.5 has p = 2e-4


@pytest.mark.parametrize("wrong", [first_order(0.33), persistent(0.3, 0.1), momentum(0.3, 0.1)])
def test_a_wrong_loop_is_seen(wrong):
    """Negative control: a gain off by a tenth, or a little memory."""
    d, w = simulated(memoryless_step(0.3), np.random.default_rng(101))
    assert distances(d, w, predict(wrong, REACH)).max() > 6
