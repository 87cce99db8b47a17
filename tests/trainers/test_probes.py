"""Each costly statistic: its exact value on energies with known answers, and the fault that it is there to reveal."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import GaussianEnergy, QuarticEnergy, assert_within_errors
from scipy.stats import binomtest

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import EbmdiagError, RecipeError, UsageError
from ebmdiag.rows import temperature
from ebmdiag.statistics import BY_COLUMN
from ebmdiag_trainers.checkpoints import checkpoint_paths, load_checkpoint
from ebmdiag_trainers.energies import LaplaceEnergy
from ebmdiag_trainers.engines import ENGINES
from ebmdiag_trainers.nets import NETS
from ebmdiag_trainers.probes import PROBES, Moment, Probing, measure
from ebmdiag_trainers.recipe import Probe, load_recipe
from ebmdiag_trainers.updating import step_on

EPSILON = 0.3
SPECTRA = {
    "one": np.array([2.0]),
    "two": np.array([0.5, 4.0]),
    "fifty": np.linspace(0.5, 6.0, 50),
    "image": np.full(3072, 1.5),
}
CHAINS = {"one": 4000, "two": 4000, "fifty": 500, "image": 20}
SEEDS = 10


def stationary(precisions, epsilon=EPSILON):
    return 1 / (precisions * (1 - epsilon**2 * precisions / 4))


def normal(variance, count, seed):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, len(variance), generator=generator, dtype=torch.float64)
    return states * torch.as_tensor(variance).sqrt()


def moment_of(net, *, starts, positives=None, negatives=None, steps=20, epsilon=EPSILON, seed=1, **settings):
    return Moment(
        net=net,
        engine=ENGINES["reference"],
        epsilon=epsilon,
        temperature=temperature(epsilon),
        steps=steps,
        positives=starts if positives is None else positives,
        starts=starts,
        negatives=starts if negatives is None else negatives,
        generator=torch.Generator().manual_seed(10**6 + seed),  # never the stream that made the states
        rng=np.random.default_rng(seed),
        settings=Probe(every=1, **settings),
    )


def over_seeds(probe, precisions, chains, *, starts=None, positives=None, **more):
    """Columns of independent moments on a Gaussian, starts and positives of the given variances."""
    net = GaussianEnergy(precisions, EPSILON)
    own = 1 / precisions
    found = [
        PROBES[probe](
            moment_of(
                net,
                starts=normal(own if starts is None else starts, chains, 10 * seed),
                positives=normal(own if positives is None else positives, chains, 10 * seed + 1),
                seed=seed,
                **more,
            )
        )
        for seed in range(SEEDS)
    ]
    return {name: np.array([one[name] for one in found], dtype=float) for name in found[0]}


# --- the model against the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("width", [1.0, 1.3])
def test_data_virial_and_temperature(name, width):
    """tr Cov(x, λx) / N and Σλ²v / Σλ: both 1 where the data are the model, and known where they are too wide."""
    precisions = SPECTRA[name]
    found = over_seeds("data_fit", precisions, CHAINS[name], positives=width**2 / precisions)
    assert_within_errors(found["data_virial"], width**2, errors=4.5)
    assert_within_errors(found["data_temperature"], width**2, errors=4.5)
    for values in found.values():
        with pytest.raises(AssertionError, match="standard errors"):
            assert_within_errors(values, 1.3**2 if width == 1 else 1.0, errors=8)


def test_data_temperature_counts_kinks():
    """On exp(-b|x|) the virial is 1 and E g² = b² = E ΔU: the curvature is all in the kink."""
    epsilon, rate = 0.05, 1.5
    net = LaplaceEnergy([rate * temperature(epsilon)])
    rng = np.random.default_rng(3)
    found = [
        PROBES["data_fit"](
            moment_of(
                net, starts=torch.tensor(rng.laplace(scale=1 / rate, size=(20_000, 1))), epsilon=epsilon, seed=seed
            )
        )
        for seed in range(SEEDS)
    ]
    assert_within_errors([one["data_virial"] for one in found], 1.0, errors=4.5)
    assert np.mean([one["data_temperature"] for one in found]) == pytest.approx(1.0, abs=0.1)


# --- the depth scan -----------------------------------------------------------------------------------------------


def energy_gap(precisions, start, depth):
    """Exact d: (Σ λ (1/λ - v_depth)) / 2 with v' = (1 - ε²λ/2)² v + ε²."""
    variance = start.copy()
    for _ in range(depth):
        variance = (1 - EPSILON**2 * precisions / 2) ** 2 * variance + EPSILON**2
    return float((1 - precisions * variance).sum() / 2)


