"""The exactly solvable trainer, a Gaussian that learns a Gaussian: its runs, and the loops that they must be.

Coordinates are independent, of precision λ; the data's variance is 1. One Langevin step multiplies a deviation by
c = 1 - ε²λ/2 and adds noise of variance ε², so L steps take a variance v to

    a v + (1 - a) v*(λ),   a = c^(2L),   v*(λ) = 1 / (λ (1 - ε²λ/4)),   dv*/dλ = -c v*².

v* is the chain's own stationary variance, not 1/λ: learning stops at λ* = LEARNED, where v* = 1. The gradient of d
in λ is the error of the moment, mean x⁺²/2 - mean x⁻²/2, and the recipe's rate γ₀ moves λ by γ₀/T times that. So

    noise starts (variance 1 = v*(λ*)):  a fresh chain answers at once with (1-a) V, V = -½ dv*/dλ = c/2 at λ*;
    persistent chains:  the mean m of x⁻²/2 obeys m' = a m + (1-a) v*(λ)/2 + e. (The change of a itself with λ
        multiplies m - v*/2, which is 0 at the fixed point: second order.) x² of the stationary chain has the
        correlation a^k at k iterations, hence Var e = (1-a²) Var m. The loop's gain is (γ₀/T) V.

Data and chains have the same variance and number, so each has half of the sampling noise. d is the sum of λ times
the error over equal, independent coordinates: its correlations are those of one.

All this is linear in the noise. What it leaves out falls as 1/batch: with the exact law of the moments (chi-squared)
in place of the trainer, 150 runs of 4,000 rows each, the mean autocorrelation at lag 1 and g = 1.5 strays from the
prediction by 3 standard errors of one run at a batch of 2,000 and by 1 at 8,000; at g <= 1 by less than 0.5.

One such remainder matters, because the spectrum of d should vanish at frequency 0. U is linear in the coefficients
c, so plain SGD of rate γ obeys exactly ‖c'‖² = ‖c‖² - 2γ d + γ²‖∇d‖² (Euler's identity): not d is integrated, but
d - γ‖∇d‖²/2, whose sum is bounded. The rest has mean E d = γ E‖∇d‖²/2 > 0, and its fluctuation is a small floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq

from ebmdiag.numerics.loop import Loop, first_order, momentum, persistent, predict
from ebmdiag.rows import temperature
from ebmdiag_trainers.data import Gaussian
from ebmdiag_trainers.recipe import recipe_from_tables
from ebmdiag_trainers.training import Algorithm, run

EPSILON, STEPS, BATCH = 0.5, 20, 1000
HEAT = temperature(EPSILON)
LEARNED = brentq(lambda value: value * (1 - EPSILON**2 * value / 4) - 1, 0.1, 2.0)
SUSCEPTIBILITY = (1 - EPSILON**2 * LEARNED / 2) / 2
"""V: -d/dλ of E[x²/2] under the stationary law of the discrete chain, at unit variance."""

COLUMNS = ("d_s_t", "r_t", "z_t", "learning_rate", "parameter_gradient_norm")
_REACH = 2000  # lags at which a loop's correlations are summed


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Tensors this small are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learn(
    precision,
    iterations,
    *,
    epsilon,
    steps,
    rate,
    coordinates=20,
    first=None,
    start="gaussian",
    batch=100,
    seed=0,
    sampler=None,
    **optimizer,
):
    """Rows of a run on Normal(0, 1/precision) data, and the precisions learned in the end.

    Persistent chains start as Normal(0, 1), and all are used in each iteration. The optimizer is plain SGD
    unless its keys say otherwise. ``sampler``: further keys of [langevin].
    """
    heat = temperature(epsilon)
    tables = {
        "training": {"iterations": iterations, "batch": batch, "seed": seed},
        "data": {"source": "gaussian"},
        "net": {
            "factory": "GaussianEnergy",
            "coefficients": [heat * (precision if first is None else first)],
            "coordinates": coordinates,
        },
        "optimizer": {"name": "sgd", "learning_rate": rate, **optimizer},
        "langevin": {"epsilon": epsilon, "steps": steps, "start": start}
        | ({"bank": batch, "bank_start": "gaussian"} if start == "persistent" else {})
        | (sampler or {}),
    }
    algorithm = Algorithm.of(
        recipe_from_tables(tables, "test"), Gaussian((precision,) * coordinates), torch.device("cpu")
    )
    state = algorithm.initial_state()
    with one_torch_thread():
        rows = [info.row for _, info in run(algorithm, state)]
    return rows, state.net.coefficients.detach().double().numpy() / heat


def column(rows, name):
    return np.array([row[name] for row in rows])


def autocorrelation(x, lags):
    """Centred, at lags 1 … ``lags``."""
    x = x - x.mean()
    return np.array([x[lag:] @ x[: len(x) - lag] for lag in range(1, lags + 1)]) / (x @ x)


def rate_for(gain, kept=0.0):
    """The recipe's rate γ₀ of SGD at which the loop gain is ``gain``; ``kept``: a, for noise starts."""
    return gain * HEAT / (SUSCEPTIBILITY * (1 - kept))


