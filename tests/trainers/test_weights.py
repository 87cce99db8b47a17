"""Jarzynski weights and the budget of d, on runs whose answer is known."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ebmdiag.rows import temperature
from ebmdiag_trainers.data import Gaussian
from ebmdiag_trainers.recipe import recipe_from_tables
from ebmdiag_trainers.training import Algorithm, iterate
from ebmdiag_trainers.weights import PathWeights, effective_share, log_mean_weight

EPSILON, SCALE = 0.5, 1.3
HEAT = temperature(EPSILON)


def gaussian_run(*, bank, batch, rate, precision=4.0, first=0.6, seed=0):
    """Two coordinates, two Langevin steps an iteration: the chains lag far behind the precision that is learned."""
    tables = {
        "training": {"iterations": 1000, "batch": batch, "seed": seed},
        "data": {"source": "gaussian"},
        "net": {"factory": "GaussianEnergy", "coefficients": [HEAT * first], "coordinates": 2},
        "optimizer": {"name": "sgd", "learning_rate": rate},
        "langevin": {
            "epsilon": EPSILON,
            "steps": 2,
            "start": "persistent",
            "bank": bank,
            "bank_start": "gaussian",
            "scale": SCALE,
        },
        "probe": {"every": 1000, "statistics": ["jarzynski"]},
    }
    recipe = recipe_from_tables(tables, "test")
    algorithm = Algorithm.of(recipe, Gaussian((precision, precision)), torch.device("cpu"))
    return algorithm, algorithm.initial_state()


def advance(algorithm, state, iterations):
    """The last row, and the precisions under which its chains were run."""
    for _ in range(iterations):
        precisions = state.net.coefficients.detach().double().numpy() / HEAT
        _, info = iterate(algorithm, state)
    return info.row, precisions


def weighted_second_moment(x, log_weight):
    """Self-normalized estimate of E x², and its standard error."""
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    estimate = weight @ x**2
    return estimate, np.sqrt((weight**2 * (x**2 - estimate) ** 2).sum())


@pytest.mark.slow
def test_weights_make_lagging_chains_exact():
    """E[e^A x²] / E[e^A] = 1/λ_t, with λ_t moving and two steps an iteration; without weights it is far off."""
    algorithm, state = gaussian_run(bank=20_000, batch=20_000, rate=0.02)
    row, precisions = advance(algorithm, state, 25)
    x = state.bank.chains.flatten(1).double().numpy()
    log_weight = state.bank.weights.log_weight.numpy()
    assert precisions.min() > 0.8  # it has moved from 0.6
    for axis in range(2):
        estimate, error = weighted_second_moment(x[:, axis], log_weight)
        assert abs(estimate - 1 / precisions[axis]) < 4 * error
        plain = x[:, axis] ** 2
        assert abs(plain.mean() - 1 / precisions[axis]) > 8 * plain.std() / len(plain) ** 0.5
    truth = -np.log(precisions).sum() / 2 - 2 * np.log(SCALE)
    spread = np.exp(log_weight - log_weight.mean())
    assert abs(row["jarzynski_log_z"] - truth) < 4 * spread.std() / spread.mean() / len(spread) ** 0.5
    assert row["jarzynski_ess"] == pytest.approx(1 / (1 + (spread.std() / spread.mean()) ** 2), rel=1e-3)


@pytest.mark.slow
def test_weights_of_chains_that_wait_their_turn():
    """A batch of a larger bank: chains that were not drawn catch up with the parameters when they are."""
    errors = []
    for seed in range(40):
        algorithm, state = gaussian_run(bank=900, batch=300, rate=0.02, seed=seed)
        row, precisions = advance(algorithm, state, 12)
        errors.append(np.exp(row["jarzynski_log_z"] + np.log(precisions).sum() / 2 + 2 * np.log(SCALE)))
    errors = np.array(errors)
    assert abs(errors.mean() - 1) < 4 * errors.std(ddof=1) / len(errors) ** 0.5
    assert errors.std(ddof=1) < 0.2


def test_the_faster_the_parameters_the_fewer_chains_count():
    shares = []
    for rate in (1e-9, 0.02, 0.1):
        algorithm, state = gaussian_run(bank=1000, batch=1000, rate=rate, first=1 / SCALE**2)
        row, _ = advance(algorithm, state, 10)
        shares.append(row["jarzynski_ess"])
    assert shares[0] > 0.9 > shares[1] > shares[2]


def test_effective_share_by_hand():
    log_weight = torch.tensor([0.0, 0.0, -1e3, -1e3], dtype=torch.float64)
    assert effective_share(log_weight) == pytest.approx(0.5)
    assert effective_share(log_weight + 500) == pytest.approx(0.5)
    assert log_mean_weight(log_weight) == pytest.approx(np.log(0.5))


def test_weights_of_the_start():
    chains = torch.tensor([[1.0, 2.0], [0.0, 2.0]])
    weights = PathWeights.of_gaussian_start(chains, 2.0)
    assert weights.energy.tolist() == [5 / 8, 4 / 8]
    zero = torch.zeros(1, dtype=torch.float64)
    found = weights.advance(torch.tensor([1]), zero + 0.3, zero + 0.1, zero + 7.0)
    assert found.tolist() == pytest.approx([0.5 - 0.3 + 0.1])
    assert weights.log_weight.tolist() == pytest.approx([0.0, 0.3])
    assert weights.energy.tolist() == pytest.approx([5 / 8, 7.0])


@pytest.mark.parametrize("start", ["persistent", "gaussian"])
def test_the_budget_sums_to_the_change_of_d(start):
    algorithm, state = gaussian_run(bank=50, batch=20, rate=0.05)
    if start == "gaussian":
        tables = algorithm.recipe.to_tables()
        tables["langevin"] = {"epsilon": EPSILON, "steps": 5, "start": "gaussian"}
        del tables["probe"]
        algorithm = Algorithm.of(recipe_from_tables(tables, "test"), algorithm.dataset, algorithm.device)
        state = algorithm.initial_state()
    rows = [iterate(algorithm, state)[1].row for _ in range(6)]
    assert rows[0]["budget_update"] is None
    for before, after in pairwise(rows):
        parts = [after[f"budget_{part}"] for part in ("update", "data", "sampler")]
        assert sum(parts) == pytest.approx(after["d_s_t"] - before["d_s_t"], rel=1e-6, abs=1e-9)
        assert parts[0] < 0  # plain SGD always lowers d on the samples of the update
        assert parts[0] == pytest.approx(-before["update_drop"] * before["d_s_t"] / before["z_t"], rel=1e-5)
        assert sum(parts[:2]) != pytest.approx(after["d_s_t"] - before["d_s_t"], rel=1e-3)


def test_the_first_part_of_the_budget_is_the_update_of_plain_sgd():
    """To first order the update lowers d by γ‖∇d‖², which is the gain in sampling errors."""
    algorithm, state = gaussian_run(bank=500, batch=500, rate=1e-3)
    rows = [iterate(algorithm, state)[1].row for _ in range(3)]
    expected = -rows[1]["update_gain"] * rows[1]["d_s_t"] / rows[1]["z_t"]
    assert rows[2]["budget_update"] == pytest.approx(expected, rel=0.02)
