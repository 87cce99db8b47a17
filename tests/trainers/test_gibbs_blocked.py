"""Blocks of pixels that share no term, and sweeps over them: the law of plain Gibbs at fewer evaluations."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import assert_within_errors
from torch import nn

from ebmdiag.errors import RecipeError, UsageError
from ebmdiag_trainers.nets import NonlocalNet, ToyNet, VanillaNet
from ebmdiag_trainers.samplers import local_terms as module
from ebmdiag_trainers.samplers.blocks import Blocks, greedy_colours
from ebmdiag_trainers.samplers.gibbs import Gibbs
from ebmdiag_trainers.samplers.gibbs_blocked import GibbsBlocked
from ebmdiag_trainers.samplers.local_terms import blocks_of, local_terms, receptive_fields
from ebmdiag_trainers.samplers.target import Target

CHAINS = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def run(net, sampler, x, sweeps, scale=1.0, seed=1):
    """The chains after some sweeps, flat, and the evaluations without gradient in each."""
    target, draws = Target(net, scale), generator(seed)
    state, _ = sampler.advance(target, sampler.init(target, x, draws), sweeps, draws)
    return state.x.flatten(1), target.energies / sweeps


class Lattice(nn.Module):
    """A Gaussian Markov random field: F = Σ a x_i²/2 + Σ_{neighbours} b (x_i - x_j)²/2, on a rectangle of pixels."""

    def __init__(self, rows, columns, own=0.5, bond=2.0):
        super().__init__()
        self.own = nn.Parameter(torch.tensor(own, dtype=torch.float64))
        self.bond = nn.Parameter(torch.tensor(bond, dtype=torch.float64))
        self.rows, self.columns = rows, columns

    def local_energies(self, x):
        across, down = (x.diff(dim=axis).square().flatten(1) for axis in (3, 2))
        return torch.cat([self.own * x.flatten(1).square(), self.bond * across, self.bond * down], 1) / 2

    def forward(self, x):
        return self.local_energies(x).sum(1)

    @torch.no_grad()
    def covariance(self):
        zero = torch.zeros(self.rows * self.columns, dtype=torch.float64)

        def flat(x):
            return self(x.reshape(1, 1, self.rows, self.columns))[0]

        return torch.linalg.inv(torch.autograd.functional.hessian(flat, zero))

    def draw(self, count, seed=2):
        size = self.rows * self.columns
        z = torch.randn((count, size), generator=generator(seed), dtype=torch.float64)
        return (z @ torch.linalg.cholesky(self.covariance()).T).reshape(count, 1, self.rows, self.columns)


def assert_covariance(x, covariance):
    size = x.shape[1]
    for i in range(size):
        assert_within_errors(x[:, i], 0.0)
        for j in range(i, size):
            assert_within_errors(x[:, i] * x[:, j], float(covariance[i, j]), errors=4.5)


# laws


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 6), (3, 3)])
def test_a_gaussian_field_stays(rows, columns, dtype):
    net = Lattice(rows, columns)
    sampler = GibbsBlocked.of(net, (1, rows, columns), 0.7, expansions=4)
    assert sampler.blocks.count == 2  # a checkerboard
    x, _ = run(net, sampler, net.draw(CHAINS).to(dtype), sweeps=3)
    assert x.dtype == dtype
    assert_covariance(x.double(), net.covariance())


def test_a_gaussian_field_is_found_from_a_wrong_start():
    net = Lattice(2, 3, own=1.0, bond=1.0)
    sampler = GibbsBlocked.of(net, (1, 2, 3), 1.0)
    start = torch.full((5_000, 1, 2, 3), 3.0, dtype=torch.float64)
    x, _ = run(net, sampler, start, sweeps=40)
    assert_covariance(x, net.covariance())


def test_neighbours_in_one_block_break_the_law():
    """The planted error: pixels that share a term, updated at once."""
    net = Lattice(1, 6)
    sampler = GibbsBlocked.of(net, (1, 1, 6), 0.7)
    fields = receptive_fields(net.local_energies, (1, 1, 6))
    seen = torch.from_numpy(np.stack([np.flatnonzero(row)[[0, 1, -1]] for row in fields]))
    seen[[0, -1], -1] = fields.shape[1]  # the ends have one bond only
    together = Blocks(torch.arange(6)[None, :], seen[None, :], fields.shape[1])
    x, _ = run(net, replace(sampler, blocks=together), net.draw(3_000), sweeps=2)
    with pytest.raises(AssertionError, match="standard errors"):
        assert_covariance(x, net.covariance())


def test_scales_of_each_chain():
    net = Lattice(1, 4)
    scale = torch.tensor([1.0, 9.0], dtype=torch.float64).repeat(CHAINS // 2)
    start = net.draw(CHAINS) * scale.sqrt().reshape(-1, 1, 1, 1)
    x, _ = run(net, GibbsBlocked.of(net, (1, 1, 4), scale.sqrt()), start, sweeps=3, scale=scale)
    assert_covariance(x[::2], net.covariance())
    assert_covariance(x[1::2], 9 * net.covariance())


def test_weights_may_change_between_steps():
    net = Lattice(1, 4)
    sampler, target, draws = GibbsBlocked.of(net, (1, 1, 4), 1.0), Target(net, 1.0), generator()
    state = sampler.init(target, net.draw(5_000), draws)
    with torch.no_grad():
        net.bond.fill_(0.3)
    for _ in range(25):
        state, _ = sampler.step(target, state, draws)
    assert_covariance(state.x.flatten(1), net.covariance())


class Hyperbola(nn.Module):
    """√(1 + h²)."""

    def forward(self, h):
        return (1 + h**2).sqrt()


class SmallNet(nn.Module):
    """Two channels, twelve filters, a positive sum of what they see; not Gaussian."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.f = nn.Sequential(nn.Conv2d(2, 12, 2), Hyperbola(), nn.Conv2d(12, 1, (3, 3)))
        with torch.no_grad():
            self.f[0].weight *= 4
            self.f[2].weight.abs_().add_(0.3)
        self.double()

    def forward(self, x):
        return self.f(x).flatten()


