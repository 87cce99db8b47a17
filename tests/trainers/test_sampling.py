"""Chains of a plan: what is recorded, that it is exact, and that it does not depend on being broken off."""

import dataclasses
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import GaussianEnergy, assert_within_errors
from torch import nn

from ebmdiag.chains import ChainFiles, read_chains, read_samples
from ebmdiag.errors import DivergenceError, OutputExistsError, RecipeError, UsageError
from ebmdiag.rows import temperature
from ebmdiag_trainers.data import Gaussian, ImageSet, Rings
from ebmdiag_trainers.engines import ENGINES
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.nets import ToyNet
from ebmdiag_trainers.samplers import SamplerOptions
from ebmdiag_trainers.sampling import Plan, Recording, ShortRun, record, run
from ebmdiag_trainers.sampling.measures import directions, widening_draws
from ebmdiag_trainers.sampling.starts import LEAST_DATA, data_items, long_start

EPSILON = 0.5
LANGEVIN = SamplerOptions()


def gaussian(precisions=(1.0, 4.0), **facts):
    """Chains on a Gaussian of these precisions, beside draws of its own law."""
    chosen = {"steps": 60, "thin": 10, "chains": 6, "dataset": Gaussian(tuple(precisions)), **facts}
    shape = (len(precisions), 1, 1)
    return Plan(net=GaussianEnergy(precisions, EPSILON).float(), shape=shape, epsilon=EPSILON, **chosen)


def toy_net():
    torch.manual_seed(3)
    return ToyNet()


