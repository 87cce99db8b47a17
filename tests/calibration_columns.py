"""Traces of nets that do not learn any more, on the densities of calibration_chains: axis 2 from columns alone.

The net is the exact density; its rate is so low that nothing moves, the data are as the family says. Labels are the
family's: how far the law of its short runs is from the model.
"""

from __future__ import annotations

import numpy as np
import torch
from calibration_cases import Case
from calibration_chains import Chained, Drawn, label
from calibration_families import FAMILIES
from calibration_runs import AXIS_2, PROBED
from gaussian_runs import column, one_torch_thread
from torch import nn

from ebmdiag_trainers.recipe import recipe_from_tables
from ebmdiag_trainers.training import Algorithm, run

ITERATIONS, BATCH, EVERY, SEEDS = 80, 100, 20, 2
RATE = 1e-9
MEASURED = (*PROBED, "nested_rhat_state")
NAMES = (
    "correlated normal, rho = 0.8",
    "normal from 10 sd, 1% left",
    "normal from 10 sd, 10% left",
    "normal from 10 sd, 20% left",
    "correlated normal, L too short",
    "Student t, from far, L too short",
    "two modes 10 sd apart, weight 0.2; noise, copies 1",
    "hidden modes 8 sd apart in 100 dimensions, weight 0.2; noise, copies 1",
    "rings from noise, long from noise",
    "normals, h²λ/4 = 0.02, long run langevin",
    "normals, h²λ/4 = 0.35, long run langevin",
    "100 normals, h²λ/4 = 0.1, long run langevin",
    "normal, data 1.5 sd off; long langevin, copies 2",
    "modes of other weights; long mala, copies 2",
    "data right, chains that hardly move",
)


def net(number: int) -> nn.Module:
    """A family's density, for a recipe that names this function."""
    return FAMILIES[number].model()


def columns_of(half: int) -> list[Case]:
    """All cases of one half, 0 or 1: seeds of its own."""
    seeds = range(1 + SEEDS * half, 1 + SEEDS * (half + 1))
    known = {family.name: family for family in FAMILIES}
    return [case(known[name], seed) for name in NAMES for seed in seeds]


def case(family: Chained, seed: int) -> Case:
    """One trace."""
    langevin = {"epsilon": family.epsilon, "steps": family.steps_short, "start": family.start}
    tables = {
        "training": {"iterations": ITERATIONS, "batch": BATCH, "seed": seed},
        "data": {"source": "gaussian"},
        "net": {"factory": f"{__name__}:net", "number": FAMILIES.index(family)},
        "optimizer": {"name": "sgd", "learning_rate": RATE},
        "langevin": {**langevin, "scale": family.scale, "sampler": "langevin"},
        "probe": {"every": EVERY, "chains": BATCH, "statistics": ["depth_scan", "nested_rhat"]},
    }
    algorithm = Algorithm.of(recipe_from_tables(tables, "calibration"), Drawn(family), torch.device("cpu"))
    with one_torch_thread():
        rows = [info.row for _, info in run(algorithm, algorithm.initial_state())]
    found = {name: column(rows, name) for name in (*AXIS_2, "mh_acceptance")}
    found |= {name: np.array([row.get(name) or np.nan for row in rows], dtype=float) for name in MEASURED}
    kept = {name: np.asarray(values, dtype=np.float32) for name, values in found.items()}
    return Case(f"columns: {family.name}", "convergence", label(family), kept)