def assert_same_means(first, second, errors=4.5):
    spread = (first.var(0) / len(first) + second.var(0) / len(second)).sqrt()
    assert ((first.mean(0) - second.mean(0)).abs() / spread).max() < errors


def products(x):
    return (x[:, :, None] * x[:, None, :]).flatten(1)


def test_blocked_and_plain_agree_on_a_small_net():
    net, shape = SmallNet(), (2, 4, 4)
    start = torch.zeros((600, *shape), dtype=torch.float64)
    plain, cost = run(net, Gibbs(1.0), start, sweeps=10, seed=1)
    sampler = GibbsBlocked.of(net, shape, 1.0)
    blocked, less = run(net, sampler, start, sweeps=10, seed=2)
    assert sampler.blocks.count == 8  # four colours of four pixels, two channels
    assert_same_means(plain, blocked)
    assert_same_means(products(plain), products(blocked))
    assert_same_means(plain.abs(), blocked.abs())
    assert less < cost / 2


def test_evaluations_fall_with_the_pixels_of_a_block():
    """60 pixels in two blocks of 30: a block waits for the slowest of 30 slices, so the gain is a part of 30."""
    net = Lattice(1, 60)
    start = net.draw(20)
    _, plain = run(net, Gibbs(1.0), start, sweeps=2)
    _, blocked = run(net, GibbsBlocked.of(net, (1, 1, 60), 1.0), start, sweeps=2)
    assert 30 / 3 < plain / blocked < 30