class Noisy(nn.Module):
    """A net that changes when it is called: dropout, and a buffer that moves and is part of the output."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.dropout = nn.Dropout(0.3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return (self.scale * self.dropout(x.flatten(1)).square()).sum(1) * (1 + 0.01 * self.calls.detach() % 7) * 0.05


def bank(chains=40):
    return torch.randn(chains, 2, 1, 1, generator=torch.Generator().manual_seed(9))


SHORT = ShortRun(12, "persistent", LANGEVIN)
PLANS = {
    "langevin": lambda: gaussian(short=SHORT, bank=bank()),
    "mala": lambda: gaussian(options=SamplerOptions(name="mala"), warmup=25, temperature=2.0),
    "hmc": lambda: gaussian(options=SamplerOptions(name="hmc", leapfrog=3), warmup=4, copies=3),
    "underdamped": lambda: gaussian(options=SamplerOptions(name="underdamped"), init="noise"),
    "tempered": lambda: gaussian(options=SamplerOptions(name="mala", temperatures=(1.0, 2.0, 4.0)), warmup=5, thin=3),
    "gibbs": lambda: gaussian(options=SamplerOptions(name="gibbs"), steps=6, thin=2, init="bank", bank=bank()),
    "fused": lambda: Plan(
        net=toy_net(),
        shape=(2, 1, 1),
        epsilon=0.125,
        steps=4600,
        thin=2300,  # more than goes without a look at the clock
        chains=6,
        dataset=Rings(),
        short=SHORT,
        bank=bank(),
        engine=ENGINES["fused"],
        engine_name="fused",
    ),
    "changing": lambda: gaussian().__class__(
        net=Noisy(), shape=(2, 1, 1), epsilon=EPSILON, steps=60, thin=10, chains=6, dataset=Gaussian((1.0, 4.0))
    ),
    "images": lambda: images_plan(),
}


def images(count=30, channels=3):
    generator = torch.Generator().manual_seed(count)
    return ImageSet("images", torch.randint(0, 256, (count, channels, 32, 32), dtype=torch.uint8, generator=generator))


def images_plan(dataset=None, **facts):
    chosen = {"steps": 120, "thin": 60, "chains": 4, "dataset": dataset or images(), "data_noise": 0.03, **facts}
    shape = chosen["dataset"].shape
    energy = GaussianEnergy([1.0] * math.prod(shape), 0.01).float()
    return Plan(net=energy, shape=shape, epsilon=0.01, **chosen)


def interrupting(every, exceptions):
    """An ``interruptible`` that breaks each ``every``-th advance off after its work is done, so that it is lost."""
    calls = [0]

    @contextmanager
    def interruptible():
        yield
        calls[0] += 1
        if calls[0] % every == 0:
            exceptions.append(calls[0])
            raise KeyboardInterrupt

    return interruptible


def record_in_pieces(make_plan, files, every):
    """Broken off again and again; how often."""
    broken = []
    recording = Recording.new(make_plan(), files)
    while True:
        try:
            recording.record(interrupting(every, broken))
            return len(broken)
        except KeyboardInterrupt:
            recording = Recording.resumed(make_plan(), files)


def files_of(name):
    return ChainFiles.of(Path(f"{name}.parquet"))


@pytest.mark.parametrize("name", PLANS)
def test_broken_off_or_not_the_bytes_are_the_same(workplace, name):
    record(PLANS[name](), files_of("whole"))
    assert record_in_pieces(PLANS[name], files_of("pieces"), every=2) >= 3
    assert Path("whole.parquet").read_bytes() == Path("pieces.parquet").read_bytes()
    whole, pieces = read_samples(Path("whole.npz")), read_samples(Path("pieces.npz"))
    for kind in ("data", "short", "long", "nearest_long"):
        one, other = getattr(whole, kind), getattr(pieces, kind)
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)


def test_the_comparison_of_bytes_can_fail(workplace):
    """Negative control: another seed, and a resumed run whose random numbers were tampered with."""
    record(PLANS["langevin"](), files_of("one"))
    record(dataclasses.replace(PLANS["langevin"](), seed=1), files_of("two"))
    assert not read_chains("one.parquet").table.equals(read_chains("two.parquet").table)
    with pytest.raises(KeyboardInterrupt):
        Recording.new(PLANS["langevin"](), files_of("three")).record(interrupting(16, []))
    recording = Recording.resumed(PLANS["langevin"](), files_of("three"))
    assert recording.cursor.stage == "long"
    mark = recording.cursor.mark
    other = torch.Generator().manual_seed(77).get_state()
    recording.cursor = dataclasses.replace(recording.cursor, mark=dataclasses.replace(mark, own=other))
    recording.record()
    assert not read_chains("one.parquet").table.equals(read_chains("three.parquet").table)


def test_more_steps_extend_a_run_that_is_done(workplace):
    plan = PLANS["mala"]()
    record(plan, files_of("long"))
    record(dataclasses.replace(plan, steps=30), files_of("extended"))
    Recording.resumed(plan, files_of("extended")).record()
    assert Path("long.parquet").read_bytes() == Path("extended.parquet").read_bytes()
    Recording.resumed(plan, files_of("extended")).record()  # nothing is left to do
    assert Path("long.parquet").read_bytes() == Path("extended.parquet").read_bytes()
    with pytest.raises(UsageError, match="have done 60 steps already"):
        Recording.resumed(dataclasses.replace(plan, steps=30), files_of("extended"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"thin": 5}, "thin is 5, but the chains were begun with 10"),
        ({"seed": 4}, "seed is 4, but the chains were begun with 0"),
        ({"options": SamplerOptions(name="mala")}, "'mala'"),
        ({"net": GaussianEnergy((1.0, 4.5), EPSILON).float()}, "the net is not the one"),
        ({"dataset": Gaussian((1.0, 5.0))}, "data is 'Gaussian"),
    ],
)
def test_another_plan_is_not_gone_on_with(workplace, change, said):
    record(gaussian(), files_of("a"))
    with pytest.raises(UsageError, match="--resume: ") as caught:
        Recording.resumed(gaussian(**change) if "net" not in change else _with_net(change["net"]), files_of("a"))
    assert said in str(caught.value)


def _with_net(net):
    return dataclasses.replace(gaussian(), net=net)


def test_nothing_is_replaced_unasked(workplace):
    record(gaussian(), files_of("a"))
    with pytest.raises(OutputExistsError, match="--resume, --force"):
        record(gaussian(), files_of("a"))
    record(gaussian(steps=20), files_of("a"), force=True)
    assert read_chains("a.parquet").phases["long"].draws.tolist() == [0, 10, 20]
    with pytest.raises(UsageError, match="no saved place"):
        Recording.resumed(gaussian(), files_of("b"))


def test_draws_copies_and_starts(workplace):
    record(gaussian(chains=12, copies=3, short=SHORT, bank=bank()), files_of("a"))
    chains = read_chains("a.parquet")
    long, short, data = (chains.phases[name] for name in ("long", "short", "data"))
    assert long.draws.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert short.draws.tolist() == widening_draws(12)
    assert data.draws.tolist() == [0]
    assert long.starts.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert short.starts.tolist() == list(range(12))
    assert len(data.starts) == LEAST_DATA
    x = np.stack([long.values[f"projection_{axis}"] for axis in range(2)], axis=2)
    beginnings = x[:, 0].reshape(4, 3, 2)
    assert (beginnings == beginnings[:, :1]).all()
    assert len(np.unique(beginnings[:, 0], axis=0)) == 4
    assert len(np.unique(x[:, 1], axis=0)) == 12  # each goes its own way
    moved = np.linalg.norm(x - x[:, :1], axis=2)
    assert long.values["displacement"] == pytest.approx(moved, abs=1e-6)
    assert not long.has("swaps")
    assert np.isnan(long.values["acceptance"][:, 0]).all()
    assert np.isfinite(long.values["acceptance"][:, 1:]).all()


def test_what_is_recorded_is_what_it_says(workplace):
    """Energy and gradient at temperature 1 by hand, whatever the temperature of the chains."""
    record(gaussian(temperature=2.0, dtype=torch.float64, short=None), files_of("a"))
    long = read_chains("a.parquet").phases["long"]
    x = np.stack([long.values[f"projection_{axis}"] for axis in range(2)], axis=2)
    assert long.values["energy"] == pytest.approx((x**2 @ [1.0, 4.0]) / 2, rel=1e-6)
    assert long.values["grad_norm"] == pytest.approx(np.linalg.norm(x * [1.0, 4.0], axis=2), rel=1e-6)


def test_projections_of_many_coordinates():
    vectors = directions(3072)
    assert np.linalg.norm(vectors, axis=0) == pytest.approx(np.ones(4))
    assert np.abs(vectors.T @ vectors - np.eye(4)).max() < 0.1
    assert np.array_equal(vectors, directions.__wrapped__(3072))


def langevin_variances(first, precision, steps):
    """Of x after each step from x_0 ~ Normal(0, first), x' = (1 - ε²λ/2) x + ε z."""
    found = [first]
    for _ in range(steps):
        found.append((1 - EPSILON**2 * precision / 2) ** 2 * found[-1] + EPSILON**2)
    return np.array(found)


