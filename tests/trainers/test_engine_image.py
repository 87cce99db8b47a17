"""The image engine against the reference engine, the nets it writes out, and what it leaves as it was."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from helpers import TINY
from torch import nn

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import image, image_nets
from ebmdiag_trainers.engines.contract import SUMS
from ebmdiag_trainers.engines.image import check_agreement, compare, part_bounds, run_image
from ebmdiag_trainers.engines.image_nets import written_out
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.engines.selection import with_engine
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.nets import NETS, NonlocalNet, VanillaNet
from ebmdiag_trainers.recipe import load_recipe

EPSILON, CHAINS, SHAPE = 0.3, 9, (3, 32, 32)
CPU = torch.device("cpu")


def generator(seed):
    return torch.Generator().manual_seed(seed)


def shaken(net, amount=0.03):
    """The net with weights that leave nothing at zero; the non-local blocks begin as the identity."""
    draw = generator(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=draw))
    return net


class Plain(nn.Module):
    """A net that is not written out: it is computed by automatic differentiation."""

    def __init__(self, *more, flatten=lambda h: h.flatten(1)):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *more, nn.LeakyReLU(0.1), nn.Conv2d(8, 4, 3, 2, 1))
        self.last, self.flatten = nn.Linear(4 * 64, 1), flatten

    def forward(self, x):
        return self.last(self.flatten(self.f(x))).flatten()


NETS_HERE = {
    "vanilla": lambda: shaken(VanillaNet()),
    "nonlocal": lambda: shaken(NonlocalNet()),
    "narrow": lambda: shaken(NonlocalNet(width=6)),
    "plain": lambda: shaken(Plain()),
    "view": lambda: shaken(Plain(flatten=lambda h: h.view(len(h), -1))),
    "norm": lambda: shaken(Plain(nn.BatchNorm2d(8))),
}


@pytest.fixture(params=NETS_HERE)
def case(request):
    """A net and where its chains start."""
    torch.manual_seed(5)
    return NETS_HERE[request.param](), 2 * torch.rand(CHAINS, *SHAPE, generator=generator(1)) - 1


def assert_same_path(found, expected, tolerance=1e-4, share=1.0):
    """Ends and all sums of at least this share of the chains agree, in units of the largest value of each.

    Now and then rounding takes the other side of a kink of a leaky ReLU, and the gradient there is another.
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


def assert_same_bits(first, second):
    assert torch.equal(first.end, second.end)
    for name in SUMS:
        one, other = getattr(first.sums, name), getattr(second.sums, name)
        assert one is other is None or torch.equal(one, other), name


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_it_agrees_with_the_reference(case, steps, epsilon, closed):
    """Also with the reference's own noise: both draw the same from the generator."""
    net, start = case
    if closed and epsilon == 0:
        with pytest.raises(ValueError, match="needs noise"):
            run_image(net, start, steps, epsilon, generator(0), closed=closed)
        return
    before = start.clone()
    chains = []
    for engine in (run_image, run_reference):
        torch.manual_seed(3)
        source = generator(2)
        chains.append(engine(net, start, steps, epsilon, source, closed=closed))
        chains.append(source.get_state())
    assert torch.equal(chains[1], chains[3])
    assert torch.equal(start, before)
    assert chains[0].end.is_contiguous()
    assert_same_path(chains[0], chains[2], share=0.75)


def test_given_noise_is_used(case):
    net, start = case
    noise = torch.randn(6, *start.shape, generator=generator(2))
    torch.manual_seed(3)
    given = run_image(net, start, 6, EPSILON, generator(0), noise)
    torch.manual_seed(3)
    assert_same_bits(given, run_image(net, start, 6, EPSILON, generator(2)))


@pytest.mark.parametrize("name", SUMS)
def test_a_planted_error_in_one_sum_is_caught(name):
    """Negative control: 0.1% too much in one sum."""
    net, start = shaken(VanillaNet()), torch.rand(4, *SHAPE, generator=generator(1))
    arguments = (net, start, 4, EPSILON, generator(0), torch.randn(4, *start.shape, generator=generator(2)), True)
    found, expected = run_image(*arguments), run_reference(*arguments)
    assert_same_path(found, expected, share=0.75)
    wrong = dataclasses.replace(found.sums, **{name: getattr(found.sums, name) * 1.001})
    with pytest.raises(AssertionError, match=name):
        assert_same_path(dataclasses.replace(found, sums=wrong), expected, share=0.75)


