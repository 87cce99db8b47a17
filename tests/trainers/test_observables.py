"""Each statistic of the row: its exact value at equilibrium, and the planted fault that it is there to reveal."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import GaussianEnergy, assert_within_errors, record_of
from scipy.stats import mannwhitneyu

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import EbmdiagError, RecipeError
from ebmdiag.statistics import BY_COLUMN
from ebmdiag_trainers.bank import Bank
from ebmdiag_trainers.engines import ENGINES
from ebmdiag_trainers.nets import NETS
from ebmdiag_trainers.observables import OBSERVABLES, mean_gradient_norm, observe, own_observables
from ebmdiag_trainers.optimizers import build_optimizer
from ebmdiag_trainers.probes import PROBES
from ebmdiag_trainers.recipe import Optimizer
from ebmdiag_trainers.updating import mean_energies, step_on

EPSILON, STEPS = 0.3, 20
SPECTRA = {
    "one": np.array([2.0]),
    "two": np.array([0.5, 4.0]),
    "fifty": np.linspace(0.5, 6.0, 50),
    "image": np.full(3072, 1.5),
}
CHAINS = {"one": 20_000, "two": 20_000, "fifty": 3_000, "image": 60}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def stationary(precisions, epsilon=EPSILON):
    return 1 / (precisions * (1 - epsilon**2 * precisions / 4))


def simulate(precisions, chains, *, widen=1.0, exact=False, energy_of=None, steps=STEPS, seed=1):
    """A record of chains that start at the stationary law of the discrete chain, times ``widen`` in variance.

    ``exact`` starts them at exp(-U) itself; ``energy_of`` runs them on other precisions than the start's.
    """
    variance = (1 / precisions if exact else stationary(precisions)) * widen
    start = torch.randn(chains, len(precisions), generator=generator(seed + 99), dtype=torch.float64)
    start = start * torch.as_tensor(variance).sqrt()
    net = GaussianEnergy(precisions if energy_of is None else energy_of, EPSILON)
    chain = ENGINES["reference"](net, start, steps, EPSILON, generator(seed))
    return record_of(net, start, chain, EPSILON)


def over_seeds(name, statistic, **options):
    """The statistic of ten independent batches of chains."""
    parts = 10
    return [
        OBSERVABLES[statistic](simulate(SPECTRA[name], CHAINS[name] // parts, seed=1000 * seed, **options))
        for seed in range(parts)
    ]


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("statistic", ["virial", "configurational_temperature", "energy_slope", "drift_to_noise"])
def test_equilibrium_values_of_stationary_chains(name, statistic):
    precisions = SPECTRA[name]
    heat = precisions / (1 - EPSILON**2 * precisions / 4)
    truth = {
        "virial": 1.0,
        "configurational_temperature": heat.sum() / precisions.sum(),
        "energy_slope": 0.0,
        "drift_to_noise": EPSILON**2 / 4 * heat.mean(),
    }[statistic]
    assert_within_errors(over_seeds(name, statistic), truth, errors=4.5)


@pytest.mark.parametrize("name", ["two", "fifty", "image"])
@pytest.mark.parametrize("statistic", ["virial", "configurational_temperature", "energy_slope", "drift_to_noise"])
def test_chains_that_are_too_wide_are_seen(name, statistic):
    """Planted fault: chains twice as wide as the model; each of these moves by many standard errors."""
    good = np.array(over_seeds(name, statistic, steps=4))
    bad = np.array(over_seeds(name, statistic, steps=4, widen=2.0))
    error = np.sqrt((good.var(ddof=1) + bad.var(ddof=1)) / len(good))
    assert abs(bad.mean() - good.mean()) > 8 * error


def one_step_ratios(precisions, chains, widen=1.0):
    """r of one step from the model's own law, by the engine: of two transitions only the second is in the tail."""
    start = torch.randn(chains, len(precisions), generator=generator(5), dtype=torch.float64)
    start = start * (widen / torch.as_tensor(precisions)).sqrt()
    net = GaussianEnergy(precisions, EPSILON)
    noise = torch.randn(3, *start.shape, generator=generator(6), dtype=torch.float64)
    noise[0] = net.scale * start / EPSILON  # the first step cancels its own drift: the chain is still at its start
    return ENGINES["reference"](net, start, 3, EPSILON, generator(0), noise=noise).sums.tail_ratio