@pytest.mark.parametrize("start", ["gaussian", "persistent", "data"])
def test_the_short_run_is_that_of_the_training(workplace, start):
    """Its law after each recorded number of steps: from the training's start, by the training's step."""
    spread = {"gaussian": 0.49, "persistent": 2.25, "data": 1.0}[start]
    chains = 1.5 * torch.randn(2000, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    plan = gaussian(
        (1.0,),
        chains=2000,
        steps=2,
        thin=2,
        short=ShortRun(12, start, LANGEVIN),
        bank=chains if start == "persistent" else None,
        noise=("gaussian", 0.7),
        dataset=Gaussian((1.0,)),
    )
    record(plan, files_of("a"))
    short = read_chains("a.parquet").phases["short"]
    assert short.init == {"gaussian": "noise", "persistent": "bank", "data": "data"}[start]
    truth = langevin_variances(spread, 1.0, 12)
    for place, draw in enumerate(short.draws):
        assert_within_errors(short.values["projection_0"][:, place] ** 2, truth[draw])
    assert abs(truth[12] - truth[0]) > 0.02 or start == "data"
    if start == "persistent":
        assert set(short.values["projection_0"][:, 0]) <= set(chains.double().flatten().tolist())


def test_the_short_run_has_the_samplers_of_the_training(workplace):
    """A training by MALA is exact, where one by Langevin steps is not."""
    for name, truth in (("mala", 1.0), ("langevin", 1 / (1 - EPSILON**2 / 4))):
        short = ShortRun(40, "data", SamplerOptions(name=name))
        plan = gaussian((1.0,), chains=6000, steps=2, thin=2, short=short, compare=False, init="noise")
        record(plan, files_of(name))
        assert_within_errors(read_chains(f"{name}.parquet").phases["short"].values["energy"][:, -1], truth / 2)


@pytest.mark.parametrize(
    ("options", "warmup", "gradients"),
    [
        (LANGEVIN, 0, 61),
        (SamplerOptions(name="mala"), 7, 61 + 8),
        (SamplerOptions(name="hmc", leapfrog=3), 0, 181),
        (SamplerOptions(name="mala", temperatures=(1.0, 2.0)), 0, 122),
    ],
)
def test_evaluations_are_counted(workplace, options, warmup, gradients):
    record(gaussian(options=options, warmup=warmup), files_of("a"))
    metadata = read_chains("a.parquet").metadata
    assert metadata.gradients == gradients
    assert metadata.state == "finished"


def test_the_warm_up_finds_a_step_and_the_chains_begin_again(workplace):
    options = SamplerOptions(name="mala", step_size=0.02)
    record(gaussian(options=options, chains=40, copies=2, warmup=400, steps=200, thin=10), files_of("a"))
    chains = read_chains("a.parquet")
    assert 0.6 < chains.metadata.sampler["step_size"] < 1.6
    assert chains.metadata.sampler["adjusted"] is True
    assert 0.4 < np.nanmean(chains.phases["long"].values["acceptance"]) < 0.75
    assert (chains.phases["long"].values["displacement"][:, 0] == 0).all()


def test_means_of_a_long_stretch_are_those_of_its_steps(workplace):
    """1,201 steps go in two pieces; the acceptance is the mean over all of them, and swaps over every other."""
    options = SamplerOptions(name="mala", temperatures=(1.0, 3.0), step_size=1.4)
    plan = gaussian((1.0,), options=options, steps=1201, thin=1201, chains=2, compare=False)
    record(plan, files_of("a"))
    long = read_chains("a.parquet").phases["long"]
    from ebmdiag_trainers.samplers import Target

    sampler, target = plan.long_sampler, Target(plan.net, plan.heat)
    generator = plan.generator("long")
    state, told = sampler.init(target, long_start(plan), generator), []
    for _ in range(1201):
        state, info = sampler.step(target, state, generator)
        told.append(info)
    assert long.values["acceptance"][:, 1] == pytest.approx(torch.stack([i.acceptance for i in told]).mean(0).numpy())
    swaps = torch.stack([info.swaps for info in told if info.swaps is not None])
    assert len(swaps) == 600
    assert long.values["swaps"][:, 1] == pytest.approx(swaps.mean(0).numpy())


def test_chains_that_blow_up_keep_their_rows(workplace):
    """A step far too long for this energy: x grows until it is no number."""
    plan = gaussian((400.0,), steps=200, thin=10, chains=4)
    with pytest.raises(DivergenceError, match=r"4 of 4 chains blew up by step \d+ of the long run"):
        record(plan, files_of("a"))
    chains = read_chains("a.parquet")
    assert chains.metadata.state == "diverged"
    assert "blew up" in chains.metadata.message
    long = chains.phases["long"]
    assert long.draws[0] == 0
    assert 1 < len(long.draws) < 20
    assert all(np.isfinite(long.values[name]).all() for name in ("energy", "grad_norm", "displacement"))
    assert not Path("a.npz").exists()
    before = Path("a.parquet").read_bytes()
    with pytest.raises(DivergenceError):
        Recording.resumed(plan, files_of("a")).record()
    assert Path("a.parquet").read_bytes() == before


def test_bad_plans_are_refused():
    for facts, said in [
        ({"chains": 7, "copies": 2}, "take 6"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"init": "bank"}, "holds no bank"),
        ({"init": "bank", "bank": bank(2)}, "the bank holds 2 chains, but 6 starts"),
        ({"dataset": None}, "no data are loaded"),
        ({"short": SHORT}, "holds none"),
        ({"warmup": 5}, "refuses no steps"),
        ({"steps": 61}, "no multiple of thin"),
    ]:
        with pytest.raises(UsageError, match=said):
            gaussian(**facts)
    with pytest.raises(UsageError, match="has 30 items to begin at, but 32 starts"):
        images_plan(chains=32)
    with pytest.raises(RecipeError, match="epsilon must be above 0"):
        Plan(net=toy_net(), shape=(2, 1, 1), epsilon=0.0, steps=2, thin=1, chains=2, dataset=Rings())


