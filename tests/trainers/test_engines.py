"""Path sums against closed forms of the unadjusted Langevin chain on a Gaussian, for every engine."""

import numpy as np
import pytest
import torch
from helpers import GaussianEnergy, QuarticEnergy, assert_within_errors, record_of
from scipy.stats import norm

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import ENGINES, choose_engine
from ebmdiag_trainers.observables import mean_gradient_norm, observe

EPSILON = 0.4
PRECISIONS = np.array([1.0, 2.0, 5.0])
CHAINS, STEPS = 20_000, 12
CONTRACTION = 1 - EPSILON**2 * PRECISIONS / 2
STATIONARY = 1 / (PRECISIONS * (1 - EPSILON**2 * PRECISIONS / 4))
TEMPERATURE = EPSILON**2 / 2


def generator(seed):
    return torch.Generator().manual_seed(seed)


def run(variance, seed=1, steps=STEPS, engine="reference"):
    """Chains on the Gaussian from independent normals of the given variances."""
    start = torch.randn(CHAINS, 3, generator=generator(seed + 100), dtype=torch.float64)
    start = start * torch.as_tensor(variance).sqrt()
    chain = ENGINES[engine](GaussianEnergy(PRECISIONS, EPSILON), start, steps, EPSILON, generator(seed))
    return start, chain


def statistics_of(start, chain):
    return observe(record_of(GaussianEnergy(PRECISIONS, EPSILON), start, chain, EPSILON), {})


def virial_per_chain(sums):
    pull = sums.tail_position_gradient - sums.tail_gradient_squared / 2
    return pull / (sums.tail_steps * TEMPERATURE * len(PRECISIONS))


def test_virial_is_one_for_stationary_chains():
    start, chain = run(STATIONARY)
    assert_within_errors(virial_per_chain(chain.sums), 1.0)
    statistics = statistics_of(start, chain)
    assert statistics["virial"] == pytest.approx(float(virial_per_chain(chain.sums).mean()), rel=1e-12)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_virial_sees_chains_that_are_not_stationary(factor):
    """Negative control: a start 25% too wide or 20% too narrow moves the virial by many standard errors."""
    _, chain = run(STATIONARY * factor, steps=2)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_within_errors(virial_per_chain(chain.sums), 1.0)


def test_configurational_temperature_has_its_closed_form():
    """T_c = sum(lambda / (1 - eps^2 lambda / 4)) / sum(lambda) at the stationary law of the discrete chain."""
    start, chain = run(STATIONARY)
    sums = chain.sums
    gradient_squared = sums.tail_next_gradient_squared / (sums.tail_transitions * TEMPERATURE**2)
    laplacian = sums.tail_noise_gradient / (sums.tail_transitions * EPSILON * TEMPERATURE)
    assert_within_errors(gradient_squared, float((PRECISIONS**2 * STATIONARY).sum()))
    assert_within_errors(laplacian, PRECISIONS.sum())
    expected = float((PRECISIONS**2 * STATIONARY).sum() / PRECISIONS.sum())
    found = statistics_of(start, chain)["configurational_temperature"]
    relative_error = float(laplacian.std() / laplacian.mean() + gradient_squared.std() / gradient_squared.mean())
    assert abs(found / expected - 1) < 4 * relative_error / CHAINS**0.5