def chain_memory(steps):
    """a: the share of a deviation of the second moment that is left after the steps."""
    return (1 - EPSILON**2 * LEARNED / 2) ** (2 * steps)


@dataclass(frozen=True)
class Planted:
    """A run of one coordinate whose loop is known: what the recipe says, and the loop that follows from it."""

    loop: Loop
    start: str
    steps: int
    rate: float
    batch: int
    optimizer: Mapping[str, Any] = field(default_factory=dict)

    def columns(self, iterations: int, *, seed: int = 0, settling: int = 200) -> dict[str, np.ndarray]:
        """Columns of a run that begins at its fixed point, after the first ``settling`` rows."""
        rows, (learned,) = learn(
            1.0,
            settling + iterations,
            epsilon=EPSILON,
            steps=self.steps,
            rate=self.rate,
            coordinates=1,
            first=LEARNED,
            start=self.start,
            batch=self.batch,
            seed=seed,
            **self.optimizer,
        )
        assert abs(learned / LEARNED - 1) < 0.25, f"the run has left its fixed point {LEARNED:.3f} for {learned:.3f}"
        return {name: column(rows[settling:], name) for name in COLUMNS}


def noise_start(gain, *, batch=4000, steps=5):
    """Plain SGD, chains without memory."""
    return Planted(first_order(gain), "gaussian", steps, rate_for(gain, chain_memory(steps)), batch)


def persistent_start(gain, *, batch=2000, steps=3):
    """Plain SGD, chains that keep the share ``chain_memory(steps)``; all of them are used in each iteration."""
    loop = persistent(gain, chain_memory(steps), chain_share=0.5)
    return Planted(loop, "persistent", steps, rate_for(gain), batch)


def sgd_momentum(gain, beta, *, batch=4000, steps=5):
    """SGD with momentum, noise starts; ``gain`` in SGD's style."""
    rate = rate_for(gain, chain_memory(steps))
    return Planted(momentum(gain, beta, style="sgd"), "gaussian", steps, rate, batch, {"momentum": beta})


def adam(gain, beta1, *, batch=4000, steps=5):
    """Adam, noise starts, at the rate at which its gain is ``gain``.

    Adam divides the averaged gradient by the root of its second moment, near the fixed point almost a constant: the
    gradient in a coefficient c = T λ is the moment's error over T, and the error's variance is Var z of the loop times
    that of the sampling noise, 1/(2 batch) for data and for chains. So one step moves λ by rate / (T sd) times the
    averaged error, and g = rate (1-a) V / (T sd), where sd depends on g. Left out: the second moment's own
    fluctuation (it spans 1 / (1 - beta2) = 1,000 rows, so a few per cent) and Adam's 1e-8.
    """
    loop = momentum(gain, beta1)
    deviation = float(np.sqrt(predict(loop, 1).standardized_variance / batch))
    rate = rate_for(gain, chain_memory(steps)) * deviation
    return Planted(loop, "gaussian", steps, rate, batch, {"name": "adam", "beta1": beta1})


def without_beta1(planted):
    """The same Adam at the same rate with beta1 = 0: a memoryless loop, whose gain its own scale decides."""
    gain = brentq(lambda g: adam(g, 0.0, batch=planted.batch, steps=planted.steps).rate - planted.rate, 0.01, 1.99)
    return adam(gain, 0.0, batch=planted.batch, steps=planted.steps)


def acf_covariance(loop: Loop, rows: int, lags: int) -> np.ndarray:
    """Covariance of the sample autocorrelations at lags 1 … ``lags`` of a loop's d, shape (lags, lags).

    Bartlett's formula for a linear process, in the form
        n Cov(r_k, r_l) = sum_{j>=1} A_kj A_lj,   A_kj = rho(j+k) + rho(j-k) - 2 rho(j) rho(k)
    (Brockwell and Davis 1991, Time Series: Theory and Methods, section 7.2).
    """
    rho = predict(loop, _REACH + lags).difference
    j, k = np.arange(1, _REACH + 1), np.arange(1, lags + 1)[:, None]
    spread = rho[j + k] + rho[np.abs(j - k)] - 2 * rho[j] * rho[k]
    return spread @ spread.T / rows


def acf_errors(loop: Loop, rows: int, lags: int) -> np.ndarray:
    """Standard errors of the sample autocorrelations at lags 1 … ``lags``."""
    return np.sqrt(np.diag(acf_covariance(loop, rows, lags)))


def misfit(d: np.ndarray, loop: Loop, lags: int = 8) -> float:
    """Largest distance of the measured autocorrelation of d from the loop's, at lags 1 … ``lags``, in its errors."""
    measured, predicted = autocorrelation(d, lags), predict(loop, lags).difference[1:]
    return float(np.abs((measured - predicted) / acf_errors(loop, len(d), lags)).max())
