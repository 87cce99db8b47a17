"""The fused engine against the reference engine, bit for bit against itself, and the choice between the two."""

import dataclasses
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY
from torch import nn

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import fused, output_of
from ebmdiag_trainers.engines.contract import SUMS
from ebmdiag_trainers.engines.fused import available_threads, check_agreement, run_fused
from ebmdiag_trainers.engines.perceptron import UnfitError, perceptron_of
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.engines.selection import with_engine
from ebmdiag_trainers.nets import NETS, ToyNet
from ebmdiag_trainers.recipe import load_recipe

EPSILON = 0.125
CPU = torch.device("cpu")


def generator(seed):
    return torch.Generator().manual_seed(seed)


class Wrapped(nn.Module):
    """A net around a Sequential, with more to its forward pass if asked for."""

    def __init__(self, *parts, before=lambda x: x, after=lambda y: y):
        super().__init__()
        self.f = nn.Sequential(*parts)
        self.before, self.after = before, after

    def forward(self, x):
        return self.after(self.f(self.before(x)).flatten())


def perceptron(*between, **more):
    """Three layers, five coordinates, ReLU; widths that are no multiple of anything."""
    parts = [nn.Linear(5, 13), nn.ReLU(), nn.Linear(13, 7, bias=False), nn.ReLU(), *between, nn.Linear(7, 1)]
    return Wrapped(nn.Flatten(), *parts, **more)