def test_displacement_and_log_ratio_from_a_cold_start():
    """From x = 0 the variance obeys v' = a^2 v + eps^2; on a quadratic energy log r = eps^2/8 (|g|^2 - |g'|^2)."""
    start, chain = run(np.zeros(3))
    sums = chain.sums
    variances = [np.zeros(3)]
    for _ in range(STEPS):
        variances.append(CONTRACTION**2 * variances[-1] + EPSILON**2)
    assert_within_errors(sums.displacement_squared, variances[-1].sum())
    tail = range(STEPS // 2, STEPS - 1)
    expected = sum(EPSILON**2 / 8 * (PRECISIONS**2 * (variances[i] - variances[i + 1])).sum() for i in tail)
    assert_within_errors(sums.tail_log_ratio, expected)
    found = statistics_of(start, chain)
    assert found["displacement"] == pytest.approx(
        float(sums.displacement_squared.mean()) / (EPSILON**2 * STEPS * 3), rel=1e-12
    )
    assert found["mh_log_ratio"] == pytest.approx(float(sums.tail_log_ratio.mean()) / len(tail), rel=1e-12)


def test_log_ratio_is_that_of_the_proposal_densities():
    """One transition of a quartic energy, against the Metropolis ratio written with scipy's normal densities."""
    net, steps = QuarticEnergy(EPSILON), 4
    start = torch.randn(50, 2, generator=generator(3), dtype=torch.float64)
    noise = torch.randn(steps, 50, 2, generator=generator(4), dtype=torch.float64)
    sums = ENGINES["reference"](net, start, steps, EPSILON, generator(0), noise=noise).sums
    path = [start.numpy()]
    for z in noise.numpy():
        path.append(path[-1] - TEMPERATURE * path[-1] ** 3 + EPSILON * z)

    def log_proposal(to, origin):
        return norm.logpdf(to, origin - TEMPERATURE * origin**3, EPSILON).sum(1)

    x, y = path[2], path[3]
    expected = (x**4 - y**4).sum(1) / 4 + log_proposal(x, y) - log_proposal(y, x)
    np.testing.assert_allclose(sums.tail_log_ratio, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums.tail_log_ratio_squared, expected**2, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sums.tail_ratio, np.exp(expected), rtol=1e-10)
    np.testing.assert_allclose(sums.tail_acceptance, np.minimum(1, np.exp(expected)), rtol=1e-10)


def test_sums_over_the_whole_path():
    net, steps = QuarticEnergy(EPSILON), 5
    start = torch.randn(7, 2, generator=generator(3), dtype=torch.float64)
    noise = torch.randn(steps, 7, 2, generator=generator(4), dtype=torch.float64)
    chain = ENGINES["reference"](net, start, steps, EPSILON, generator(0), noise=noise)
    x, gradient_norm, step_norm = start.numpy(), 0, 0
    for step, z in enumerate(noise.numpy()):
        if step == steps // 2:
            tail_start = x**4
        gradient = TEMPERATURE * x**3
        move = EPSILON * z - gradient
        gradient_norm = gradient_norm + np.linalg.norm(gradient, axis=1)
        step_norm = step_norm + np.linalg.norm(move, axis=1)
        x = x + move
    np.testing.assert_allclose(chain.end, x, rtol=1e-12)
    np.testing.assert_allclose(chain.sums.gradient_norm, gradient_norm, rtol=1e-12)
    np.testing.assert_allclose(chain.sums.step_norm, step_norm, rtol=1e-12)
    np.testing.assert_allclose(chain.sums.first_energy, net(start), rtol=1e-12)
    np.testing.assert_allclose(chain.sums.tail_first_energy, TEMPERATURE * tail_start.sum(1) / 4, rtol=1e-12)
    assert mean_gradient_norm(chain.sums) == pytest.approx(gradient_norm.mean() / steps, rel=1e-12)


def test_without_noise_it_is_gradient_descent():
    net = GaussianEnergy([1.0], 2**0.5)  # T = 1: F = x^2 / 2, and one step of x - F'(x) ends at 0
    start = torch.full((3, 1), 2.0, dtype=torch.float64)
    chain = ENGINES["reference"](net, start, 1, 0.0, generator(0))
    assert float(chain.end.abs().max()) < 1e-15
    statistics = observe(record_of(net, start, chain, 0.0), {})
    for name in ("virial", "configurational_temperature", "mh_acceptance", "displacement", "drift_to_noise"):
        assert statistics[name] is None, name
    assert statistics["straightness"] == pytest.approx(1.0)


def test_a_single_step_has_no_transitions():
    start, chain = run(STATIONARY, steps=1)
    statistics = statistics_of(start, chain)
    assert chain.sums.tail_transitions == 0
    assert statistics["mh_acceptance"] is None
    assert statistics["configurational_temperature"] is None
    assert statistics["virial"] is not None


def test_the_start_is_left_alone_and_the_generator_decides():
    start, chain = run(STATIONARY, steps=2)
    again = run(STATIONARY, steps=2)
    assert torch.equal(start, again[0])
    assert torch.equal(chain.end, again[1].end)
    assert not torch.equal(chain.end, run(STATIONARY, seed=2, steps=2)[1].end)


def test_unknown_engine_and_no_steps():
    with pytest.raises(RecipeError, match="did you mean 'reference'"):
        choose_engine("refrence")
    with pytest.raises(ValueError, match="at least 1 step"):
        run(STATIONARY, steps=0)


@pytest.mark.parametrize("engine", ["reference", "image"])  # the others take perceptrons or GPUs only
def test_a_closed_path_weighs_all_its_steps_and_changes_nothing_else(engine):
    """On a quadratic energy the log-ratios telescope: their sum is eps^2/8 (|g_0|^2 - |g_L|^2)."""
    net = GaussianEnergy(PRECISIONS, EPSILON)
    start = torch.randn(50, 3, generator=generator(3), dtype=torch.float64)
    open_path = ENGINES[engine](net, start, STEPS, EPSILON, generator(4))
    closed = ENGINES[engine](net, start, STEPS, EPSILON, generator(4), closed=True)
    assert open_path.sums.log_ratio is None
    assert torch.equal(closed.end, open_path.end)
    assert torch.equal(closed.sums.tail_log_ratio, open_path.sums.tail_log_ratio)
    slopes = [(torch.as_tensor(PRECISIONS) * x).square().sum(1) for x in (start, closed.end)]
    expected = EPSILON**2 / 8 * (slopes[0] - slopes[1])
    np.testing.assert_allclose(closed.sums.log_ratio.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(AssertionError):  # without the last step it is another number
        np.testing.assert_allclose(
            ENGINES[engine](net, start, STEPS - 1, EPSILON, generator(4), closed=True).sums.log_ratio.numpy(),
            expected.numpy(),
            rtol=1e-3,
        )


def test_a_closed_path_needs_noise():
    with pytest.raises(ValueError, match="needs noise"):
        ENGINES["reference"](GaussianEnergy(PRECISIONS, 0.0), torch.zeros(2, 3), 3, 0.0, generator(1), closed=True)
