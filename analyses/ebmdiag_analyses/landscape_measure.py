"""One landscape as numbers: distances from the truth, their floor, weights of modes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.planar import Comparison, compare, mode_weights, outside, quadrature
from ebmdiag.numerics.planar_kernel import LOWEST, MOST_SAMPLES, Floor, kernel_density, sampling_floor
from ebmdiag.report.pictures import Landscape

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """Mass of each mode, shape (modes,): of the truth, of exp(-U), and the number of short-run samples in it."""

    names: tuple[str, ...]
    true: Floats
    learned: Floats
    counts: NDArray[np.int64]

    def error(self, weights: Floats) -> float:
        """The largest difference from the truth."""
        return float(np.abs(weights - self.true).max())

    @property
    def short(self) -> Floats:
        """Share of the short-run samples; NaN where there are none."""
        total = self.counts.sum()
        return self.counts / total if total else np.full(len(self.counts), np.nan)


@dataclass(frozen=True)
class Measured:
    """One landscape; ``short`` and ``floor`` are None where the samples have no kernel density."""

    step: int
    samples: int
    outside: int
    points: int
    learned: Comparison
    short: Comparison | None
    floor: Floor | None
    weights: Weights | None


@dataclass
class Floors:
    """Floors by truth, grid and count: all landscapes of a run share one, as a rule."""

    known: dict[tuple[bytes, bytes, int], Floor | None] = field(default_factory=dict)

    def of(self, landscape: Landscape, count: int) -> Floor | None:
        """The floor for as many samples."""
        key = (landscape.log_true.tobytes(), landscape.grid.tobytes(), count)
        if key not in self.known:
            self.known[key] = sampling_floor(landscape.log_true, landscape.grid, count)
        return self.known[key]


def measure(landscape: Landscape, floors: Floors) -> Measured:
    """Everything that is told of one landscape."""
    learned = compare(landscape.grid, landscape.log_true, -landscape.energy)
    samples = landscape.samples[:MOST_SAMPLES]
    law = kernel_density(samples, landscape.grid)
    known = law is not None and law.max() > LOWEST
    return Measured(
        step=landscape.step,
        samples=len(landscape.samples),
        outside=outside(landscape.samples, landscape.grid),
        points=len(landscape.grid),
        learned=learned,
        short=compare(landscape.grid, landscape.log_true, law) if law is not None and known else None,
        floor=floors.of(landscape, len(samples)) if known else None,
        weights=_weights(landscape, learned),
    )


def _weights(landscape: Landscape, learned: Comparison) -> Weights | None:
    if landscape.modes is None or landscape.sample_modes is None:
        return None
    count, area = len(landscape.mode_names), quadrature(landscape.grid)
    true, model = (
        mode_weights(log_density, landscape.modes, area, count) for log_density in (learned.log_true, learned.log_model)
    )
    counts = np.bincount(landscape.sample_modes, minlength=count).astype(np.int64)
    return Weights(landscape.mode_names, true, model, counts)