def scaled(net, factor):
    """The net with larger weights, so that chains really move."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(factor)
    return net


@pytest.fixture(params=["toy", "perceptron", "wide"])
def case(request):
    """A net and where its chains start."""
    torch.manual_seed(5)
    if request.param == "toy":
        return scaled(ToyNet(), 1.8), torch.randn(100, 2, 1, 1, generator=generator(1))
    if request.param == "perceptron":
        return scaled(perceptron(), 1.5), torch.randn(37, 5, generator=generator(1))
    net = nn.Sequential(nn.Conv2d(3, 150, 1), nn.LeakyReLU(0.3), nn.Conv2d(150, 1, 1), nn.Flatten(0))
    return scaled(net, 1.5), torch.randn(130, 3, 1, 1, generator=generator(1))


def assert_same_path(found, expected, tolerance=2e-5, share=1.0):
    """Ends and all sums of at least this share of the chains are equal but for float32 rounding.

    In units of the largest value of each. In long chains rounding now and then takes the other side of a kink.
    """
    assert_same("end", found.end.flatten(1).double(), expected.end.flatten(1).double(), tolerance, share)
    for name in SUMS:
        one, other = getattr(found.sums, name), getattr(expected.sums, name)
        if other is None:
            assert one is None, name
            continue
        assert one.shape == other.shape
        assert one.dtype == torch.float64
        assert_same(name, one[:, None], other[:, None], tolerance, share)
    for name in ("steps", "tail_steps", "tail_transitions"):
        assert getattr(found.sums, name) == getattr(expected.sums, name)


def assert_same(name, found, expected, tolerance, share):
    errors = (found - expected).abs().amax(1) / expected.abs().max().clamp(min=1e-300)
    alike = float((errors <= tolerance).double().mean())
    assert alike >= share, f"{name}: {alike:.1%} of the chains agree, the worst to {float(errors.max()):.2g}"


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
@pytest.mark.parametrize("steps", [1, 2, 7, 500])
def test_it_agrees_with_the_reference(case, steps, epsilon, closed):
    net, start = case
    if closed and epsilon == 0:
        with pytest.raises(ValueError, match="needs noise"):
            run_fused(net, start, steps, epsilon, generator(0), closed=closed)
        return
    noise = torch.randn(steps, *start.shape, generator=generator(2))
    arguments = (net, start.clone(), steps, epsilon, generator(0), noise, closed)
    limits = (2e-5, 1.0) if steps < 100 else (1e-3, 0.9)
    assert_same_path(run_fused(*arguments), run_reference(*arguments), *limits)
    assert torch.equal(arguments[1], start)


def test_chains_move(case):
    """The comparison above is worth something: chains go far, and their gradients change on the way."""
    net, start = case
    sums = run_fused(net, start, 500, EPSILON, generator(0)).sums
    assert float(sums.displacement_squared.mean()) > 0.5
    assert float(sums.tail_noise_gradient.abs().max()) > 1e-2
    assert 0.1 < float(sums.tail_acceptance.mean()) / sums.tail_transitions < 1


@pytest.mark.parametrize("name", SUMS)
def test_a_planted_error_in_one_sum_is_caught(name):
    """Negative control: 0.01% too much in one sum."""
    torch.manual_seed(5)
    net, start = scaled(ToyNet(), 1.8), torch.randn(30, 2, 1, 1, generator=generator(1))
    noise = torch.randn(7, *start.shape, generator=generator(2))
    arguments = (net, start, 7, EPSILON, generator(0), noise, True)
    found, expected = run_fused(*arguments), run_reference(*arguments)
    assert_same_path(found, expected)
    wrong = dataclasses.replace(found.sums, **{name: getattr(found.sums, name) * 1.0001})
    with pytest.raises(AssertionError, match=name):
        assert_same_path(dataclasses.replace(found, sums=wrong), expected)


def test_a_wrong_slope_is_caught(monkeypatch):
    """Negative control: one activation is read with another slope; the choice of the engine must see it too."""
    from ebmdiag_trainers.engines import perceptron as module

    monkeypatch.setattr(module, "_slope", lambda part: 0.06)
    net, start = scaled(ToyNet(), 1.8), torch.randn(30, 2, 1, 1, generator=generator(1))
    noise = torch.randn(7, *start.shape, generator=generator(2))
    arguments = (net, start, 7, EPSILON, generator(0), noise)
    with pytest.raises(AssertionError):
        assert_same_path(run_fused(*arguments), run_reference(*arguments))
    with pytest.raises(UnfitError, match="not what its layers say"):
        check_agreement(ToyNet(), (2, 1, 1))


def test_its_own_noise_gives_the_same_law():
    """Means and variances over many chains, in standard errors, against the reference's own stream."""
    torch.manual_seed(5)
    net = scaled(ToyNet(), 1.8)
    start = torch.zeros(4000, 2, 1, 1)
    found = run_fused(net, start, 20, EPSILON, generator(11))
    expected = run_reference(net, start, 20, EPSILON, generator(12))
    assert_same_law(found, expected)
    shifted = dataclasses.replace(found, end=found.end + 0.05)
    with pytest.raises(AssertionError, match="end"):
        assert_same_law(shifted, expected)
    with pytest.raises(AssertionError, match="standard errors"):  # 5% less noise is another law
        assert_same_law(run_fused(net, start, 20, 0.95 * EPSILON, generator(11)), expected)


def assert_same_law(found, expected, errors=4.5):
    columns = {f"end {i}": (found.end[:, i].flatten(), expected.end[:, i].flatten()) for i in range(2)}
    columns |= {
        name: (getattr(found.sums, name), getattr(expected.sums, name))
        for name in SUMS
        if getattr(expected.sums, name) is not None
    }
    for name, pair in columns.items():
        one, other = (values.double().numpy() for values in pair)
        if np.ptp(other) == 0:
            np.testing.assert_allclose(one, other, rtol=1e-5)
            continue
        for power in (1, 2):
            first = one if power == 1 else (one - one.mean()) ** 2
            second = other if power == 1 else (other - other.mean()) ** 2
            error = np.sqrt(first.var() / len(first) + second.var() / len(second))
            distance = abs(first.mean() - second.mean()) / error
            assert distance < errors, f"{name}, moment {power}: {distance:.1f} standard errors"


def assert_same_bits(first, second):
    assert torch.equal(first.end, second.end)
    for name in SUMS:
        one, other = getattr(first.sums, name), getattr(second.sums, name)
        assert one is other is None or torch.equal(one, other), name