@pytest.mark.parametrize("kind", [VanillaNet, NonlocalNet])
def test_energy_and_gradient_are_those_of_automatic_differentiation(kind):
    net, x = shaken(kind()), torch.randn(8, *SHAPE, generator=generator(1))
    expected = energy_and_gradient(net, x)
    found = written_out(net, x, torch.float32)(x)
    apart = compare(found, expected)
    assert apart.energy < 1e-5
    assert apart.gradient < 1e-5
    wrong = compare((found[0] * 1.001, found[1] * 1.001), expected)
    assert wrong.energy > 1e-5 < wrong.gradient


def test_the_middle_of_a_leaky_relu_and_equal_pixels():
    """At 0, and where all pixels of a pooling window are equal, the same of several gradients is taken."""
    for kind in (VanillaNet, NonlocalNet):
        torch.manual_seed(0)
        net, x = kind(), torch.zeros(2, *SHAPE)
        for parameter in net.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
        torch.testing.assert_close(written_out(net, x, torch.float32)(x)[1], energy_and_gradient(net, x)[1])


@pytest.mark.parametrize("kind", ["VanillaNet", "NonlocalNet"])
def test_a_wrong_shortcut_is_caught(monkeypatch, capsys, kind):
    """Negative control: the first layer's backward pass is computed with a kernel that is not turned."""
    turned = image_nets.by_blocks
    monkeypatch.setattr(image_nets, "by_blocks", lambda weight: turned(weight.flip(2, 3)))
    recipe = load_recipe("flowers", [f"net.factory={kind}"])
    assert with_engine(recipe, SHAPE, CPU).langevin.engine == "reference"
    assert "the image engine is not taken: of " in capsys.readouterr().err
    for setting in ("engine=image", "precision=bfloat16"):
        with pytest.raises(RecipeError, match=r"cannot run here: of .* energies and gradients differ"):
            with_engine(load_recipe("flowers", [f"net.factory={kind}", f"langevin.{setting}"]), SHAPE, CPU)


def test_a_wrong_block_is_caught(monkeypatch):
    """Negative control: a block that begins as the identity must be looked at with other weights."""
    monkeypatch.setattr(image_nets._Block, "back", lambda self, slope, seen: slope)
    torch.manual_seed(0)
    with pytest.raises(UnfitError, match="energies and gradients differ"):
        check_agreement(NonlocalNet(), SHAPE)


def test_what_is_not_a_number_is_caught(monkeypatch):
    real = image_nets.WrittenVanilla.__call__
    for place in (0, 1):

        def spoilt(self, x, place=place):
            pair = list(real(self, x))
            pair[place] = pair[place] * float("nan")
            return tuple(pair)

        monkeypatch.setattr(image_nets.WrittenVanilla, "__call__", spoilt)
        torch.manual_seed(0)
        with pytest.raises(UnfitError, match="energies and gradients differ"):
            check_agreement(VanillaNet(), SHAPE)


class Negative(VanillaNet):
    """Another forward, by the same layers."""

    def forward(self, x):
        return -super().forward(x)


class Twofold(nn.Module):
    """A parametrization."""

    def forward(self, weight):
        return 2 * weight


def changed(change):
    net = VanillaNet()
    change(net)
    return net