@pytest.mark.parametrize("name", ["one", "two", "fifty"])
def test_depth_scan_follows_the_chain_at_every_depth(name):
    precisions, steps = SPECTRA[name], 6
    start = 3 / precisions
    found = over_seeds("depth_scan", precisions, CHAINS[name] // 4, starts=start, steps=steps)
    depths = {"half": steps // 2} | {str(times): times * steps for times in (0, 1, 2, 5, 10)}
    for label, depth in depths.items():
        assert_within_errors(found[f"depth_d_{label}"], energy_gap(precisions, start, depth), errors=4.5)
    assert (found["depth_drift"] < -3.5).all()  # the chains still descend
    assert found["depth_drift"].mean() < -5
    with pytest.raises(AssertionError, match="standard errors"):
        assert_within_errors(found["depth_d_0"], energy_gap(precisions, start, 10 * steps))


def test_depth_drift_is_standard_normal_for_stationary_chains():
    precisions = SPECTRA["two"]
    net = GaussianEnergy(precisions, EPSILON)
    drifts = [
        PROBES["depth_scan"](moment_of(net, starts=normal(stationary(precisions), 40, seed), steps=4, seed=seed))[
            "depth_drift"
        ]
        for seed in range(200)
    ]
    assert abs(np.mean(drifts)) < 4 / 200**0.5
    assert np.var(drifts) == pytest.approx(1, abs=4 * (2 / 200) ** 0.5)


# --- kernel Stein discrepancy -------------------------------------------------------------------------------------


def test_discrepancy_of_the_right_and_of_a_shifted_law():
    precisions = SPECTRA["two"]
    net = GaussianEnergy(precisions, EPSILON)
    found = []
    for seed in range(100):
        x = normal(1 / precisions, 50, seed)
        found.append(PROBES["ksd"](moment_of(net, starts=x, negatives=x + 1.0, seed=seed)))
    assert_within_errors([one["ksd_data"] for one in found], 0.0)
    assert binomtest(sum(one["ksd_data_p"] <= 0.1 for one in found), 100, 0.1).pvalue > 1e-4
    assert np.mean([one["ksd_p"] < 0.05 for one in found]) > 0.9
    with pytest.raises(AssertionError, match="standard errors"):
        assert_within_errors([one["ksd"] for one in found], 0.0, errors=8)


# --- memory of the start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "remembers"), [(200, False), (10, True), (1, True)])
def test_nested_rhat_against_its_exact_value(steps, remembers):
    """One precision λ: R² = 1 + 1/M + a^{2L} v_0 / w, w the variance that L steps of noise add; a = 1 - ε²λ/2."""
    precision, copies, starts = 2.0, 5, 400
    factor = (1 - EPSILON**2 * precision / 2) ** 2
    added = EPSILON**2 * (1 - factor**steps) / (1 - factor)
    start = stationary(np.array([precision]))
    found = over_seeds("nested_rhat", np.array([precision]), starts * copies, starts=start, steps=steps, copies=copies)
    squares = found["nested_rhat_state"] ** 2
    freedom = starts * (copies - 1)
    truth = 1 + (1 / copies + factor**steps * start[0] / added) * freedom / (freedom - 2)
    assert_within_errors(squares, truth, errors=4.5)
    plain = (1 + 1 / copies) ** 0.5
    for name, values in found.items():
        sharp = values.std(ddof=1) / SEEDS**0.5
        if name == "nested_rhat_state" or steps != 10:  # U forgets twice as fast
            assert (values.mean() > plain + 6 * sharp) == remembers


@pytest.mark.parametrize("name", ["one", "image"])
def test_contraction_of_a_gaussian(name):
    precisions = SPECTRA[name]
    found = over_seeds("contraction", precisions, 10, steps=15)["contraction"]
    np.testing.assert_allclose(found, np.log(1 - EPSILON**2 * precisions[0] / 2), rtol=1e-9)


def test_contraction_of_frozen_and_of_exploding_chains():
    frozen = over_seeds("contraction", np.array([1e-4]), 10, steps=15)["contraction"]
    np.testing.assert_allclose(frozen, 0, atol=1e-5)
    too_steep = 3 / (EPSILON**2 / 2)  # the step overshoots: the distance doubles every time
    exploding = over_seeds("contraction", np.array([too_steep]), 10, steps=15)["contraction"]
    np.testing.assert_allclose(exploding, np.log(2), rtol=1e-9)


def test_contraction_is_not_stopped_by_rounding():
    """Chains of float32 that would meet at once: they are drawn apart again, and all steps measure the same rate."""
    precision = 1.8 / EPSILON**2  # a = 0.1
    net = GaussianEnergy([precision], EPSILON).float()
    found = PROBES["contraction"](moment_of(net, starts=normal(np.ones(1), 20, 1).float(), steps=200))
    assert found["contraction"] == pytest.approx(np.log(0.1), rel=1e-3)


def test_contraction_on_a_quartic_is_the_mean_growth_along_the_chain():
    """E log|1 - T U''(x)|, U'' = 3x², over the chain's own law, by long chains in NumPy; all steps count."""
    epsilon, heat = 0.4, temperature(0.4)
    rng, x, logs = np.random.default_rng(1), np.zeros(4000), []
    for step in range(400):
        if step >= 50:
            logs.append(np.log(np.abs(1 - heat * 3 * x**2)).mean())
        x = x - heat * x**3 + epsilon * rng.normal(size=4000)
    starts = torch.as_tensor(x[:, None])
    rates = [
        PROBES["contraction"](
            moment_of(
                QuarticEnergy(epsilon),
                starts=starts[400 * seed : 400 * (seed + 1)],
                steps=400,
                seed=seed,
                epsilon=epsilon,
            )
        )["contraction"]
        for seed in range(SEEDS)
    ]
    assert np.mean(rates) == pytest.approx(np.mean(logs), rel=0.02)  # pairs begin at a finite distance
    assert np.mean(rates) != pytest.approx(np.log(1 - heat * 3 * np.mean(x**2)), rel=0.05)  # not that of the mean


# --- how a run asks for them --------------------------------------------------------------------------------------


def test_the_table_names_each_probe_and_its_columns():
    precisions = SPECTRA["two"]
    moment = moment_of(GaussianEnergy(precisions, EPSILON), starts=normal(1 / precisions, 20, 1))
    for name, function in PROBES.items():
        assert set(function(moment)) == {s.column for s in BY_COLUMN.values() if s.probe == name}


def test_measuring_gives_none_where_a_net_overflows():
    """What is not finite is absent: a trace of the user's own takes the numbers as they are."""
    moment = moment_of(GaussianEnergy([1e3], 0.3).float(), starts=normal(np.ones(1), 20, 1).float(), steps=300)
    found = measure(moment)
    assert None in found.values()
    assert all(value is None or np.isfinite(value) for value in found.values())


def test_a_moment_of_a_net_that_was_trained_elsewhere():
    net = GaussianEnergy(SPECTRA["two"], EPSILON)
    states = normal(1 / SPECTRA["two"], 50, 1)
    found = measure(Moment.of(net, states, states, epsilon=EPSILON, steps=5))
    assert set(found) == {s.column for s in BY_COLUMN.values() if s.probe in PROBES}
    for wrong in ({"epsilon": 0.0}, {"steps": 0}, {"positives": states[:0]}):
        arguments = {"positives": states, "starts": states, "epsilon": EPSILON, "steps": 5} | wrong
        with pytest.raises(UsageError, match="a moment needs"):
            Moment.of(net, **arguments)


def test_one_chain_alone_gives_no_numbers_where_none_can_be_had():
    precisions = SPECTRA["two"]
    moment = moment_of(GaussianEnergy(precisions, EPSILON), starts=normal(1 / precisions, 1, 1), steps=3)
    found = {key: value for function in PROBES.values() for key, value in function(moment).items()}
    assert {name for name, value in found.items() if value is not None} == {
        f"depth_d_{label}" for label in ("0", "half", "1", "2", "5", "10")
    }


def columns(path):
    return read_trace(path).to_pandas().drop(columns="elapsed_s")


TINY = ("--set=langevin.steps=4", "--set=training.batch=8", "--set=langevin.bank=20", "--quiet")


def test_a_run_with_probes_learns_the_same_and_measures_now_and_then(workplace):
    assert call(["train", "rings", "--steps=7", "--out=plain.parquet", *TINY]) == 0
    assert call(["train", "rings", "--steps=7", "--out=probed.parquet", *TINY, "--set=probe.every=3"]) == 0
    plain, probed = columns("plain.parquet"), columns("probed.parquet")
    costly = [name for name, statistic in BY_COLUMN.items() if statistic.probe in PROBES]
    assert plain.drop(columns=costly).equals(probed.drop(columns=costly))
    assert plain[costly].isna().all(axis=None)
    assert probed.loc[probed["ksd"].notna(), "step"].tolist() == [3, 6]
    few = ("nested_rhat_energy", "nested_rhat_state", "data_temperature")  # 8 chains are too few for these
    some = [name for name in costly if name not in few]
    assert probed.loc[probed["step"] == 6, some].notna().all(axis=None)


def test_a_probe_of_the_users_own(workplace, capsys):
    (workplace / "mine.py").write_text(
        "def steepest(moment):\n    return float(moment.gradient(moment.positives).abs().max())\n"
        "def broken(moment):\n    return 1 / 0\n"
    )
    asked = ["train", "rings", "--steps=4", "--out=a.parquet", *TINY, "--set=probe.every=2"]
    assert call([*asked, "--set=probe.statistics=['mine:steepest','ksd']"]) == 0
    frame = columns("a.parquet")
    assert (frame["steepest"].dropna() > 0).all()
    assert frame["steepest"].notna().tolist() == [False, True, False, True]
    assert frame["data_virial"].isna().all()
    assert call([*asked, "--force", "--set=probe.statistics=['mine:broken']"]) != 0
    assert "your probe 'broken' failed at iteration 2" in capsys.readouterr().err
    assert (
        call([*asked, "--force", "--set=probe.statistics=mine:steepest", "--set=trace.statistics=mine:steepest"]) == 2
    )
    assert "rename one" in capsys.readouterr().err
    (workplace / "wrong.py").write_text(
        "def steepest(moment):\n    return 'steep'\n\ndef ksd(moment):\n    return 1.0\n"
    )
    (workplace / "unread.py").write_text("def (")
    for names, said in {
        "'mine:steepest','wrong:steepest'": "the name 'steepest' is taken",
        "'wrong:ksd'": "'ksd'",
        "'wrong:steepest'": "must return a number or None, but returned 'steep'",
        "'os:path'": "is no function, but module",
        "'unread:steepest'": "cannot be imported: SyntaxError",
    }.items():
        assert call([*asked, "--force", f"--set=probe.statistics=[{names}]"]) in (1, 2, 3)
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error


class Marked(torch.nn.Module):
    """A net with buffers that every forward pass moves, and dropout."""

    def __init__(self):
        super().__init__()
        self.inside = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(2, 16))
        self.norm = torch.nn.BatchNorm1d(16)
        self.drop = torch.nn.Dropout(0.2)
        self.outside = torch.nn.Linear(16, 1)

    def forward(self, x):
        return self.outside(self.drop(torch.tanh(self.norm(self.inside(x.flatten(1)))))).flatten()


def test_a_probe_leaves_no_mark_on_any_net(workplace, monkeypatch):
    """Spectral norm, BatchNorm, dropout, and a probe that overwrites whatever it is given."""
    (workplace / "meddling.py").write_text(
        "def meddles(moment):\n"
        "    moment.positives.clamp_(-0.1, 0.1)\n"
        "    moment.negatives.add_(1.0)\n"
        "    moment.net.eval()\n"
        "    moment.net.requires_grad_(False)\n"
        "    return 1.0\n"
    )
    monkeypatch.setattr("ebmdiag_trainers.nets.NETS", {**NETS, "Marked": Marked})
    asked = ["train", "rings", "--steps=6", *TINY, "--set=net.factory=Marked", "--set=langevin.engine=reference"]
    probes = ["--set=probe.every=2", "--set=probe.statistics=['meddling:meddles','ksd','depth_scan']"]
    assert call([*asked, "--out=plain.parquet"]) == 0
    assert call([*asked, "--out=probed.parquet", *probes]) == 0
    plain, probed = columns("plain.parquet"), columns("probed.parquet")
    measured = ["meddles", *(name for name, statistic in BY_COLUMN.items() if statistic.probe)]
    assert plain.drop(columns=measured, errors="ignore").equals(probed.drop(columns=measured))
    states = [load_checkpoint(checkpoint_paths(Path(f"{name}/checkpoints"))[-1]).values for name in ("plain", "probed")]
    for name, tensor in states[0]["net"].items():
        assert torch.equal(tensor, states[1]["net"][name]), name


def test_the_second_pass_of_an_update_repeats_the_first():
    """Dropout and BatchNorm: with a rate of 0 the update changes d by nothing at all."""
    torch.manual_seed(1)
    net, optimizer_rate = Marked(), 0.0
    optimizer = torch.optim.SGD(net.parameters(), lr=optimizer_rate)
    positives, negatives = torch.randn(30, 2), 2 * torch.rand(30, 2)
    drawn = torch.get_rng_state()
    energy_pos, energy_neg = net(positives), net(negatives)
    difference = float((energy_pos.mean() - energy_neg.mean()).detach())
    loss, before = energy_pos.mean() - energy_neg.mean(), torch.get_rng_state()
    update = step_on(loss, net, optimizer, positives, negatives, 1.0, None, drawn)
    assert update.difference_after == pytest.approx(difference, abs=1e-3)  # spectral norm turned once in between
    assert torch.equal(torch.get_rng_state(), before)
    other = step_on(net(positives).mean() - net(negatives).mean(), net, optimizer, positives, negatives, 1.0)
    assert other.difference_after != pytest.approx(difference, abs=1e-2)  # another mask


def test_what_a_recipe_may_ask_for():
    def probing(*settings):
        return Probing.of(load_recipe("rings", settings))

    assert not probing().functions
    assert set(probing("probe.every=5").functions) == set(PROBES)
    assert not probing("probe.every=5").weighted
    assert probing("probe.every=5", "langevin.bank_start=gaussian").weighted
    with pytest.raises(RecipeError, match="never measured while every = 0"):
        probing("probe.statistics=ksd")
    with pytest.raises(RecipeError, match="unknown probe 'ksdd'; did you mean 'ksd'"):
        probing("probe.every=5", "probe.statistics=ksdd")
    with pytest.raises(RecipeError, match="bank_start='gaussian'"):
        probing("probe.every=5", "probe.statistics=jarzynski")
    rounded = ("langevin.bank_start=gaussian", "langevin.precision=bfloat16")
    assert not probing("probe.every=5", *rounded).weighted  # differences of rounded energies weigh nothing
    with pytest.raises(RecipeError, match="precision='float32'"):
        probing("probe.every=5", "probe.statistics=jarzynski", *rounded)
    with pytest.raises(RecipeError, match="named twice"):
        probing("probe.every=5", "probe.statistics=['ksd','ksd']")
    with pytest.raises(EbmdiagError, match="cannot be imported"):
        probing("probe.every=5", "probe.statistics=ebmdiag:absent")
    with pytest.raises(RecipeError, match="bank_start belongs to"):
        probing("langevin.start=uniform", "langevin.bank=0", "langevin.bank_start=gaussian")


def test_a_net_of_the_users_own_has_all_statistics(workplace):
    """A net with a smooth activation and a skip connection, as no recipe of ours has it."""
    (workplace / "my_net.py").write_text(
        "import torch\n\n\n"
        "class Well(torch.nn.Module):\n"
        "    def __init__(self, width=8):\n"
        "        super().__init__()\n"
        "        self.inside = torch.nn.Linear(2, width)\n"
        "        self.outside = torch.nn.Linear(width, 1)\n\n"
        "    def forward(self, x):\n"
        "        flat = x.flatten(1)\n"
        "        return self.outside(torch.tanh(self.inside(flat))).flatten() + 0.01 * flat.square().sum(1)\n"
    )
    asked = ["train", "rings", "--steps=6", "--out=a.parquet", "--set=net.factory=my_net:Well", "--set=net.width=4"]
    settings = ("training.batch=20", "langevin.bank=40", "langevin.steps=5", "langevin.bank_start=gaussian")
    chosen = [f"--set={setting}" for setting in (*settings, "probe.every=3", "probe.copies=4", "data.noise=0.05")]
    assert call([*asked, *chosen, "--quiet"]) == 0
    row = columns("a.parquet").iloc[-1]
    doubtful = {"data_temperature", "configurational_temperature"}  # absent where the curvature is not known
    assert set(row.index[row.isna()]) <= doubtful