def test_threads_change_no_bit(case, monkeypatch):
    """One thread, two or three; also in many chunks, with the generator left in the same state."""
    net, start = case
    monkeypatch.setattr(fused, "_CHUNK_NOISE", 9 * start.numel())
    monkeypatch.setattr(fused, "BLOCK", 32)
    results, states = [], []
    for threads in (1, 2, 3):
        source = generator(3)
        results.append(run_fused(net, start, 40, EPSILON, source, threads=threads))
        states.append(source.get_state())
    for result, state in zip(results[1:], states[1:], strict=True):
        assert_same_bits(result, results[0])
        assert torch.equal(state, states[0])


def test_chunks_and_blocks_change_no_bit_of_given_noise(case, monkeypatch):
    net, start = case
    noise = torch.randn(40, *start.shape, generator=generator(2))
    whole = run_fused(net, start, 40, EPSILON, generator(0), noise, True)
    monkeypatch.setattr(fused, "_CHUNK_WORK", 1)
    monkeypatch.setattr(fused, "BLOCK", 16)
    assert_same_bits(run_fused(net, start, 40, EPSILON, generator(0), noise, True), whole)


def test_the_generators_state_decides(case):
    net, start = case
    source = generator(3)
    state = source.get_state()
    first = run_fused(net, start, 30, EPSILON, source)
    other = run_fused(net, start, 30, EPSILON, source)
    source.set_state(state)
    assert_same_bits(run_fused(net, start, 30, EPSILON, source), first)
    assert not torch.equal(first.end, other.end)


def test_new_weights_are_seen(case):
    """A net is looked at once, its weights each time."""
    net, start = case
    before = run_fused(net, start, 3, EPSILON, generator(0))
    scaled(net, 1.01)
    after = run_fused(net, start, 3, EPSILON, generator(0))
    assert not torch.equal(before.end, after.end)
    net(start).sum().backward()
    net.zero_grad()


def test_what_is_not_finite_stays_so():
    net = scaled(ToyNet(), 1.0)
    with torch.no_grad():
        net.f[2].weight[3, 4] = float("nan")
    chain = run_fused(net, torch.zeros(3, 2, 1, 1), 3, EPSILON, generator(0))
    assert bool(chain.end.isnan().all())
    assert bool(chain.sums.gradient_norm.isnan().all())


class Twofold(nn.Module):
    """A parametrization."""

    def forward(self, weight):
        return 2 * weight


def hooked(net):
    net.f[0].register_forward_hook(lambda module, inputs, output: output * 2)
    return net


def replaced(net):
    net.forward = lambda x: 3 * type(net).forward(net, x)
    return net


def parametrized(net):
    nn.utils.parametrize.register_parametrization(net.f[1], "weight", Twofold())
    return net


class Negative(ToyNet):
    """Another forward, by the same layers."""

    def forward(self, x):
        return -super().forward(x)


class Branching(ToyNet):
    """Another path for some states."""

    def forward(self, x):
        return super().forward(x) if float(x.sum()) > 0 else super().forward(-x)