def test_what_is_compared_with_was_not_begun_at():
    plan = images_plan(images(30), chains=10, data_noise=0.0)
    items = data_items(plan)
    assert len(items.starts) == 10
    assert len(items.compared) == 20
    assert torch.cdist(items.starts.flatten(1), items.compared.flatten(1)).min() > 1
    apart = images(30).holding_out(8)
    items = data_items(images_plan(apart, chains=10, data_noise=0.0))
    assert torch.cdist(items.starts.flatten(1), apart.all().flatten(1)).min(1).values.max() == 0
    assert torch.cdist(items.compared.flatten(1), apart.held_out.all().flatten(1)).min(1).values.max() == 0
    assert len(items.compared) == 8


@pytest.mark.parametrize("held_out", [0, 8])
def test_distances_to_the_nearest_training_image(workplace, held_out):
    dataset = images(30).holding_out(held_out)
    plan = images_plan(dataset, chains=6, steps=60, short=ShortRun(50, "data", LANGEVIN))
    record(plan, files_of("a"))
    chains, samples = read_chains("a.parquet"), read_samples(Path("a.npz"))
    assert chains.metadata.held_out is bool(held_out)
    trained = dataset.all().flatten(1).double().numpy()
    for kind in ("short", "long", "data"):
        states = getattr(samples, kind).reshape(-1, 3072).astype(np.float64)
        distances = np.linalg.norm(states[:, None] - trained[None], axis=2)
        expected = np.sort(distances, axis=1)
        place = 1 if kind == "data" and not held_out else 0  # an image that was trained on is not compared with itself
        assert getattr(samples, f"nearest_{kind}") == pytest.approx(expected[:, place], rel=1e-5)
    assert samples.nearest_data.min() > 20
    assert samples.long.shape == (6, 3, 32, 32)


