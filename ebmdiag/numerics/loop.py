"""Learning as a feedback loop: what one linear mode predicts for the difference d and the state w.

Each update integrates the measured difference into the parameters; the sampler answers. Linearized about the
fixed point, w is the part of d that the parameters cause, g the loop gain (learning rate times susceptibility),
and the sampling noise (data batch and chain batch together) has variance 1.

First order: chains without memory, plain gradient steps.

    d_t = w_t + n_t,   w_{t+1} = w_t - g d_t                             L(z) = z - (1 - g)

    rho_k(d) = -(g/2)(1-g)^(k-1),  rho_k(w) = (1-g)^k,  Var d = 1 / (1 - g/2),
    corr(d[t+k], w[t]) = +√(g/2)(1-g)^k for k >= 0 and -√(g/2)(1-g)^(|k|-1) for k < 0.

Persistent: the chains keep a share a of their deviation from one iteration to the next; s is the chains' part
of the sampling variance (1/2 for batches of equal size and spread), 1 - s the data's. m is the chains' mean.

    m_t = a m_{t-1} - (1-a) w_t + e_t,  Var e = (1-a²) s,   d_t = q_t - m_t,  Var q = 1 - s,   w_{t+1} = w_t - g d_t

    L(z) = (z-1)(z-a) + g(1-a)z,   spectrum of d = |z-1|² (|z-a|² (1-s) + (1-a²) s) / |L(z)|²   on z = e^{iω}

Momentum: chains without memory, averaged gradient. Adam's style is v_t = b v_{t-1} + (1-b) d_t, w_{t+1} = w_t - g v_t:

    L(z) = (z-1)(z-b) + g(1-b)z,   spectrum of d = |z-1|² |z-b|² / |L(z)|².

SGD's style v_t = b v_{t-1} + d_t is the same loop with g(1-b) in place of its gain. In d alone, momentum is the
persistent loop without chain noise (s = 0, a = b); in w they differ. Complex poles have modulus √a (or √b).

Every loop: stable if and only if the zeros of L lie inside the unit circle, which for g > 0 means g < 2 or
g(1-a) < 2(1+a). The sum of rho_k(d) over k >= 1 is -1/2: the running sum of d stays bounded.

Floor: a share f of Var d that no loop answers within the record (modes of gain near 0 look white). It scales
rho_k(d) by 1 - f and the cross-correlation by √(1-f), and takes the sum above to -(1-f)/2.

Autocorrelations are exact: with x' = A x + B e, y = C x + D e and P = A P A' + B B',
    Cov(y_{t+k}, y_t) = C A^k P C' + C A^(k-1) B D'   (k >= 1),   C P C' + D D'   (k = 0).
The loops were derived for this project; theory of integral control: any textbook of linear systems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.scaling import Series

Kind = Literal["first", "persistent", "momentum"]


@dataclass(frozen=True)
class Loop:
    """One mode of the learning loop.

    Attributes:
        kind: ``first``, ``persistent`` or ``momentum``.
        gain: g > 0; for momentum in Adam's style.
        memory: a or b in [0, 1); 0 for the first order.
        chain_share: s in [0, 1]; 0 unless persistent.
        floor: share of Var d in [0, 1) that is white and unanswered.

    Raises:
        ValueError: a value is out of range.
    """

    kind: Kind
    gain: float
    memory: float = 0.0
    chain_share: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ValueError(f"the gain must be above 0, but is {self.gain}.")
        if not (0 <= self.memory < 1 and 0 <= self.chain_share <= 1 and 0 <= self.floor < 1):
            raise ValueError(f"memory, chain share and floor must lie between 0 and 1: {self}.")
        if (self.kind == "first" and self.memory) or (self.kind != "persistent" and self.chain_share):
            raise ValueError(f"a loop of kind {self.kind} has no such parameter: {self}.")

    @cached_property
    def poles(self) -> NDArray[np.complex128]:
        """Zeros of L, the largest modulus first, shape (1,) or (2,)."""
        g, a = self.gain, self.memory
        polynomial = [1.0, -(1 - g)] if self.kind == "first" else [1.0, -(1 + a - g * (1 - a)), a]
        found = np.roots(polynomial).astype(np.complex128)
        found = np.pad(found, (0, len(polynomial) - 1 - len(found)))
        return found[np.argsort(-np.abs(found), kind="stable")]

    @property
    def stable(self) -> bool:
        """Whether fluctuations die out."""
        return self.modulus < 1

    @property
    def modulus(self) -> float:
        """Of the largest pole: what is left of a fluctuation after one iteration."""
        return float(np.abs(self.poles[0]))

    @property
    def angle(self) -> float:
        """Of the largest pole, in radians from 0 to π: 0 no oscillation, π alternation of sign."""
        return float(abs(np.angle(self.poles[0])))

    @property
    def period(self) -> float:
        """Iterations of one oscillation: 2π / angle; infinite if the largest pole is real and positive."""
        return 2 * math.pi / self.angle if self.angle > 0 else math.inf

    @property
    def rings(self) -> bool:
        """Whether the poles are complex: a damped wave."""
        return bool(np.abs(self.poles[0].imag) > 1e-9)


def first_order(gain: float, *, floor: float = 0.0) -> Loop:
    """Chains without memory and plain gradient steps."""
    return Loop("first", gain, floor=floor)


def persistent(gain: float, memory: float, *, chain_share: float = 0.5, floor: float = 0.0) -> Loop:
    """Chains that keep the share ``memory`` of their deviation over one iteration."""
    return Loop("persistent", gain, memory, chain_share, floor)


def momentum(gain: float, beta: float, *, style: Literal["adam", "sgd"] = "adam", floor: float = 0.0) -> Loop:
    """An optimizer with momentum.

    Args:
        gain: learning rate times susceptibility.
        beta: Adam's beta1 or SGD's momentum, in [0, 1).
        style: ``adam``, v = b v + (1-b) grad; ``sgd``, v = b v + grad (its gain is divided by 1 - b here).
        floor: unanswered share of Var d.
    """
    return Loop("momentum", gain / (1 - beta) if style == "sgd" else gain, beta, floor=floor)


@dataclass(frozen=True)
class Prediction:
    """What a loop predicts.

    Attributes:
        difference: autocorrelation of d at lags 0 … K, shape (K + 1,).
        state: autocorrelation of w, the same shape.
        cross: corr(d[t+k], w[t]) at lags -K … K, shape (2 K + 1,).
        standardized_variance: Var d over the variance of its sampling noise, which is Var z.
    """

    difference: Series
    state: Series
    cross: Series
    standardized_variance: float


def predict(loop: Loop, max_lag: int) -> Prediction:
    """Exact correlations of a stable loop at lags up to ``max_lag``.

    Raises:
        ValueError: the loop is unstable, so it has no stationary law.
    """
    covariance = _covariances(loop, max_lag)
    (answered, _), (_, state) = covariance[0]
    white = answered * loop.floor / (1 - loop.floor)
    variance = answered + white
    difference = covariance[:, 0, 0] / variance
    difference[0] = 1.0
    size = math.sqrt(variance * state)
    cross = np.concatenate((covariance[:0:-1, 1, 0], covariance[:, 0, 1])) / size
    return Prediction(difference, covariance[:, 1, 1] / state, cross, variance / (1 + white))


def _covariances(loop: Loop, max_lag: int) -> NDArray[np.float64]:
    """Cov(y[t+k], y[t]) of y = (answered part of d, w), shape (K + 1, 2, 2)."""
    if not loop.stable:
        raise ValueError(f"{loop} is unstable (largest pole {loop.modulus:.4g}): nothing is stationary.")
    a, b, c, d = _system(loop)
    size = len(a)
    solved = np.linalg.solve(np.eye(size**2) - np.kron(a, a), (b @ b.T).ravel())
    stationary = solved.reshape(size, size)
    result = np.empty((max_lag + 1, 2, 2))
    result[0] = c @ stationary @ c.T + d @ d.T
    later = a @ stationary @ c.T + b @ d.T
    for lag in range(1, max_lag + 1):
        result[lag] = c @ later
        later = a @ later
    return result


Matrix = NDArray[np.float64]


def _system(loop: Loop) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """A, B, C, D of x' = A x + B e, (d, w) = C x + D e with unit white noises e.

    x = (w_t, m_{t-1}) for persistent chains, noises (q, e); x = (w_t, v_{t-1}) for momentum, noise n.
    """
    g, a, s = loop.gain, loop.memory, loop.chain_share
    if loop.kind == "first":
        return (
            np.array([[1 - g]]),
            np.array([[-g]]),
            np.array([[1.0], [1.0]]),
            np.array([[1.0], [0.0]]),
        )
    if loop.kind == "momentum":
        return (
            np.array([[1 - g * (1 - a), -g * a], [1 - a, a]]),
            np.array([[-g * (1 - a)], [1 - a]]),
            np.array([[1.0, 0.0], [1.0, 0.0]]),
            np.array([[1.0], [0.0]]),
        )
    data, chain = math.sqrt(1 - s), math.sqrt((1 - a * a) * s)
    return (
        np.array([[1 - g * (1 - a), g * a], [-(1 - a), a]]),
        np.array([[-g * data, g * chain], [0.0, chain]]),
        np.array([[1 - a, -a], [1.0, 0.0]]),
        np.array([[data, -chain], [0.0, 0.0]]),
    )


def spectrum(loop: Loop, frequency: Series) -> Series:
    """Power spectrum of d without its floor, at angular frequencies, shape kept; its mean over the circle is Var d."""
    g, a, s = loop.gain, loop.memory, loop.chain_share
    z = np.exp(1j * frequency)
    step = np.abs(z - 1) ** 2
    if loop.kind == "first":
        return np.asarray(step / np.abs(z - (1 - g)) ** 2, dtype=np.float64)
    noise = np.abs(z - a) ** 2 * (1 - s) + (1 - a * a) * s
    return np.asarray(step * noise / np.abs((z - 1) * (z - a) + g * (1 - a) * z) ** 2, dtype=np.float64)