class TwoInputs(nn.Module):
    """A skip connection."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))

    def forward(self, x):
        return self.f(x).flatten() + x.square().sum(1)


class Doubling(nn.Linear):
    """A layer that is not what its class is derived from."""

    def forward(self, x):
        return 2 * super().forward(x)


IMPOSTORS = {
    "dropout": lambda: perceptron(nn.Dropout()),
    "tanh": lambda: perceptron(nn.Tanh()),
    "norm": lambda: perceptron(nn.LayerNorm(7)),
    "subclass of a layer": lambda: perceptron(Doubling(7, 7)),
    "hook": lambda: hooked(ToyNet()),
    "replaced forward": lambda: replaced(ToyNet()),
    "parametrization": lambda: parametrized(perceptron()),
    "subclass with another forward": Negative,
    "branches": Branching,
    "scaled": lambda: perceptron(after=lambda y: 2 * y),
    "transformed states": lambda: perceptron(before=lambda x: x.clamp(-50, 50)),
    "flipped states": lambda: perceptron(before=lambda x: x.flip(1)),
    "skip connection": TwoInputs,
    "float64": lambda: ToyNet().double(),
    "no hidden layer": lambda: Wrapped(nn.Linear(5, 1)),
    "negative slope": lambda: perceptron(nn.Linear(7, 7), nn.LeakyReLU(-0.1)),
    "two activations": lambda: perceptron(nn.LeakyReLU(0.1)),
    "too wide": lambda: Wrapped(nn.Linear(5, 1000), nn.ReLU(), nn.Linear(1000, 1)),
    "image net": NETS["VanillaNet"],
    "attention": NETS["NonlocalNet"],
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_what_is_not_a_perceptron_is_refused(kind):
    with pytest.raises(UnfitError):
        perceptron_of(IMPOSTORS[kind]())


def test_a_hook_that_comes_later_is_seen():
    net = ToyNet()
    perceptron_of(net)
    with pytest.raises(UnfitError, match=r"its part 'f\.0' has a hook"):
        run_fused(hooked(net), torch.zeros(3, 2, 1, 1), 3, EPSILON, generator(0))


def test_a_part_that_is_exchanged_is_seen():
    net, start = ToyNet(), torch.ones(3, 2, 1, 1)
    before = run_fused(net, start, 1, 0.0, generator(0))
    net.f[4] = nn.Conv2d(64, 64, 1)
    after = run_fused(net, start, 1, 0.0, generator(0))
    assert_same_path(after, run_reference(net, start, 1, 0.0, generator(0)))
    assert not torch.equal(before.sums.first_energy, after.sums.first_energy)
    net.f[5] = nn.Tanh()
    with pytest.raises(UnfitError, match=r"its part 'f\.5' is a Tanh"):
        run_fused(net, start, 1, 0.0, generator(0))


def test_its_output_is_the_nets(case):
    """What the training loop takes for F and its gradient when the engine is the fused one."""
    net, start = case
    output = output_of("fused", net)
    assert output_of("reference", net) is net
    weight = next(net.parameters())
    (expected,) = torch.autograd.grad(net(start).sum(), weight)
    (found,) = torch.autograd.grad(output(start).sum(), weight)
    torch.testing.assert_close(output(start), net(start), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_states_that_do_not_fit_are_refused():
    for start, message in [
        (torch.zeros(3, 2, 1, 1, dtype=torch.float64), "float64"),
        (torch.zeros(3, 2, 1, 1, device="meta"), "meta"),
        (torch.zeros(3, 3, 1, 1), "2 coordinates"),
        (torch.zeros(2), "2 coordinates"),
    ]:
        with pytest.raises(UnfitError, match=message):
            run_fused(ToyNet(), start, 3, EPSILON, generator(0))
    with pytest.raises(ValueError, match="at least 1 step"):
        run_fused(ToyNet(), torch.zeros(3, 2, 1, 1), 0, EPSILON, generator(0))


def test_auto_becomes_a_name():
    rings, flowers = load_recipe("rings"), load_recipe("flowers")
    assert rings.langevin.engine == "auto"
    state = torch.get_rng_state()
    assert with_engine(rings, (2, 1, 1), CPU).langevin.engine == "fused"
    assert with_engine(flowers, (3, 32, 32), CPU).langevin.engine == "image"
    assert with_engine(rings, (2, 1, 1), torch.device("mps")).langevin.engine == "reference"
    asked = load_recipe("rings", ["langevin.engine=reference"])
    assert with_engine(asked, (2, 1, 1), CPU) == asked
    assert torch.equal(torch.get_rng_state(), state)


def test_asking_for_what_cannot_run():
    flowers = load_recipe("flowers", ["langevin.engine=fused"])
    with pytest.raises(RecipeError, match=r"cannot run here: it takes small perceptrons only, .* beyond one pixel"):
        with_engine(flowers, (3, 32, 32), CPU)
    rings = load_recipe("rings", ["langevin.engine=fused"])
    with pytest.raises(RecipeError, match="the run is on cuda"):
        with_engine(rings, (2, 1, 1), torch.device("cuda"))
    with pytest.raises(RecipeError, match="did you mean 'auto'"):
        with_engine(load_recipe("rings", ["langevin.engine=autp"]), (2, 1, 1), CPU)


def test_without_numba(monkeypatch, capsys):
    """It is said once, and only where it would have mattered."""
    for name in ("fused", "fused_kernel"):
        monkeypatch.delitem(sys.modules, f"ebmdiag_trainers.engines.{name}")
        monkeypatch.delattr(f"ebmdiag_trainers.engines.{name}")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert with_engine(load_recipe("flowers"), (3, 32, 32), CPU).langevin.engine == "image"
    assert capsys.readouterr().err == ""
    assert with_engine(load_recipe("rings"), (2, 1, 1), CPU).langevin.engine == "reference"
    said = capsys.readouterr().err
    assert "Numba cannot be imported" in said
    assert len(said.splitlines()) == 1
    with pytest.raises(RecipeError, match="Numba cannot be imported"):
        with_engine(load_recipe("rings", ["langevin.engine=fused"]), (2, 1, 1), CPU)
    assert capsys.readouterr().err == ""


def test_threads_are_capped(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available_threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert available_threads() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert available_threads() >= 1


def test_an_interrupt_breaks_a_long_chain():
    """Ctrl-C half a second into minutes of chains is answered at the end of a chunk, not of the chains."""
    net, start = ToyNet(), torch.zeros(100, 2, 1, 1)
    run_fused(net, start, 1, EPSILON, generator(0))
    steps = []
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    def interrupted():
        timer.start()
        run_fused(net, start, 3_000_000, EPSILON, generator(0), threads=2)

    real = fused.advance

    def counting(*arguments):
        steps.append(arguments[8])
        return real(*arguments)

    fused.advance = counting
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        fused.advance = real
        timer.cancel()
    assert 0 < max(steps) < 1_000_000
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def arguments(steps, out, *more):
    tiny = [f"--set={setting}" for setting in TINY]
    return ["train", "rings", f"--steps={steps}", f"--out={out}", "--quiet", *tiny, *more]


def columns(path):
    return read_trace(path).to_pandas().drop(columns="elapsed_s")


def test_a_resumed_run_is_the_same_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(arguments(10, "whole.parquet")) == 0
    assert call(arguments(4, "a.parquet")) == 0
    assert read_trace("a.parquet").metadata.recipe["langevin"]["engine"] == "fused"
    assert 'engine = "fused"' in Path("a/recipe.toml").read_text()
    assert call(arguments(10, "a.parquet", "--resume", "--set=langevin.engine=reference")) == 2
    said = capsys.readouterr().err
    assert "langevin.engine is 'reference', but the run was begun with 'fused'" in said
    assert call(arguments(10, "a.parquet", "--resume")) == 0
    assert columns("a.parquet").equals(columns("whole.parquet"))
    assert call(arguments(10, "reference.parquet", "--set=langevin.engine=reference")) == 0
    assert not columns("reference.parquet").equals(columns("whole.parquet"))


def test_engines_train_alike(tmp_path, monkeypatch):
    """The whole loop on either engine from one seed: other noise, the same course within its spread."""
    monkeypatch.chdir(tmp_path)
    means = []
    for engine in ("reference", "fused"):
        more = ("--set=training.batch=100", "--set=langevin.bank=100", f"--set=langevin.engine={engine}")
        assert call([*arguments(30, f"{engine}.parquet"), *more]) == 0
        means.append(columns(f"{engine}.parquet")[["r_t", "straightness", "displacement"]].mean().to_numpy())
    np.testing.assert_allclose(means[0], means[1], rtol=0.1)