def test_the_state_carries_potential_and_gradient_of_its_end():
    net = Lattice(2, 2)
    sampler, target, draws = GibbsBlocked.of(net, (1, 2, 2), 1.0), Target(net, 0.5), generator()
    state, info = sampler.step(target, sampler.init(target, net.draw(10), draws), draws)
    fresh = Target(net, 0.5).point(state.x)
    assert torch.equal(state.point.potential, fresh.potential)
    assert torch.equal(state.point.gradient, fresh.gradient)
    assert info.log_ratio is info.acceptance is None
    assert target.gradients == 2


# VanillaNet


def vanilla_fields():
    """Unit (i, j) of the last 4x4 map sees rows 8i - 8 … 8i + 15 and columns 8j - 8 … 8j + 15."""
    pixel, unit = np.arange(32)[:, None], np.arange(4)
    seen = (pixel >= 8 * unit - 8) & (pixel <= 8 * unit + 15)
    return np.einsum("ri,cj->rcij", seen, seen).reshape(1024, 16)


@pytest.fixture(scope="module")
def narrow():
    torch.manual_seed(0)
    return VanillaNet(channels=3, width=2)


def test_receptive_fields_of_the_vanilla_net(narrow):
    fields = receptive_fields(local_terms(narrow.double()), (3, 32, 32))
    narrow.float()
    assert np.array_equal(fields, vanilla_fields())


def test_blocks_of_the_vanilla_net(narrow):
    """Only the outer eight rows (columns) on either side are independent: 16 squares of 8x8 pixels in 9 groups."""
    blocks = blocks_of(narrow, (3, 32, 32))
    assert blocks.count == 3 * 9 * 64
    assert blocks.largest == 4
    assert 3 * 1024 / blocks.count == pytest.approx(16 / 9)
    assert_partition(blocks, 3 * 1024, vanilla_fields(), pixels=1024)


def assert_partition(blocks, coordinates, fields, pixels):
    """Every coordinate once; its members are what it sees; no term twice in a block."""
    count = fields.shape[1]
    real = blocks.sites < coordinates
    assert torch.equal(blocks.sites[real].sort().values, torch.arange(coordinates))
    assert (blocks.members[~real] == count).all()
    for sites, members in zip(blocks.sites, blocks.members, strict=True):
        for site, terms in zip(sites.tolist(), members, strict=True):
            if site < coordinates:
                assert terms[terms < count].tolist() == np.flatnonzero(fields[site % pixels]).tolist()
        seen = members[members < count]
        assert len(seen) == len(seen.unique())


def test_terms_of_the_vanilla_net_add_up(narrow):
    x = torch.randn((5, 3, 32, 32), generator=generator())
    with torch.no_grad():
        rest = narrow(x) - local_terms(narrow)(x).sum(1)
    assert narrow.f[-1].bias.item() == pytest.approx(rest.mean().item(), abs=1e-6)
    assert rest.max() - rest.min() < 1e-6


@pytest.mark.slow
def test_a_sweep_of_the_vanilla_net():
    torch.manual_seed(0)
    net = VanillaNet(channels=1, width=2)
    start = torch.rand((3, 1, 32, 32), generator=generator()) * 2 - 1
    blocked, less = run(net, GibbsBlocked.of(net, (1, 32, 32), 0.03), start, sweeps=1, scale=0.03**2 / 2)
    plain, cost = run(net, Gibbs(0.03), start, sweeps=1, scale=0.03**2 / 2)
    for x in (plain, blocked):
        assert ((x - start.flatten(1)) != 0).double().mean() > 0.99
    assert cost / less == pytest.approx(16 / 9, rel=0.2)  # 1.78 here


# structure


def test_colours_are_few_and_share_no_term():
    rng = np.random.default_rng(0)
    fields = rng.random((60, 40)) < 0.05
    colours = greedy_colours(fields)
    for colour in range(colours.max() + 1):
        assert fields[colours == colour].sum(0).max() <= 1
    assert greedy_colours(np.eye(5, dtype=bool)).tolist() == [0] * 5
    assert greedy_colours(np.ones((5, 1), dtype=bool)).tolist() == [0, 1, 2, 3, 4]


