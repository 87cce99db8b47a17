"""Real runs of the calibration: Gaussians that learn Gaussians, whose loops are known, and rings cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from calibration_cases import HALVES, Case, label_of
from gaussian_runs import (
    LEARNED,
    Planted,
    adam,
    chain_memory,
    column,
    noise_start,
    one_torch_thread,
    persistent_start,
    rate_for,
    sgd_momentum,
)
from scipy.optimize import brentq

from ebmdiag.errors import DivergenceError
from ebmdiag.numerics.loop import first_order
from ebmdiag.rows import temperature
from ebmdiag_trainers.data import Gaussian
from ebmdiag_trainers.recipe import load_recipe, recipe_from_tables
from ebmdiag_trainers.training import Algorithm, run

SEEDS, SEEDS_2, BATCH, SETTLING = 3, 8, 2000, 100
COLUMNS = ("d_s_t", "r_t")
AXIS_2 = (*COLUMNS, "energy_pos_sd", "virial", "gradient_power", "curvature")
PROBED = ("depth_d_1", "depth_d_10", "nested_rhat_energy")
_TOO_FAR = 0.1


@dataclass(frozen=True)
class Run:
    """One behaviour: a planted loop and how many rows to take."""

    name: str
    planted: Planted
    rows: int


def loops() -> tuple[Run, ...]:
    """Runs whose loop is known exactly to first order in 1 / batch."""
    return (
        Run("gaussian, g = 0.05", noise_start(0.05, batch=BATCH), 2500),
        Run("gaussian, g = 0.3", noise_start(0.3, batch=BATCH), 1200),
        Run("gaussian, g = 1", noise_start(1.0, batch=BATCH), 600),
        Run("gaussian, g = 1.5", noise_start(1.5, batch=BATCH), 600),
        Run("gaussian, Adam, g = 3, b = 0.9", adam(3.0, 0.9, batch=BATCH), 600),
        Run("gaussian, SGD, g = 2, b = 0.8", sgd_momentum(0.4, 0.8, batch=BATCH), 600),
        Run(f"gaussian, persistent, g = 1, a = {chain_memory(3):.2f}", persistent_start(1.0, batch=BATCH), 600),
        Run(f"gaussian, slow chains, g = 2, a = {chain_memory(1):.2f}", persistent_start(2.0, steps=1), 600),
    )


def learned(half: str) -> list[Case]:
    """All real runs of one half: both axes."""
    first, second = (range(1 + n * HALVES.index(half), 1 + n * (HALVES.index(half) + 1)) for n in (SEEDS, SEEDS_2))
    cases = [case for seed in first for case in (*_known(seed), diverging(4.0, seed))]
    return [*cases, *(case for seed in second for case in _short_runs(seed))]


def _known(seed: int) -> list[Case]:
    cases = []
    for one in loops():
        columns = one.planted.columns(one.rows, seed=seed, settling=SETTLING)
        label = label_of(one.planted.loop)
        cases.append(_case(one.name, "stability", label, {name: columns[name] for name in COLUMNS}))
    return cases


def _case(family: str, axis: str, label: str, columns: Mapping[str, np.ndarray], state: str = "finished") -> Case:
    kept = {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()}
    return Case(family, axis, label, kept, state)


def diverging(gain: float, seed: int, rows: int = 600) -> Case:
    """Beyond g = 2, from the fixed point."""
    assert label_of(first_order(gain)) == "diverging"
    heat = temperature(0.5)
    tables = {
        "training": {"iterations": rows, "batch": BATCH, "seed": seed},
        "data": {"source": "gaussian"},
        "net": {"factory": "GaussianEnergy", "coefficients": [heat * LEARNED], "coordinates": 1},
        "optimizer": {"name": "sgd", "learning_rate": rate_for(gain, chain_memory(5))},
        "langevin": {"epsilon": 0.5, "steps": 5, "start": "gaussian"},
    }
    found, state = _rows(tables, Gaussian((1.0,)))
    return _case(f"gaussian, g = {gain:g}", "stability", "diverging", _columns(found, COLUMNS), state)


def _rows(tables: Mapping[str, Any], data: Any) -> tuple[list[dict[str, float]], str]:
    algorithm = Algorithm.of(recipe_from_tables(dict(tables), "calibration"), data, torch.device("cpu"))
    rows: list[dict[str, float]] = []
    with one_torch_thread():
        try:
            rows.extend(info.row for _, info in run(algorithm, algorithm.initial_state()))
        except DivergenceError:
            return rows, "diverged"
    return rows, "finished"


def _columns(rows: list[dict[str, float]], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: column(rows, name) for name in names}


def variance_after(precision: float, epsilon: float, steps: int) -> float:
    """Variance of ``steps`` Langevin steps on Normal(0, 1/precision) from Normal(0, 1)."""
    a = (1 - epsilon**2 * precision / 2) ** (2 * steps)
    return a + (1 - a) / (precision * (1 - epsilon**2 * precision / 4))


def _short_runs(seed: int) -> list[Case]:
    """Chains long enough to forget their start, and chains that are not."""
    return [short_runs(*facts, seed) for facts in ((1.0, 0.3, 60), (0.25, 0.1, 20), (0.5, 0.1, 60))]


def short_runs(variance: float, epsilon: float, steps: int, seed: int, iterations: int = 80) -> Case:
    """Axis 2: noise starts of variance 1, data of variance c; learning begins at the λ where short runs have c."""
    learnt = brentq(lambda value: variance_after(value, epsilon, steps) - variance, 0.2, 1.9 / epsilon**2)
    slope = (variance_after(learnt + 1e-4, epsilon, steps) - variance) / 1e-4
    heat, off = temperature(epsilon), learnt * variance * (1 - epsilon**2 * learnt / 4) - 1
    tables = {
        "training": {"iterations": iterations, "batch": 100, "seed": seed},
        "data": {"source": "gaussian"},
        "net": {"factory": "GaussianEnergy", "coefficients": [heat * learnt], "coordinates": 5},
        "optimizer": {"name": "sgd", "learning_rate": 0.1 * heat / (-slope / 2)},
        "langevin": {"epsilon": epsilon, "steps": steps, "start": "gaussian"},
        "probe": {"every": 10, "chains": 100, "statistics": ["depth_scan", "nested_rhat"]},
    }
    rows, _ = _rows(tables, Gaussian((1 / variance,) * 5))
    columns = _columns(rows, AXIS_2)
    columns |= {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in PROBED}
    name = f"gaussian, c = {variance:g}, L = {steps}: λc = {1 + off:.2f}"
    return _case(name, "convergence", "short-run only" if abs(off) > _TOO_FAR else "converged", columns)


def rings(name: str, settings: tuple[str, ...], iterations: int) -> Case:
    """A recipe cut short: no label, an expectation."""
    recipe = load_recipe(name, (f"training.iterations={iterations}", *settings))
    from ebmdiag_trainers.data import load_dataset

    algorithm = Algorithm.of(recipe, load_dataset(recipe.data.source), torch.device("cpu"))
    with one_torch_thread():
        rows = [info.row for _, info in run(algorithm, algorithm.initial_state())]
    family = ", ".join((name, f"{iterations} iterations", *settings))
    return _case(family, "stability", "", _columns(rows, AXIS_2))
