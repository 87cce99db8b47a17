"""Tests of the Triton kernel in Triton's interpreter; ``test_engine_triton.py`` runs them in a process of their own.

The interpreter must be chosen before Triton is first imported (``TRITON_INTERPRET=1``), so these tests cannot share a
process with whatever else imports Triton.
"""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from helpers import assert_within_errors
from scipy import stats
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import kernel_layers
from ebmdiag_trainers.engines.agreement import check_on_device
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.engines.triton_engine import INTERPRETED, padded, run_triton
from ebmdiag_trainers.engines.triton_kernel import _normal
from ebmdiag_trainers.nets import ToyNet

EPSILON = 0.125
CHAINS, COORDINATES, STEPS = 512, 16, 24


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def perceptron(*widths, slope=0.05, bias=True):
    parts = []
    for inside, outside in pairwise(widths):
        parts += [nn.Linear(inside, outside, bias=bias), nn.LeakyReLU(slope) if slope else nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], 1, bias=bias), nn.Flatten(0))


NETS = {
    "toy": (lambda: ToyNet(), (2, 1, 1)),
    "one layer": (lambda: perceptron(3, 7), (3,)),
    "two layers, odd widths, no bias": (lambda: perceptron(17, 20, 5, slope=0.3, bias=False), (17,)),
    "three layers, ReLU": (lambda: perceptron(2, 33, 16, 9, slope=0), (2,)),
}


def case(name, chains=8, steps=5):
    torch.manual_seed(3)
    make, shape = NETS[name]
    return make(), torch.randn(chains, *shape), torch.randn(steps, chains, *shape)


def assert_agree(found, expected, epsilon):
    """Up to float32 rounding: of the numbers themselves, and for log-ratios of F, in units of T."""
    torch.testing.assert_close(found.end, expected.end, rtol=1e-5, atol=1e-5)
    rounding = 1e-6 if epsilon == 0 else 5e-7 / (epsilon**2 / 2)
    for field in dataclasses.fields(expected.sums):
        a, b = getattr(found.sums, field.name), getattr(expected.sums, field.name)
        if isinstance(b, torch.Tensor):
            assert a.dtype == torch.float64
            loose = "ratio" in field.name or "acceptance" in field.name
            size = 1 + float(b.abs().max())
            torch.testing.assert_close(a, b, rtol=1e-5, atol=size * (rounding if loose else 2e-6), msg=field.name)
        else:
            assert a == b, field.name


def test_the_interpreter_is_at_work():
    assert INTERPRETED


@pytest.mark.parametrize(("epsilon", "closed"), [(0.0, False), (EPSILON, False), (EPSILON, True)])
@pytest.mark.parametrize("name", NETS)
def test_given_noise_it_is_the_reference_engine(name, epsilon, closed):
    net, start, noise = case(name)
    expected = run_reference(net, start, 5, epsilon, generator(), noise, closed)
    assert_agree(run_triton(net, start, 5, epsilon, generator(), noise, closed), expected, epsilon)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_paths(steps):
    net, start, noise = case("toy", chains=21, steps=steps)
    expected = run_reference(net, start, steps, EPSILON, generator(), noise, True)
    assert_agree(run_triton(net, start, steps, EPSILON, generator(), noise, True), expected, EPSILON)


def test_the_comparison_sees_a_wrong_slope(monkeypatch):
    """Negative control: the slope of the leaky ReLU off by a tenth."""
    net, start, noise = case("toy")
    expected = run_reference(net, start, 5, EPSILON, generator(), noise)
    monkeypatch.setattr(kernel_layers.KernelLayers, "slopes", (0.055,) * 4)
    with pytest.raises(AssertionError):
        assert_agree(run_triton(net, start, 5, EPSILON, generator(), noise), expected, EPSILON)
    with pytest.raises(UnfitError, match="not what its layers say"):
        check_on_device(run_triton, net, (2, 1, 1), torch.device("cpu"))


def test_it_passes_the_check_that_comes_before_a_run():
    check_on_device(run_triton, case("toy")[0], (2, 1, 1), torch.device("cpu"))


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_one_chain_far_off_leaves_the_others_alone():
    """An overflow in one chain is that chain's own."""
    net, start, noise = case("toy")
    expected = run_triton(net, start, 5, EPSILON, generator(), noise)
    broken = start.clone()
    broken[3] = math.inf
    found = run_triton(net, broken, 5, EPSILON, generator(), noise)
    others = torch.arange(8) != 3
    assert torch.equal(found.end[others], expected.end[others])
    assert torch.equal(found.sums.tail_log_ratio[others], expected.sums.tail_log_ratio[others])
    assert not torch.isfinite(found.end[3]).all()


@pytest.mark.parametrize("block", [32, 64])
def test_the_block_does_not_matter(block):
    net, start, _ = case("toy", chains=33)
    expected = run_triton(net, start, 5, EPSILON, generator(), block=16, closed=True)
    assert_agree(run_triton(net, start, 5, EPSILON, generator(), block=block, closed=True), expected, EPSILON)


def test_nor_does_the_company_of_other_chains():
    net, start, _ = case("toy", chains=33)
    expected = run_triton(net, start, 5, EPSILON, generator())
    found = run_triton(net, start[:20], 5, EPSILON, generator())
    torch.testing.assert_close(found.end, expected.end[:20], rtol=1e-5, atol=1e-6)