@pytest.mark.parametrize("name", ["one", "two", "fifty"])
def test_mean_ratio_is_one_on_the_models_own_law(name):
    """E r = 1 where the state before the step follows exp(-U): detailed balance; and not where it is too wide."""
    assert_within_errors(one_step_ratios(SPECTRA[name], CHAINS[name]), 1.0)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_within_errors(one_step_ratios(SPECTRA[name], CHAINS[name], widen=1.5), 1.0)


def test_ratio_statistics_agree_with_each_other():
    record = simulate(SPECTRA["fifty"], 500, exact=True, steps=3)
    statistics = observe(record, {})
    assert 0 < statistics["mh_acceptance"] < 1
    assert statistics["mh_log_ratio_variance"] == pytest.approx(
        float(record.sums.tail_log_ratio_squared.mean() - record.sums.tail_log_ratio.mean() ** 2), rel=1e-9
    )


def test_displacement_once_mixed_is_twice_the_spread():
    precisions, steps = np.array([2.0, 4.0]), 150
    values = [OBSERVABLES["displacement"](simulate(precisions, 1000, steps=steps, seed=77 * seed)) for seed in range(8)]
    assert_within_errors(values, 2 * stationary(precisions).sum() / (EPSILON**2 * steps * 2))


def test_frozen_and_ballistic_chains_are_seen_by_displacement_and_straightness():
    start = torch.zeros(50, 100, dtype=torch.float64)

    def statistics(noise, slope):
        net = Tilt(slope)
        chain = ENGINES["reference"](net, start, STEPS, EPSILON, generator(0), noise=noise)
        return observe(record_of(net, start, chain, EPSILON), {})

    diffusing = statistics(torch.randn(STEPS, *start.shape, generator=generator(1), dtype=torch.float64), 0.0)
    assert diffusing["displacement"] == pytest.approx(1.0, abs=4 * np.sqrt(2 / (50 * 100)))
    assert diffusing["straightness"] == pytest.approx(STEPS**-0.5, rel=0.05)
    ballistic = statistics(torch.zeros(STEPS, *start.shape, dtype=torch.float64), 1.0)
    assert ballistic["straightness"] == pytest.approx(1.0)
    assert ballistic["displacement"] > 50
    frozen = statistics(torch.zeros(STEPS, *start.shape, dtype=torch.float64), 0.0)
    assert frozen["displacement"] == 0.0
    assert frozen["straightness"] is None


class Tilt(torch.nn.Module):
    """F = slope * sum x: a constant drift."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, x):
        return self.slope * x.flatten(1).sum(1)


def test_sizes_of_the_gradient():
    record = simulate(SPECTRA["fifty"], 200)
    with_noise = dataclasses.replace(record, data_noise=0.2)
    r = mean_gradient_norm(record.sums)
    assert OBSERVABLES["r_over_ceiling"](with_noise) == pytest.approx(r / (EPSILON**2 / 2 * 50**0.5 / 0.2))
    assert OBSERVABLES["r_over_ceiling"](record) is None
    wide = simulate(np.full(400, 1 / 0.7**2), 200)
    bias = 1 / (1 - EPSILON**2 / (4 * 0.7**2)) ** 0.5
    assert OBSERVABLES["sigma_eff"](wide) == pytest.approx(0.7 / bias, rel=0.01)


def test_energy_auc_is_the_rank_statistic():
    rng = np.random.default_rng(3)
    record = simulate(SPECTRA["one"], 10)
    pos, neg = rng.integers(0, 9, 70).astype(float), rng.integers(2, 12, 50).astype(float)
    found = OBSERVABLES["energy_auc"](
        dataclasses.replace(record, energy_pos=torch.as_tensor(pos), energy_neg=torch.as_tensor(neg))
    )
    assert found == pytest.approx(mannwhitneyu(pos, neg).statistic / (70 * 50), rel=1e-12)
    assert OBSERVABLES["energy_auc"](record) == 0.5


def one_update(name, net="ToyNet", rate=0.1, momentum=0.0, steps=1):
    """Updates on a fixed batch, and the record's update of the last one."""
    torch.manual_seed(2)
    built = NETS[net]().double()
    shape = (2, 1, 1) if net == "ToyNet" else (3, 32, 32)
    positives, negatives = (torch.randn(16, *shape, generator=generator(s), dtype=torch.float64) for s in (1, 2))
    optimizer = build_optimizer(Optimizer(name=name, learning_rate=rate, momentum=momentum), built.parameters(), 1.0)
    record = simulate(SPECTRA["one"], 16)
    for _ in range(steps):
        before = float(np.subtract(*mean_energies(built, positives, negatives, 0.5)))
        loss = (built(positives).mean() - built(negatives).mean()) / 0.5
        update = step_on(loss, built, optimizer, positives, negatives, 0.5)
        record = dataclasses.replace(record, difference=before, update=update)
    assert mean_energies(built, positives, negatives, 0.5) == (update.positives_after, update.negatives_after)
    return record


