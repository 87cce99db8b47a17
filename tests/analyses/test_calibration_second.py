"""The second axis of the calibration: exact truth, labels that know no rule, rates of what is kept."""

import math
from pathlib import Path

import calibration_chains
import calibration_families
import numpy as np
import pytest
import torch
from calibration_axis2 import CHAINS, COLUMNS, UNSEEN, place_of, placed, read
from calibration_axis2_page import BEFORE, section, tabled, total
from calibration_cases import KEPT, SHOWN, counts, kept, rates
from calibration_chains import OTHER, SAME, _between, analysed, distance, recorded
from calibration_densities import TwoModes
from calibration_families import FAMILIES
from scipy.stats import norm

from ebmdiag_analyses.verdict.rates import RATES

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
DENSITIES = {type(family.density()).__name__ + str(family.density().shape): family for family in FAMILIES}


def rates_of_axis():
    return [row for row in RATES if row["axis"] == "convergence"]


@pytest.mark.slow
def test_rates_and_page_are_those_of_what_is_kept():
    chains = read()
    assert rates("convergence", counts(placed(chains))) == rates_of_axis()
    assert section(chains, rates_of_axis()) in PAGE.read_text(encoding="utf-8")


def test_converged_is_hardly_ever_said_falsely_and_often_rightly():
    converged = next(row for row in rates_of_axis() if row["place"] == "converged")
    assert converged["false_alarm_interval"][1] < 0.03
    assert converged["found_interval"][0] > 0.5


@pytest.mark.parametrize("group", ["little evidence", "short runs that begin at data and hardly move"])
def test_what_shows_nothing_is_never_converged(group):
    chains = [chain for chain in read() if chain.group == group]
    assert len(chains) > 20
    assert "converged" not in {place_of(chain) for chain in chains}


def test_what_nothing_recorded_shows_is_converged_and_the_page_says_so():
    """Should a rule come to see it, the page has to be written anew."""
    found = [place_of(chain) for chain in read() if chain.group == UNSEEN]
    assert (found.count("converged"), len(found)) == (5, 9)


@pytest.mark.parametrize("name", ["persistence:p"])
def test_the_rules_rest_on_what_was_added(name):
    """Without it some of the chains that fork would be called converged."""
    chains = [chain for chain in read() if chain.group == calibration_families.UNCROSSED and chain.label]
    assert all(place_of(chain) != "converged" for chain in chains)
    assert sum(place_of(chain, without=[name]) == "converged" for chain in chains) >= 3


def test_the_rules_before_were_worse():
    chains = [chain for chain in read() if chain.label and chain.group != UNSEEN]
    now = tabled((chain.group, chain.label, place_of(chain)) for chain in chains)
    same = {key: row for key, row in BEFORE.items() if key in now}
    assert set(same) == set(now)
    assert {key: sum(row) for key, row in same.items()} == {key: sum(row) for key, row in now.items()}
    assert total(same, "short-run only")[0] >= 25
    assert total(now, "short-run only")[0] == 0


def test_labels_are_the_distances_and_know_no_rule():
    for chain in read():
        told = "converged" if chain.distance <= SAME else "short-run only" if chain.distance >= OTHER else ""
        assert chain.label in (told, ""), chain.family
    for module in (calibration_chains, calibration_families):
        assert "LIMITS" not in Path(module.__file__).read_text(encoding="utf-8")


def test_the_distance_is_the_total_variation(rng):
    """Of two normals a shift s apart 2 Φ(s/2) - 1, a little less in 20 cells; a quarter of an sd is 0.1, half 0.2."""
    x, y = rng.standard_normal((2, 200_000))
    for shift in (0.25, 0.5, 1.0):
        assert _between(x, y + shift) == pytest.approx(2 * norm.cdf(shift / 2) - 1, abs=0.01)
    assert _between(x, y) < 0.01


def test_the_distance_of_a_known_short_run():
    """Normal from 10 sd: after L steps of a = 1 - ε²/2 the deviation is s, and |x| tells the two apart."""
    family = next(family for family in FAMILIES if family.name == "normal from 10 sd, 40% left")
    a = (1 - family.epsilon**2 / 2) ** (2 * family.steps_short)
    deviation = math.sqrt(100 * a + (1 - a) / (1 - family.epsilon**2 / 4))
    crossing = math.sqrt(2 * math.log(deviation) / (1 - deviation**-2))
    along_one = 2 * (norm.cdf(crossing) - norm.cdf(crossing / deviation))
    found = distance(family)
    assert along_one < found < 1  # the energy of four coordinates tells more
    assert found == pytest.approx(next(c.distance for c in read() if c.family == family.name), abs=0.01)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_are_those_of_the_density(name):
    """E x·∇U = N under exp(-U), and not under another law; of the parts of a mixture their weights."""
    model, generator = DENSITIES[name].density(), torch.Generator().manual_seed(3)
    x = model.flat(20_000, generator)

    def off(states):
        states = states.float().requires_grad_()
        (gradient,) = torch.autograd.grad(model.potential(states).sum(), states)
        virial = (states * gradient).detach().sum(1).double() - model.coordinates
        return abs(float(virial.mean())) / (float(virial.std()) / math.sqrt(len(virial)))

    assert off(x) < 4.5
    assert off(1.2 * x) > 8
    if isinstance(model, TwoModes):
        assert float((model.mode(x) == 0).double().mean()) == pytest.approx(model.weight, abs=0.02)
        u = [float(model.potential(side * model.apart / 2 * model.axis[None]).detach()) for side in (1, -1)]
        ratio = math.log(model.weight / (1 - model.weight))
        assert u[1] - u[0] == pytest.approx(ratio, abs=1e-3 + 4 * math.exp(-(model.apart**2) / 2))


def test_what_is_kept_is_what_comes_out(tmp_path):
    """One family run once more."""
    family = next(family for family in FAMILIES if family.name == "wrong: 5 chains")
    stored = next(chain for chain in read() if chain.family == family.name)
    again = analysed(recorded(family, 0, stored.seed, tmp_path))
    assert again.settings == stored.result.settings
    for name in ("energy:data", "energy:short", "energy:long"):
        low, high = again.estimates[name].low, again.estimates[name].high
        assert low <= stored.result.estimates[name].value <= high  # to the last bit only on one machine


def test_the_kept_half_is_no_training_half_and_small():
    assert {chain.seed for chain in read()} == {3, 4, 5}
    assert len(read()) == 3 * len(FAMILIES)
    assert all(case.label for case in kept(COLUMNS) if "hardly move" not in case.family)
    assert sum(path.stat().st_size for path in (KEPT, SHOWN, CHAINS, COLUMNS)) < 3_000_000


def test_every_group_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for (group, label), row in BEFORE.items():
        assert f"| {group} | {label} | {'/'.join(map(str, row))} |" in text


@pytest.fixture
def rng():
    return np.random.default_rng(41)
