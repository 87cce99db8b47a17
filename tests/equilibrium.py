"""What each statistic must be on a Gaussian whose chains are at their stationary law, and how to measure it.

One precision λ, ε, T = ε²/2, a = 1 - ε²λ/2: the unadjusted chain x' = a x + ε z has the variance
v = ε² / (1 - a²) = 1 / (λ (1 - ε²λ/4)). On a quadratic energy log r = k (x² - x'²) with k = ε²λ²/8. With x, x' jointly
Gaussian, E exp(s k (x² - x'²)) is a determinant. The tests assert these values, docs/make_equilibrium.py prints them.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from helpers import GaussianEnergy, record_of
from scipy.special import ndtr
from scipy.stats import chi2

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines import ENGINES
from ebmdiag_trainers.nets import ToyNet
from ebmdiag_trainers.observables import OBSERVABLES, observe
from ebmdiag_trainers.probes import PROBES, Moment
from ebmdiag_trainers.recipe import Probe
from ebmdiag_trainers.updating import step_on
from ebmdiag_trainers.weights import PathWeights, effective_share, log_mean_weight

STEPS = 20
COPIES = 5
RHAT_ONCE_FORGOTTEN = math.sqrt(1 + 1 / COPIES)
SPECTRA = {
    "N=1": np.array([2.0]),
    "N=2": np.array([0.5, 4.0]),
    "N=50": np.linspace(0.5, 6.0, 50),
    "N=3072": np.full(3072, 1.5),
}
CHAINS = {"N=1": 2000, "N=2": 2000, "N=50": 300, "N=3072": 20}
STEP_SIZES = (0.1, 0.3, 0.6)


@dataclass(frozen=True)
class Setting:
    """A Gaussian, a step size, and a number of chains."""

    precisions: np.ndarray
    epsilon: float
    chains: int
    steps: int = STEPS

    @property
    def memory(self):
        """A, of each coordinate."""
        return 1 - self.epsilon**2 * self.precisions / 2

    @property
    def variance(self):
        """v, of each coordinate."""
        return 1 / (self.precisions * (1 - self.epsilon**2 * self.precisions / 4))

    @property
    def equal(self):
        """Whether all precisions are one."""
        return len(np.unique(self.precisions)) == 1

    def draw(self, variance, generator):
        """Independent normal states, float64."""
        states = torch.randn(self.chains, len(self.precisions), generator=generator, dtype=torch.float64)
        return states * torch.as_tensor(variance).sqrt()


def setting(name, epsilon, share=1.0):
    """One of the spectra at a step size."""
    return Setting(SPECTRA[name], epsilon, max(20, round(CHAINS[name] * share)))


def exact(at):
    """Column → value at equilibrium, where one is known."""
    precisions, epsilon, variance, memory = at.precisions, at.epsilon, at.variance, at.memory
    count, slope = len(precisions), epsilon**2 * precisions**2 / 8
    forgotten = memory**at.steps
    spread = 4 * slope**2 * variance**2 * (1 - memory**2)  # Var(k x² - k x'²)
    gap = float((1 - precisions * variance).sum() / 2)
    added = variance * (1 - forgotten**2)
    found = {
        "z_t": 0.0,
        "virial": 1.0,
        "gradient_power": float((precisions**2 * variance).mean()),
        "curvature": float(precisions.mean()),
        "configurational_temperature": float((precisions**2 * variance).sum() / precisions.sum()),
        "mh_log_ratio": 0.0,
        "mh_log_ratio_variance": float(spread.sum()),
        "energy_slope": 0.0,
        "displacement": float((2 * variance * (1 - forgotten)).mean() / (epsilon**2 * at.steps)),
        "drift_to_noise": float((epsilon**2 * precisions**2 * variance / 4).mean()),
        "energy_auc": 0.5,
        "data_virial": 1.0,
        "data_temperature": 1.0,
        **{f"depth_d_{depth}": gap for depth in ("0", "half", "1", "2", "5", "10")},
        "depth_drift": 0.0,
        "ksd": 0.0,
        "ksd_p": 0.5,
        "ksd_data": 0.0,
        "ksd_data_p": 0.5,
        "nested_rhat_state": math.sqrt(1 + 1 / COPIES + float((forgotten**2 * variance).sum() / added.sum())),
    }
    if spread.sum() < 1:  # above, the mean is that of a few huge ratios
        found["mh_ratio"] = float(np.prod((1 - spread) ** -0.5))
    if float(forgotten.max()) < 0.02:
        found["nested_rhat_energy"] = RHAT_ONCE_FORGOTTEN
    if at.equal:
        chi = math.sqrt(2) * math.exp(math.lgamma((count + 1) / 2) - math.lgamma(count / 2))
        r = temperature(epsilon) * precisions[0] * math.sqrt(variance[0]) * chi
        found |= {
            "r_t": r,
            "sigma_eff": temperature(epsilon) * math.sqrt(count) / r,
            "contraction": math.log(memory[0]),
            "mh_acceptance": _acceptance(math.sqrt(spread[0]), count),
        }
    share = _effective_share(at)
    if share > 0.3 and at.chains >= 100:  # below, the mean weight is that of a few chains
        found |= {"jarzynski_log_z": 0.0, "jarzynski_ess": share}
    return found


def _acceptance(size, count):
    """E min(1, r) = 1/2 + E[e^{s²/2} Φ(-s)], s² = size² χ²_N: log r is Normal(0, s²) given half of its factors."""
    quantiles = chi2.ppf((np.arange(20_000) + 0.5) / 20_000, count)
    s = size * np.sqrt(quantiles)
    return float(0.5 + np.mean(np.exp(s**2 / 2) * ndtr(-s)))


def _effective_share(at):
    """1 / E e^{2A} of L steps from exp(-U) itself, A = k (x_0² - x_L²); E e^A = 1."""
    start = 1 / at.precisions
    end = at.variance + (start - at.variance) * at.memory ** (2 * at.steps)
    together = at.memory**at.steps * start
    slope = at.epsilon**2 * at.precisions**2 / 8
    factors = (1 - 4 * slope * start) * (1 + 4 * slope * end) + 16 * slope**2 * together**2
    return float(np.sqrt(np.prod(factors)))


def measure(at, seed, *, widen=1.0, heat=1.0, data=1.0, shift=0.0, jump=1.0):
    """All statistics of one independent set of chains.

    Faults: ``widen`` and ``data`` multiply the variance of the starts and of the data, ``heat`` that of the Langevin
    noise; ``shift`` is added to the data; ``jump`` multiplies the precisions under chains that carry weights.
    """
    own = np.random.SeedSequence([seed, len(at.precisions), round(1000 * at.epsilon)])  # cells are independent
    generator = torch.Generator().manual_seed(int(own.generate_state(1)[0]))
    net = GaussianEnergy(at.precisions, at.epsilon)
    start = at.draw(at.variance * widen, generator)
    noise = None
    if heat != 1:
        noise = math.sqrt(heat) * torch.randn(at.steps, *start.shape, generator=generator, dtype=torch.float64)
    chain = ENGINES["reference"](net, start, at.steps, at.epsilon, generator, noise=noise)
    record = record_of(net, start, chain, at.epsilon)
    other = net(at.draw(at.variance * data, generator)).double()
    error = math.sqrt(float(record.energy_neg.var() + other.var()) / at.chains)
    found = observe(replace(record, energy_pos=other), {})
    found["r_t"] = float(chain.sums.gradient_norm.mean()) / at.steps
    found["z_t"] = float(other.mean() - record.energy_neg.mean()) / error
    return found | _probed(at, net, start, generator, seed, widen, data, shift) | _weighted(at, net, generator, jump)


def _probed(at, net, start, generator, seed, widen, data, shift):
    moment = Moment(
        net=net,
        engine=ENGINES["reference"],
        epsilon=at.epsilon,
        temperature=temperature(at.epsilon),
        steps=at.steps,
        positives=at.draw(data / at.precisions, generator) + shift,
        starts=start,
        negatives=at.draw(widen / at.precisions, generator),
        generator=generator,
        rng=np.random.default_rng(seed),
        settings=Probe(every=1, copies=COPIES),
    )
    found = {}
    for name, probe in PROBES.items():
        few = 100 if name == "ksd" else at.chains  # its cost is quadratic
        found |= probe(replace(moment, positives=moment.positives[:few], negatives=moment.negatives[:few]))
    return found


def _weighted(at, net, generator, jump):
    """Weights of L closed steps from exp(-U) itself, on the energy ``jump`` U."""
    start = at.draw(1 / at.precisions, generator)
    energy = net(start).double() / temperature(at.epsilon)
    net = GaussianEnergy(jump * at.precisions, at.epsilon)
    sums = ENGINES["reference"](net, start, at.steps, at.epsilon, generator, closed=True).sums
    weights = PathWeights(torch.zeros_like(energy), energy.clone())
    first = sums.first_energy / temperature(at.epsilon)
    found = weights.advance(torch.arange(at.chains), first, sums.log_ratio, energy)
    return {"jarzynski_ess": effective_share(found), "jarzynski_log_z": log_mean_weight(found)}


@dataclass(frozen=True)
class Cell:
    """A statistic at one setting: exact value, mean of independent measurements, its standard error."""

    column: str
    exact: float
    mean: float
    error: float

    @property
    def errors(self):
        """Distance in standard errors; 0 where both agree to rounding."""
        distance = self.mean - self.exact
        if abs(distance) <= 1e-9 * max(1, abs(self.exact)):
            return 0.0
        return distance / self.error if self.error > 0 else math.copysign(math.inf, distance)


def cells(at, seeds):
    """One cell for each statistic with a known value."""
    rows = [measure(at, seed) for seed in range(seeds)]
    return [cell(column, value, [row[column] for row in rows]) for column, value in exact(at).items()]


def cell(column, value, measured):
    """The mean of independent measurements beside what it should be."""
    values = np.array(measured, dtype=float)
    return Cell(column, value, float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


# --- planted faults -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """Something wrong, and the statistics that must say so: column → value without the fault."""

    name: str
    rows: object
    wanted: dict

    def cells(self, seeds):
        """The measured values under the fault, beside the wanted ones."""
        rows = [self.rows(seed) for seed in range(seeds)]
        return [cell(column, value, [row[column] for row in rows]) for column, value in self.wanted.items()]


def _gaussian_fault(name, at, columns, ideal=None, **planted):
    wanted = {column: exact(at)[column] for column in columns} | (ideal or {})
    return Fault(name, lambda seed: measure(at, seed, **planted), wanted)


def _decayed(seed):
    """One step of SGD with weight decay that the recipe does not know of, on ToyNet."""
    return {"last_layer_balance": OBSERVABLES["last_layer_balance"](_one_step(seed, weight_decay=0.1))}


def _one_step(seed, rate=0.01, **options):
    torch.manual_seed(0)
    net = ToyNet()
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, **options)
    positives, negatives = torch.randn(64, 2, 1, 1), 2 * torch.rand(64, 2, 1, 1)
    heat = temperature(0.125)
    energy_pos, energy_neg = net(positives), net(negatives)
    loss = (energy_pos.mean() - energy_neg.mean()) / heat
    difference = float(loss.detach())
    update = step_on(loss, net, optimizer, positives, negatives, heat)
    at = setting("N=2", 0.3, 0.02)
    start = at.draw(at.variance, torch.Generator().manual_seed(seed))
    gaussian = GaussianEnergy(at.precisions, at.epsilon)
    chain = ENGINES["reference"](gaussian, start, 2, at.epsilon, torch.Generator().manual_seed(seed))
    record = record_of(gaussian, start, chain, at.epsilon)
    return replace(
        record,
        temperature=heat,
        difference=difference,
        update=update,
        energy_pos=energy_pos.detach().double(),
        energy_neg=energy_neg.detach().double(),
    )


def _separable(seed):
    """Means agree, so d is near 0, but nine positives of ten lie above the negatives, and one far below."""
    rng = np.random.default_rng(seed)
    low = rng.random(2000) < 0.1
    positives = rng.normal(size=2000) + np.where(low, -18.0, 2.0)
    negatives = rng.normal(size=2000)
    record = replace(_one_step(0), energy_pos=torch.tensor(positives), energy_neg=torch.tensor(negatives))
    return {"energy_auc": OBSERVABLES["energy_auc"](record)}


def _greedy(seed):
    """A learning rate so high that one step turns d over."""
    record = _one_step(seed, rate=0.05)
    drop, gain = OBSERVABLES["update_drop"](record), OBSERVABLES["update_gain"](record)
    return {"update_gain": gain, "update_drop": drop}


def faults():
    """All planted faults."""
    small = setting("N=2", 0.3)
    wide = replace(small, steps=4)
    coarse = Setting(SPECTRA["N=50"], 0.75, 300)
    frozen = Setting(SPECTRA["N=1"], 0.01, 1000)
    return [
        _gaussian_fault(
            "wrong temperature: noise 20% too strong",
            small,
            ("virial", "drift_to_noise", "mh_log_ratio_variance", "energy_auc", "z_t"),
            heat=1.44,
        ),
        _gaussian_fault(
            "step too large: ε²λ/4 up to 0.84",
            coarse,
            (),
            ideal={
                "configurational_temperature": 1.0,
                "mh_log_ratio_variance": 0.0,
                "mh_acceptance": 1.0,
                "depth_d_1": 0.0,
            },
        ),
        _gaussian_fault(
            "chains not converged: starts twice too wide, 4 steps",
            wide,
            (
                "virial",
                "configurational_temperature",
                "energy_slope",
                "depth_drift",
                "z_t",
                "energy_auc",
                "ksd",
                "ksd_p",
            ),
            widen=2.0,
        ),
        _gaussian_fault(
            "frozen chains: step 30 times too small",
            frozen,
            (),
            ideal={
                "nested_rhat_energy": RHAT_ONCE_FORGOTTEN,
                "nested_rhat_state": RHAT_ONCE_FORGOTTEN,
                "contraction": exact(setting("N=1", 0.3))["contraction"],
            },
        ),
        _gaussian_fault(
            "model misses the data: their variance 1.5 times the model's",
            small,
            ("data_virial", "data_temperature"),
            data=1.5,
        ),
        _gaussian_fault(
            "model misses the data: shifted by 0.7", small, ("ksd_data", "ksd_data_p", "depth_d_1"), shift=0.7
        ),
        Fault("hidden weight decay of 0.1", _decayed, {"last_layer_balance": 0.0}),
        Fault("separable energies with equal means", _separable, {"energy_auc": 0.5}),
        Fault("learning rate far too high (1 flips d)", _greedy, {"update_gain": 1.0, "update_drop": 1.0}),
        _gaussian_fault(
            "parameters outrun the chains: precisions doubled at once",
            small,
            ("jarzynski_ess", "jarzynski_log_z"),
            jump=2.0,
        ),
    ]
