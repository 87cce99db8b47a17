"""Other samplers in the place of the training's Langevin steps: what they learn, what they log, how they resume."""

import math

import numpy as np
import pytest
import torch
from gaussian_runs import EPSILON, LEARNED, learn
from helpers import TINY, assert_within_errors, record_of
from laws import QuadraticEnergy, gaussian_of

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import DivergenceError, RecipeError
from ebmdiag.rows import temperature
from ebmdiag_trainers.observables import OBSERVABLES, mean_gradient_norm
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.samplers.engine import sampler_engine
from ebmdiag_trainers.samplers.options import SAMPLERS, SamplerOptions

UNBIASED = {
    "mala": {"sampler": "mala"},
    "hmc": {"sampler": "hmc", "leapfrog": 3},
    "underdamped": {"sampler": "underdamped"},
    "underdamped-unadjusted": {"sampler": "underdamped-unadjusted"},  # baoab: exact positions on a Gaussian
    "gibbs": {"sampler": "gibbs", "step_size": 1.5},
}
BIASED = {"langevin": {}, "hmc-unadjusted": {"sampler": "hmc-unadjusted", "leapfrog": 3}}


def learned(sampler, iterations=250, coordinates=10):
    """Precisions learned at the end, one for each coordinate, from data of precision 1 and chains that begin right.

    The gain of the loop is 0.2: at the end an estimate is an average over some ten batches.
    """
    _, values = learn(
        1.0,
        iterations,
        epsilon=EPSILON,
        steps=4,
        rate=0.2 / 0.4 * temperature(EPSILON),
        batch=400,
        coordinates=coordinates,
        start="persistent",
        sampler=sampler,
    )
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", [*UNBIASED, *BIASED])
def test_what_is_learned(name):
    """An exact sampler learns the data's precision, an unadjusted one of bias v*(λ) the λ of v*(λ) = 1."""
    values = learned({**UNBIASED, **BIASED}[name], coordinates=4 if name == "gibbs" else 10)
    truth, other = (1.0, LEARNED) if name in UNBIASED else (LEARNED, 1.0)
    assert_within_errors(values, truth, 4.5)
    if name in ("mala", "langevin"):
        with pytest.raises(AssertionError):  # the two are told apart
            assert_within_errors(values, other, 4.5)


def measured(options, steps=30, chains=4000, epsilon=0.5):
    """Statistics of stationary chains on a correlated Gaussian, by the engine of these options."""
    heat = temperature(epsilon)
    precision = QuadraticEnergy().precision
    net = QuadraticEnergy(heat * precision)
    generator = torch.Generator().manual_seed(0)
    start = gaussian_of(torch.linalg.inv(precision), chains, generator)
    chain = sampler_engine(SamplerOptions(**options), (2, 1, 1))(net, start, steps, epsilon, generator)
    return chain, record_of(net, start, chain, epsilon)


@pytest.mark.parametrize("name", ["mala", "hmc", "underdamped"])
def test_statistics_of_an_exact_sampler(name):
    chain, record = measured({"name": name})
    found = {column: function(record) for column, function in OBSERVABLES.items()}
    per_chain = chain.sums.tail_position_gradient / (chain.sums.tail_steps * record.temperature * 2)
    assert_within_errors(per_chain, 1.0)
    assert found["virial"] == pytest.approx(float(per_chain.mean()))
    ratios = chain.sums.tail_ratio / chain.sums.tail_transitions
    assert_within_errors(ratios, 1.0)  # E r = 1 at stationarity
    assert 0.5 < found["mh_acceptance"] < 1
    assert found["configurational_temperature"] is None or math.isnan(found["configurational_temperature"])
    # r and the energies against direct evaluation
    assert found["energy_slope"] == pytest.approx(0, abs=0.02)
    trace = float(QuadraticEnergy().precision.diagonal().sum())
    power = chain.sums.tail_gradient_squared / (chain.sums.tail_steps * record.temperature**2)
    assert_within_errors(power, trace)  # E‖g‖² = tr P
    assert mean_gradient_norm(chain.sums) == pytest.approx(
        float((chain.sums.gradient_norm / chain.sums.steps).mean()), rel=1e-12
    )


def test_the_virial_without_its_correction_is_not_the_unadjusted_one():
    """Negative control: with the Langevin step's term the exact sampler's virial would be off."""
    chain, record = measured({"name": "mala"})
    squares = chain.sums.tail_gradient_squared / 2
    wrong = (chain.sums.tail_position_gradient - squares) / (chain.sums.tail_steps * record.temperature * 2)
    with pytest.raises(AssertionError):
        assert_within_errors(wrong, 1.0)