def test_blocks_of_unequal_size_and_pixels_without_terms():
    fields = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    blocks = Blocks.of_fields(fields, channels=2)
    assert blocks.sites.tolist() == [[0, 2, 3], [1, 8, 8], [4, 6, 7], [5, 8, 8]]
    assert_partition(blocks, 8, fields, pixels=4)
    terms = torch.tensor([[1.0, 10.0, 100.0]]).repeat(2, 1)
    assert blocks.conditional(terms, torch.tensor([0, 3])).tolist() == [[11.0, 100.0, 0.0], [110.0, 0.0, 0.0]]


def test_blocks_are_found_once_for_a_net_and_forgotten_with_it():
    net = Lattice(1, 4)
    first = blocks_of(net, (1, 1, 4))
    with torch.no_grad():
        net.bond.fill_(0.0)
    assert blocks_of(net, (1, 1, 4)) is first
    assert GibbsBlocked.of(net, (1, 1, 4), 0.1).blocks is first
    assert blocks_of(Lattice(1, 4), (1, 1, 4)) is not first
    gc.collect()
    before = len(module._known)
    del net
    gc.collect()
    assert len(module._known) == before - 1


def test_finding_blocks_leaves_the_net_and_the_default_generator_alone(narrow):
    net = VanillaNet(channels=1, width=1).train()
    before, seed = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    blocks_of(net, (1, 32, 32))
    assert net.training
    assert torch.equal(seed, torch.get_rng_state())
    assert all(
        torch.equal(before[name], value) and value.dtype == torch.float32 for name, value in net.state_dict().items()
    )


# refusals


class Wrong(Lattice):
    """Terms without one of the bonds."""

    def local_energies(self, x):
        return super().local_energies(x)[:, :-1]

    def forward(self, x):
        return super().local_energies(x).sum(1)


class Total(Lattice):
    """One number where terms are wanted."""

    def local_energies(self, x):
        return super().local_energies(x).sum(1)

    def forward(self, x):
        return self.local_energies(x)


class Compared(Lattice):
    """A term that compares a far pixel, which NaN does not pass."""

    def local_energies(self, x):
        terms = super().local_energies(x)
        return torch.cat([terms, (x[:, 0, 0, :] > 0).double().sum(1, keepdim=True)], 1)


class Uncovered(nn.Module):
    """A last convolution that moves over its map."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus(), nn.Conv2d(2, 1, 2))

    def forward(self, x):
        return self.f(x).sum((1, 2, 3))


class Halved(SmallNet):
    """An output that is not what f gives."""

    def forward(self, x):
        return super().forward(x) / 2


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (NonlocalNet(), (3, 32, 32), "NonlocalNet is not known to be one: use gibbs"),
        (ToyNet(), (2, 1, 1), r"gains nothing on ToyNet: any two pixels of a state of shape \(2, 1, 1\)"),
        (Wrong(1, 4), (1, 1, 4), "terms of Wrong do not add up to its output"),
        (Total(1, 4), (1, 1, 4), r"local_energies of Total must map \(B, \*shape\) to \(B, K\), but for B = 8 it gave"),
        (Compared(1, 40), (1, 1, 40), "receptive fields of Compared cannot be found"),
        (Uncovered(), (1, 8, 8), r"covers the whole map, but its kernel is \(2, 2\) and the map \(6, 6\)"),
        (Halved(), (2, 4, 4), "terms of Halved do not add up"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_nets_that_have_no_blocks(net, shape, message):
    with pytest.raises(RecipeError, match=message):
        GibbsBlocked.of(net, shape, 0.1)


def test_a_target_of_another_net_is_refused():
    net, other = Lattice(1, 4), Lattice(1, 5)
    target = Target(other, 1.0)
    state = Gibbs(1.0).init(target, other.draw(3), generator())
    with pytest.raises(UsageError, match="an energy of 7 terms, but the target has 9"):
        GibbsBlocked.of(net, (1, 1, 4), 1.0).step(target, state, generator())