@pytest.mark.parametrize("net", NETS)
def test_last_layer_balance_is_exact_for_plain_sgd(net):
    assert abs(OBSERVABLES["last_layer_balance"](one_update("sgd", net, rate=1e-3))) < 1e-6


@pytest.mark.parametrize(("name", "momentum", "steps"), [("adam", 0.0, 1), ("sgd", 0.9, 3)])
def test_last_layer_balance_sees_other_optimizers(name, momentum, steps):
    rate = 1e-3 if name == "adam" else 1e-2
    assert abs(OBSERVABLES["last_layer_balance"](one_update(name, rate=rate, momentum=momentum, steps=steps))) > 0.01


def test_update_gain_predicts_the_drop_of_a_small_step_and_not_of_a_large_one():
    small = one_update("sgd", rate=1e-5)
    assert small.update.predicted_drop == pytest.approx(small.update.rate * small.update.gradient_norm**2, rel=1e-8)
    gain, drop = OBSERVABLES["update_gain"](small), OBSERVABLES["update_drop"](small)
    assert gain > 0
    assert drop == pytest.approx(gain, rel=0.01)
    large = one_update("sgd", rate=30.0)
    ratio = OBSERVABLES["update_drop"](large) / OBSERVABLES["update_gain"](large)
    assert abs(ratio - 1) > 0.1


def test_bank_use():
    bank = Bank.of(torch.zeros(10, 2))
    for step, slots in enumerate(([0, 1], [1, 2], [0, 3]), 1):
        bank.store(torch.tensor(slots), torch.ones(2, 2), step)
    use = bank.use(3)
    assert use.mean_visits == pytest.approx(6 / 10)
    assert use.unvisited == pytest.approx(6 / 10)
    assert use.mean_age == pytest.approx((0 + 1 + 1 + 0 + 6 * 3) / 10)
    assert bank.chains.sum() == 4 * 2


def test_every_observable_has_its_row_in_the_table():
    assert set(OBSERVABLES) <= set(BY_COLUMN)
    probed = {statistic.column for statistic in BY_COLUMN.values() if statistic.probe in PROBES}
    logged = {*OBSERVABLES, *probed, "step", "d_s_t", "v_t", "r_t", "z_t", "learning_rate", "elapsed_s"}
    logged |= {f"energy_{side}_{kind}" for side in ("pos", "neg") for kind in ("mean", "sd")}
    assert logged == set(BY_COLUMN)


def test_a_statistic_of_the_users_own(workplace, capsys):
    (workplace / "my_statistics.py").write_text(
        "def farthest(record):\n    return float(record.negatives.flatten(1).norm(dim=1).max())\n"
    )
    tiny = ["--set=langevin.steps=3", "--set=training.batch=5", "--quiet", "--out=a.parquet"]
    assert call(["train", "rings", "--steps=4", *tiny, "--set=trace.statistics=['my_statistics:farthest']"]) == 0
    assert (read_trace("a.parquet").series("farthest") > 0).all()
    assert call(["train", "rings", "--steps=4", *tiny, "--force", "--set=trace.statistics=my_statistics"]) == 2
    assert "takes 'module:function'" in capsys.readouterr().err
    with pytest.raises(EbmdiagError, match="cannot be imported"):
        own_observables(["my_statistics:absent"])
    with pytest.raises(RecipeError, match="takes 'module:function'"):
        own_observables(["x"])