@pytest.mark.parametrize(("steps", "biased"), [(2, True), (40, False)])
def test_hot_copies_that_begin_cold_bias_short_runs(steps, biased):
    """As docs/samplers.md says: the cold chains are too narrow after few steps, and right after many."""
    x = torch.zeros(20_000, 1, 1, 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    epsilon = 0.5
    net, x = QuadraticEnergy(temperature(epsilon) * torch.eye(1, dtype=torch.float64)), x.normal_(generator=generator)
    options = SamplerOptions(name="mala", temperatures=(1.0, 2.0, 4.0))
    run = sampler_engine(options, (1, 1, 1))
    for _ in range(80 // steps):
        chain = run(net, x, steps, epsilon, generator)
        x = chain.end
    distance = (float(x.square().mean()) - 1) / math.sqrt(2 / len(x))
    assert (distance < -6) == biased
    assert biased or abs(distance) < 4
    assert math.isnan(chain.sums.virial_correction)


def test_where_no_identity_is_known_the_statistic_is_absent():
    _, record = measured({"name": "hmc-unadjusted"})
    assert math.isnan(OBSERVABLES["virial"](record))


TRAINED = [
    ("mala",),
    ("hmc", "langevin.leapfrog=2"),
    ("underdamped", "langevin.friction=0.5"),
    ("underdamped-unadjusted", "langevin.splitting=obabo"),
    ("hmc-unadjusted",),
    ("gibbs", "langevin.step_size=1.0"),
    ("mala", "langevin.temperatures=[1.0, 2.0]"),
    ("langevin", "langevin.temperatures=[1.0, 2.0]"),
]


def train(out, iterations, *more):
    settings = [word for setting in more for word in ("--set", setting)]
    tiny = [word for setting in TINY for word in ("--set", setting)]
    return call(["train", "rings", "--steps", str(iterations), "-q", "-o", out, *tiny, *settings])


@pytest.mark.parametrize("settings", TRAINED, ids=lambda settings: " ".join(settings))
def test_each_trains_and_resumes_exactly(workplace, settings):
    chosen = (f"langevin.sampler={settings[0]}", *settings[1:])
    assert train("whole.parquet", 12, *chosen) == 0
    assert train("parts.parquet", 6, *chosen) == 0
    assert call(["train", "rings", "--steps", "12", "-q", "-o", "parts.parquet", "--resume"]) == 0
    whole, parts = (read_trace(f"{name}.parquet").table.drop_columns("elapsed_s") for name in ("whole", "parts"))
    assert whole.equals(parts)
    row = whole.to_pandas().iloc[-1]
    assert np.isfinite(row[["d_s_t", "r_t", "v_t", "displacement"]].astype(float)).all()
    assert np.isnan(row["mh_acceptance"]) == settings[0].startswith("gibbs")
    assert np.isnan(row["curvature"])


def test_probes_that_fit_are_measured(workplace):
    assert train("a.parquet", 4, "langevin.sampler=mala", "probe.every=2", "probe.chains=8", "probe.copies=2") == 0
    row = read_trace("a.parquet").to_pandas().iloc[-1]
    assert np.isfinite(row["depth_d_1"])
    assert np.isnan(row["contraction"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("langevin.sampler=mla",), "unknown sampler 'mla'; did you mean 'mala'"),
        (("langevin.leapfrog=3",), "leapfrog belongs to sampler = 'hmc'"),
        (("langevin.step_size=0.1",), "the step of langevin is epsilon"),
        (("langevin.sampler=mala", "langevin.engine=fused"), "for the plain Langevin sampler"),
        (("langevin.sampler=mala", "langevin.precision=bfloat16"), "for the plain Langevin sampler"),
        (("langevin.sampler=mala", "langevin.epsilon=0.0"), "needs epsilon above 0"),
        (("langevin.sampler=mala", "probe.every=2", 'probe.statistics=["contraction"]'), "plain Langevin steps only"),
        (("langevin.sampler=mala", "probe.every=2", 'probe.statistics=["jarzynski"]'), "plain Langevin sampler"),
        (("langevin.sampler=gibbs-blocked",), "gibbs-blocked"),
    ],
)
def test_what_does_not_go_together_is_said(workplace, capsys, settings, said):
    assert train("a.parquet", 2, *settings) == 2
    answer = capsys.readouterr().err
    assert said in answer
    assert answer.count("\n") == 1


def test_every_sampler_is_trained_above_or_refused_by_rings():
    assert set(SAMPLERS) == {settings[0] for settings in TRAINED} | {"gibbs-blocked"}


def test_the_default_is_the_papers():
    recipe = load_recipe("flowers")
    assert recipe.langevin.is_plain
    with pytest.raises(ValueError, match="plain Langevin"):
        sampler_engine(SamplerOptions(name="mala"), (1,))(
            QuadraticEnergy(), torch.zeros(1, 2, 1, 1), 2, 0.1, torch.Generator(), closed=True
        )
    with pytest.raises(RecipeError):
        SamplerOptions.of_recipe(load_recipe("rings", ["langevin.sampler=nope"]).langevin)


@pytest.mark.slow
def test_the_correction_changes_the_outcome():
    """Data narrower than ε (precision 6 > 1/ε² = 4) are beyond the fold of the unadjusted step.

    No λ gives its chain their variance, and learning runs away. With a Metropolis correction of the same step it finds
    λ = 6.
    """

    def run(sampler):
        return learn(
            6.0,
            300,
            epsilon=EPSILON,
            steps=10,
            rate=6.5 * temperature(EPSILON),
            batch=300,
            coordinates=10,
            start="persistent",
            sampler=sampler,
        )

    with pytest.raises(DivergenceError):
        run({})
    rows, values = run({"sampler": "mala"})
    assert_within_errors(values, 6.0, 4.5)
    assert 0.4 < rows[-1]["mh_acceptance"] < 0.8