def test_pictures_of_images(workplace):
    record(images_plan(short=ShortRun(50, "data", LANGEVIN)), files_of("a"))
    found = sorted(path.relative_to("a").as_posix() for path in Path("a").rglob("*.png"))
    assert found == ["samples/short.png", *(f"samples/step_{draw:010d}.png" for draw in (0, 60, 120))]
    assert Path("a.png").stat().st_size > 1000
    long = read_chains("a.parquet").phases["long"]
    assert all(long.has(name) for name in ("saturation", "colourfulness", "salt_and_pepper", "outside"))
    Path("a/samples/step_0000000777.png").write_bytes(b"old")
    record(images_plan(), files_of("a"), force=True)
    assert not Path("a/samples/step_0000000777.png").exists()
    assert not Path("a/samples/short.png").exists()


def test_a_landscape_of_a_planar_density(workplace):
    plan = dataclasses.replace(PLANS["fused"](), training_step=30, dtype=torch.float64, engine=None, steps=20, thin=1)
    record(dataclasses.replace(plan, net=toy_net().double()), files_of("a"))
    with np.load("a/landscape/step_0000000030.npz", allow_pickle=False) as landscape:
        assert len(landscape["samples"]) == 6 * 11  # the draws 10 to 20
        assert int(landscape["step"]) == 30
        grid, energy = landscape["grid"], landscape["energy"]
        points = torch.tensor([[grid[5], grid[7]]], dtype=torch.float32).reshape(1, 2, 1, 1)
        value, _ = energy_and_gradient(toy_net(), points)
        assert energy[7, 5] == pytest.approx(float(value) / temperature(0.125), rel=1e-5)


def test_nothing_is_left_on_the_net_or_on_random_numbers(workplace):
    net = Noisy()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    plan = Plan(net=net, shape=(2, 1, 1), epsilon=EPSILON, steps=20, thin=10, chains=4, dataset=Gaussian((1.0, 4.0)))
    record(plan, files_of("a"))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_numbers_without_files():
    """The generator alone: the last state of the long run follows the plan."""
    events = list(run(gaussian(steps=20)))
    drawn = [(recorded.phase, recorded.draw) for _, recorded in events if recorded is not None]
    assert drawn == [("data", 0), ("long", 0), ("long", 10), ("long", 20)]


def test_images_held_out_are_the_same_ones_each_time():
    whole = images(30)
    assert whole.holding_out(0) is whole
    few, many = whole.holding_out(5), whole.holding_out(12)
    assert (few.size, few.held_out.size, many.size) == (25, 5, 18)
    assert torch.equal(few.images, whole.holding_out(5).images)
    both = torch.cat([many.images, many.held_out.images]).flatten(1)
    assert len(torch.unique(both, dim=0)) == 30
    inside = (few.held_out.images.flatten(1)[:, None] == many.held_out.images.flatten(1)[None]).all(2).any(1)
    assert inside.all()
    prints = {whole.fingerprint, few.fingerprint, many.fingerprint, few.held_out.fingerprint}
    assert len(prints) == 4
    with pytest.raises(UsageError, match="leaves nothing to train on"):
        whole.holding_out(30)