def test_the_generator_decides_and_gives_one_number_a_call():
    net, start, _ = case("toy")
    ours, theirs = generator(), generator()
    first = run_triton(net, start, 5, EPSILON, ours)
    second = run_triton(net, start, 3, EPSILON, ours)
    assert torch.equal(first.end, run_triton(net, start, 5, EPSILON, generator()).end)
    assert float((second.end - first.end).abs().min()) > 0
    for _ in range(2):
        torch.randint(0, 2**63 - 1, (1,), generator=theirs)
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_bfloat16_and_tf32_are_near():
    """The interpreter computes TF32 products in float32, and rounds to bfloat16 truly (slowly: one step)."""
    net, start, noise = case("toy", chains=16)
    exact = run_triton(net, start, 1, 0.0, generator(), noise).sums.first_energy
    assert torch.equal(run_triton(net, start, 1, 0.0, generator(), noise, precision="tf32").sums.first_energy, exact)
    rounded = run_triton(net, start, 1, 0.0, generator(), noise, precision="bfloat16").sums.first_energy
    assert 0 < float((rounded - exact).abs().max()) < 0.05 * float(exact.abs().max())


@triton.jit
def _fill(place, seed, CHAINS: tl.constexpr, COORDINATES: tl.constexpr, STEPS: tl.constexpr):
    """The numbers that a run would take."""
    chain = tl.arange(0, CHAINS)[:, None] + tl.zeros([CHAINS, COORDINATES], tl.int32)
    coordinate = tl.arange(0, COORDINATES)[None, :] + tl.zeros([CHAINS, COORDINATES], tl.int32)
    for step in range(STEPS):
        z = _normal(tl.load(seed), coordinate, chain, step)
        tl.store(place + (step * CHAINS + chain) * COORDINATES + coordinate, z)


def noise_of(seed):
    z = torch.empty(STEPS, CHAINS, COORDINATES)
    _fill[(1,)](z, torch.tensor([seed]), CHAINS, COORDINATES, STEPS)
    return z.numpy().astype(float)


@pytest.fixture(scope="module")
def noise():
    return noise_of(2**62 + 12345)


def test_noise_is_standard_normal(noise):
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert_within_errors((noise**power).ravel(), moment)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert np.isfinite(noise).all()


@pytest.mark.parametrize("lag", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["steps", "chains", "coordinates"])
@pytest.mark.parametrize("power", [1, 2])
def test_noise_is_independent(noise, axis, lag, power):
    """Products of numbers that are neighbours along an axis, and of their squares less 1, have mean 0."""
    values = noise if power == 1 else noise**2 - 1
    moved = np.moveaxis(values, axis, 0)
    assert_within_errors((moved[lag:] * moved[:-lag]).ravel(), 0.0)


def test_noise_of_other_seeds_is_other_noise(noise):
    """Also where only the upper half of the seed differs."""
    for seed in (2**62 + 12346, 2**61 + 12345):
        assert_within_errors((noise * noise_of(seed)).ravel(), 0.0)


def test_no_two_numbers_share_a_counter(noise):
    """Repeats among 200,000 normal numbers of 24 bits are few; a counter used twice would make them many."""
    assert len(np.unique(noise)) > 0.97 * noise.size


def test_the_test_of_independence_sees_repeats(noise):
    """Negative control: every tenth step repeats the one before."""
    wrong = noise.copy()
    wrong[10::10] = wrong[9:-1:10]
    with pytest.raises(AssertionError, match="standard errors"):
        assert_within_errors((wrong[1:] * wrong[:-1]).ravel(), 0.0)


def test_a_run_takes_this_noise():
    """With all weights zero F is 0, and the chains add up their noise."""
    net = perceptron(COORDINATES, 8)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    seed = int(torch.randint(0, 2**63 - 1, (1,), generator=generator()))
    end = run_triton(net, torch.zeros(64, COORDINATES), STEPS, 0.5, generator(), block=64).end
    np.testing.assert_allclose(end.numpy(), 0.5 * noise_of(seed)[:, :64].sum(0), rtol=0, atol=1e-5)


def test_what_it_refuses():
    net, start, _ = case("toy")
    with pytest.raises(UnfitError, match="float32, not torch"):
        run_triton(net, start.double(), 5, EPSILON, generator())
    with pytest.raises(UnfitError, match="2 coordinates, but got"):
        run_triton(net, torch.zeros(4, 3), 5, EPSILON, generator())
    with pytest.raises(UnfitError, match="more than 64"):
        run_triton(perceptron(2, 65), torch.zeros(4, 2), 5, EPSILON, generator())
    with pytest.raises(UnfitError, match="weights are not float32"):
        run_triton(net.double(), start, 5, EPSILON, generator())
    with pytest.raises(RecipeError, match="unknown precision"):
        run_triton(net, start, 5, EPSILON, generator(), precision="half")
    with pytest.raises(ValueError, match="at least 1 step"):
        run_triton(net, start, 0, EPSILON, generator())


def test_sides_of_products():
    assert [padded(count) for count in (1, 2, 16, 17, 32, 33, 48, 64)] == [16, 16, 16, 32, 32, 64, 64, 64]