IMPOSTORS = {
    "subclass": Negative,
    "hook": lambda: changed(lambda net: net.f[2].register_forward_hook(lambda part, given, got: 2 * got)),
    "hook on the net": lambda: changed(lambda net: net.register_forward_hook(lambda part, given, got: 2 * got)),
    "replaced forward": lambda: changed(lambda net: setattr(net, "forward", lambda x: 3 * VanillaNet.forward(net, x))),
    "another part": lambda: changed(lambda net: net.f.__setitem__(1, nn.Tanh())),
    "another slope": lambda: changed(lambda net: net.f.__setitem__(1, nn.LeakyReLU(0.2))),
    "one part more": lambda: changed(lambda net: net.f.append(nn.Identity())),
    "padding": lambda: changed(
        lambda net: net.f.__setitem__(0, nn.Conv2d(3, 32, 3, padding=1, padding_mode="circular"))
    ),
    "no bias": lambda: changed(lambda net: net.f.__setitem__(0, nn.Conv2d(3, 32, 3, padding=1, bias=False))),
    "parametrization": lambda: changed(
        lambda net: nn.utils.parametrize.register_parametrization(net.f[2], "weight", Twofold())
    ),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_a_changed_net_is_not_written_out(kind):
    """It is computed as it is, by automatic differentiation."""
    torch.manual_seed(0)
    net, start = IMPOSTORS[kind](), torch.rand(4, *SHAPE, generator=generator(1))
    assert written_out(VanillaNet(), start, torch.float32) is not None
    assert written_out(net, start, torch.float32) is None
    noise = torch.randn(3, *start.shape, generator=generator(2))
    arguments = (net, start, 3, EPSILON, generator(0), noise)
    assert_same_path(run_image(*arguments), run_reference(*arguments), share=0.75)


def test_other_numbers_are_not_written_out():
    x = torch.zeros(2, *SHAPE, dtype=torch.float64)
    assert written_out(VanillaNet(), x, torch.float32) is None
    assert written_out(VanillaNet().double(), x.float(), torch.float32) is None
    assert written_out(VanillaNet(), torch.zeros(2, 3, 36, 36), torch.float32) is None
    net = shaken(VanillaNet()).double()
    ends = [engine(net, x, 2, EPSILON, generator(1)).end for engine in (run_image, run_reference)]
    torch.testing.assert_close(*ends)
    assert ends[0].dtype == torch.float64


class Raising(VanillaNet):
    """Raises at its second call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 3:
            raise RuntimeError("no more")
        return super().forward(x)


def state_of(net):
    return [(p.requires_grad, p.grad, p.data_ptr(), p.stride(), p.detach().clone()) for p in net.parameters()]


def assert_same_state(before, after):
    for one, other in zip(before, after, strict=True):
        assert one[:4] == other[:4]
        assert torch.equal(one[4], other[4])


@pytest.mark.parametrize("kind", [VanillaNet, NonlocalNet, Plain, Raising])
def test_parameters_are_left_as_they_were(kind):
    net, start = kind(), torch.rand(5, *SHAPE, generator=generator(1))
    next(net.parameters()).requires_grad_(False)
    kept = torch.ones_like(list(net.parameters())[1])
    list(net.parameters())[1].grad = kept
    before, threads = state_of(net), torch.get_num_threads()
    if kind is Raising:
        with pytest.raises(RuntimeError, match="no more"):
            run_image(net, start, 6, EPSILON, generator(1))
    else:
        run_image(net, start, 2, EPSILON, generator(1))
    assert_same_state(before, state_of(net))
    assert list(net.parameters())[1].grad is kept
    assert bool((kept == 1).all())
    assert all(isinstance(parameter, nn.Parameter) for parameter in net.parameters())
    assert torch.get_num_threads() == threads


def test_frozen_parameters_change_no_bit(case):
    net, start = case
    chains = []
    for wanted in (True, False):
        net.requires_grad_(wanted)
        torch.manual_seed(3)
        chains.append(run_image(net, start, 3, EPSILON, generator(1)))
    assert_same_bits(*chains)


@pytest.mark.parametrize("dropout", [False, True])
def test_buffers_and_random_numbers_are_used_as_the_reference_uses_them(dropout):
    """Trying the memory layout counts no batch and draws nothing. (Dropout's mask follows the layout.)"""
    found = []
    for engine in (run_image, run_reference):
        torch.manual_seed(3)
        net = Plain(nn.BatchNorm2d(8), *([nn.Dropout()] * dropout))
        engine(net, torch.rand(4, *SHAPE, generator=generator(1)), 3, EPSILON, generator(2))
        found.append((net.f[1].num_batches_tracked, net.f[1].running_mean, torch.get_rng_state()))
    assert int(found[0][0]) == int(found[1][0]) == 3
    assert torch.equal(found[0][2], found[1][2])
    if not dropout:
        torch.testing.assert_close(found[0][1], found[1][1])


def test_new_weights_are_seen(case):
    net, start = case
    chains = []
    for amount in (0.0, 0.01):
        shaken(net, amount)
        torch.manual_seed(3)
        chains.append(run_image(net, start, 2, EPSILON, generator(1)))
    assert not torch.equal(chains[0].end, chains[1].end)
    net(start).sum().backward()


# Median over chains of ‖g - g'‖ / ‖g‖ on these states, of a bfloat16 gradient g'; and of |r' / r - 1|. See
# docs/speed_images.md.
STATED = {"vanilla": (0.15, 0.02), "nonlocal": (0.25, 0.05), "plain": (0.1, 0.02)}


@pytest.mark.parametrize("kind", STATED)
def test_bfloat16_is_within_its_stated_bias(kind):
    torch.manual_seed(5)
    net, start = NETS_HERE[kind](), 2 * torch.rand(CHAINS, *SHAPE, generator=generator(1)) - 1
    ends = {}
    for precision in ("float32", "bfloat16"):
        ends[precision] = run_image(net, start, 2, EPSILON, generator(1), precision=precision)
    exact, rounded = (ends[precision] for precision in ("float32", "bfloat16"))
    assert rounded.end.dtype == torch.float32
    limit, ratio = STATED[kind]
    step = [run_image(net, start, 1, 0.0, generator(1), precision=name).end - start for name in ends]
    errors = (step[1] - step[0]).flatten(1).norm(dim=1) / step[0].flatten(1).norm(dim=1)
    assert 1e-3 < float(errors.median()) < limit
    r, rounded_r = (float(chain.sums.gradient_norm.mean()) for chain in (exact, rounded))
    assert 0 < abs(rounded_r / r - 1) < ratio


def test_threads(monkeypatch):
    """The same number gives the same bits; another number another grouping, so the same but for rounding."""
    net, start = shaken(VanillaNet()), torch.rand(9, *SHAPE, generator=generator(1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        chains = [run_image(net, start, 5, EPSILON, generator(1)) for _ in range(2)]
        assert_same_bits(*chains)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert_same_path(run_image(net, start, 5, EPSILON, generator(1)), chains[0], share=0.75)
        torch.set_num_threads(2)
        monkeypatch.setattr(image_nets.WrittenVanilla, "__call__", lambda self, x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_image(net, start, 5, EPSILON, generator(1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize(("chains", "threads"), [(1, 1), (1, 8), (9, 2), (100, 1), (100, 2), (100, 16), (1000, 3)])
def test_parts(chains, threads):
    bounds = part_bounds(chains, threads)
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, chains)
    assert 0 < sizes.min() <= sizes.max() <= image.MOST_CHAINS
    assert sizes.max() - sizes.min() <= 1


def test_an_interrupt_breaks_off(monkeypatch):
    """The part that runs is finished for a few steps, those that wait are dropped, and no thread stays."""
    net, start = VanillaNet(), torch.rand(40, *SHAPE)
    steps = []
    real = image._advance

    def counted(path, noise):
        steps.append(len(noise))
        real(path, noise)

    def interrupted(like, source):
        if len(steps) > 3:
            raise KeyboardInterrupt
        return torch.zeros_like(like)

    monkeypatch.setattr(image, "_advance", counted)
    monkeypatch.setattr(image, "draw_noise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_image(net, start, 1000, EPSILON, generator(1))
    assert sum(steps) < 100
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_states_elsewhere_and_other_precisions_are_refused():
    with pytest.raises(UnfitError, match="not on meta"):
        run_image(VanillaNet(), torch.zeros(2, *SHAPE, device="meta"), 1, EPSILON, generator(1))
    with pytest.raises(UnfitError, match="no precision 'tf32'"):
        run_image(VanillaNet(), torch.zeros(2, *SHAPE), 1, EPSILON, generator(1), precision="tf32")
    with pytest.raises(ValueError, match="at least 1 step"):
        run_image(VanillaNet(), torch.zeros(2, *SHAPE), 0, EPSILON, generator(1))


def test_auto_takes_it_for_images():
    flowers, rings = load_recipe("flowers"), load_recipe("rings")
    state = torch.get_rng_state()
    assert with_engine(flowers, SHAPE, CPU).langevin.engine == "image"
    assert with_engine(load_recipe("flowers-convergent"), SHAPE, CPU).langevin.engine == "image"
    assert with_engine(load_recipe("rings", ["langevin.engine=image"]), (2, 1, 1), CPU).langevin.engine == "image"
    assert with_engine(rings, (2, 1, 1), CPU).langevin.engine != "image"
    small = load_recipe("rings", ["net.factory=GaussianEnergy", "net.coordinates=2"])
    assert with_engine(small, (2, 1, 1), CPU).langevin.engine == "reference"
    asked = load_recipe("flowers", ["langevin.engine=reference"])
    assert with_engine(asked, SHAPE, CPU) == asked
    assert torch.equal(torch.get_rng_state(), state)


def test_precisions():
    assert load_recipe("flowers").langevin.precision == "float32"
    flowers = load_recipe("flowers", ["langevin.precision=bfloat16"])
    assert with_engine(flowers, SHAPE, CPU).langevin.engine == "image"
    rings = load_recipe("rings", ["langevin.precision=bfloat16"])
    assert with_engine(rings, (2, 1, 1), CPU).langevin.engine == "image"
    with pytest.raises(RecipeError, match="must be one of float32, bfloat16, tf32"):
        load_recipe("flowers", ["langevin.precision=float16"])
    with pytest.raises(RecipeError, match="'tf32' is a mode of NVIDIA GPUs, and the run is on the CPU"):
        with_engine(load_recipe("flowers", ["langevin.precision=tf32"]), SHAPE, CPU)
    for engine in ("reference", "fused"):
        both = load_recipe("rings", ["langevin.precision=bfloat16", f"langevin.engine={engine}"])
        with pytest.raises(RecipeError, match=f"precision = 'bfloat16' cannot be had on the engine '{engine}'"):
            with_engine(both, (2, 1, 1), CPU)


def columns(path):
    return read_trace(path).to_pandas().drop(columns="elapsed_s")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_is_the_same_run(tmp_path, monkeypatch, capsys, precision):
    monkeypatch.chdir(tmp_path)
    more = ["--set=langevin.engine=image", f"--set=langevin.precision={precision}", "--quiet"]
    more += [f"--set={setting}" for setting in TINY]
    assert call(["train", "rings", "--steps=8", "--out=whole.parquet", *more]) == 0
    assert call(["train", "rings", "--steps=3", "--out=a.parquet", *more]) == 0
    assert call(["train", "rings", "--steps=8", "--out=a.parquet", "--resume", *more]) == 0
    assert columns("a.parquet").equals(columns("whole.parquet"))
    langevin = read_trace("a.parquet").metadata.recipe["langevin"]
    assert (langevin["engine"], langevin["precision"]) == ("image", precision)


def test_it_is_the_reference_but_for_rounding(tmp_path, monkeypatch):
    """A whole run from one seed, on either engine."""
    monkeypatch.chdir(tmp_path)
    for engine in ("image", "reference"):
        tiny = [f"--set={setting}" for setting in (*TINY, f"langevin.engine={engine}")]
        assert call(["train", "rings", "--steps=3", f"--out={engine}.parquet", "--quiet", *tiny]) == 0
    pairs = [columns(f"{engine}.parquet")[["r_t", "displacement", "d_s_t"]] for engine in ("image", "reference")]
    np.testing.assert_allclose(*pairs, rtol=1e-3, atol=1e-4)


def test_freed_memory_is_kept_or_not(monkeypatch):
    """Asked of glibc only; without it nothing happens."""
    image.keep_freed_memory.cache_clear()
    monkeypatch.setattr(image.ctypes, "CDLL", lambda name: object())
    assert image.keep_freed_memory() is False
    image.keep_freed_memory.cache_clear()


def test_all_nets_of_the_package_can_be_taken():
    for name, shape in (("ToyNet", (2, 1, 1)), ("VanillaNet", SHAPE), ("NonlocalNet", SHAPE)):
        with torch.random.fork_rng(devices=[]):
            check_agreement(NETS[name](), shape)
