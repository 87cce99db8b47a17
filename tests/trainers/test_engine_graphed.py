"""The graphed engine, its graphs replaced by a stand-in that runs what it was given: no CUDA device is needed."""

import dataclasses
import warnings
from contextlib import contextmanager, nullcontext

import pytest
import torch
from helpers import QuarticEnergy
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import graphed
from ebmdiag_trainers.engines.graphed import UNIT, CaptureError, run_graphed, schedule, units
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.precision import energy_and_gradient_in, switches, tf32
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.nets import ToyNet

EPSILON = 0.125


class StandIn:
    """Graphs that replay by running Python again; they count."""

    def __init__(self):
        self.captures, self.replays = 0, 0

    def capture(self, work, warm_up, generator):
        self.captures += 1
        for _ in range(3):
            warm_up()

        def replay():
            self.replays += 1
            work()

        return replay


class Refusing(StandIn):
    """Graphs that can record nothing, found out after warming up."""

    def capture(self, work, warm_up, generator):
        super().capture(work, warm_up, generator)
        raise CaptureError("it synchronizes")


class Noting(nn.Module):
    """Calls something at each forward pass, and counts in a buffer."""

    def __init__(self, note):
        super().__init__()
        self.net, self.note = ToyNet(), note
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.note(self)
        self.calls += 1
        return self.net(x)


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def toy(chains=6):
    torch.manual_seed(0)
    return ToyNet(), torch.randn(chains, 2, 1, 1)


def assert_equal(found, expected):
    """To the last bit, all of it."""
    assert torch.equal(found.end, expected.end)
    for field in dataclasses.fields(expected.sums):
        a, b = getattr(found.sums, field.name), getattr(expected.sums, field.name)
        assert torch.equal(a, b) if isinstance(b, torch.Tensor) else a == b, field.name


@pytest.mark.parametrize(("epsilon", "closed"), [(0.0, False), (EPSILON, False), (EPSILON, True)])
@pytest.mark.parametrize("steps", [1, 2, 5, 8])
@pytest.mark.parametrize("energy", ["toy", "quartic"])
def test_given_noise_it_is_the_reference_engine_to_the_last_bit(energy, steps, epsilon, closed):
    net, start = toy()
    if energy == "quartic":
        net, start = QuarticEnergy(EPSILON), start.double()
    noise = torch.randn(steps, *start.shape, dtype=start.dtype)
    expected = run_reference(net, start, steps, epsilon, generator(), noise, closed)
    assert_equal(run_graphed(net, start, steps, epsilon, generator(), noise, closed, graphs=StandIn()), expected)


def test_the_comparison_sees_a_wrong_sum(monkeypatch):
    """Negative control: a tail that begins one step late."""
    net, start = toy()
    expected = run_reference(net, start, 6, EPSILON, generator())
    monkeypatch.setattr(
        graphed,
        "schedule",
        lambda steps: [(role, n + d) for (role, n), d in zip(schedule(steps), (1, -1, 0), strict=True)],
    )
    with pytest.raises(AssertionError, match="tail_first_energy"):
        assert_equal(run_graphed(net, start, 6, EPSILON, generator(), graphs=StandIn()), expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 2 * UNIT + 11, 4 * UNIT + 2])
@pytest.mark.parametrize("closed", [False, True])
def test_replayed_it_is_the_reference_engine_with_the_same_generator(steps, closed):
    net, start = toy()
    ours, theirs, graphs = generator(), generator(), StandIn()
    for _ in range(2):
        found = run_graphed(net, start, steps, EPSILON, ours, closed=closed, graphs=graphs)
        assert_equal(found, run_reference(net, start, steps, EPSILON, theirs, closed=closed))
        assert torch.equal(ours.get_state(), theirs.get_state())
        start = found.end
    needed = {(role, count) for role, total in schedule(steps) for count in units(total)}
    replays = sum(len(units(total)) for _, total in schedule(steps))
    assert (graphs.captures, graphs.replays) == (len(needed), 2 * replays)
    assert sum(total for _, total in schedule(steps)) == steps


def test_a_fresh_start_goes_on_as_if_it_had_never_stopped():
    """Recording draws from no generator that lasts: what comes after does not depend on when it was recorded."""
    net, start = toy()
    ours = generator()
    first = run_graphed(net, start, 40, EPSILON, ours, graphs=StandIn())
    state = ours.get_state()
    second = run_graphed(net, first.end, 40, EPSILON, ours, graphs=StandIn())
    graphed._PLANS.pop(net)
    again = generator()
    again.set_state(state)
    assert_equal(run_graphed(net, first.end, 40, EPSILON, again, graphs=StandIn()), second)


def test_results_have_memory_of_their_own():
    net, start = toy()
    graphs = StandIn()
    first = run_graphed(net, start, 3, EPSILON, generator(1), graphs=graphs)
    kept = (first.end.clone(), first.sums.gradient_norm.clone())
    run_graphed(net, start, 3, EPSILON, generator(2), graphs=graphs)
    assert torch.equal(first.end, kept[0])
    assert torch.equal(first.sums.gradient_norm, kept[1])


def test_an_optimizer_in_place_needs_no_new_graphs_and_is_seen():
    net, start = toy()
    graphs, optimizer = StandIn(), torch.optim.Adam(net.parameters(), lr=0.1)
    run_graphed(net, start, 4, EPSILON, generator(), graphs=graphs)
    before = graphs.captures
    net(start).mean().backward()
    optimizer.step()
    found = run_graphed(net, start, 4, EPSILON, generator(), graphs=graphs)
    assert graphs.captures == before
    assert_equal(found, run_reference(net, start, 4, EPSILON, generator()))


def moved(net):
    net.f[0].weight.data = net.f[0].weight.data.clone()


def with_another_activation(net):
    net.f[1] = nn.LeakyReLU(0.2)


CHANGES = {
    "a part": lambda net, call: with_another_activation(net) or call,
    "a parameter moved": lambda net, call: moved(net) or call,
    "mode": lambda net, call: net.eval() and call,
    "shape": lambda net, call: {**call, "start": call["start"][:4]},
    "dtype": lambda net, call: net.double() and {**call, "start": call["start"].double()},
    "epsilon": lambda net, call: {**call, "epsilon": 0.2},
    "closed": lambda net, call: {**call, "closed": True},
    "precision": lambda net, call: {**call, "precision": "bfloat16"},
    "steps": lambda net, call: {**call, "steps": 9},
}


@pytest.mark.parametrize("change", CHANGES)
def test_new_graphs_where_what_they_were_recorded_for_changes(change):
    net, start = toy()
    graphs = StandIn()
    call = {"start": start, "steps": 4, "epsilon": EPSILON, "closed": False, "precision": "float32"}
    run_graphed(net, generator=generator(), graphs=graphs, **call)
    before = graphs.captures
    run_graphed(net, generator=generator(), graphs=graphs, **call)
    assert graphs.captures == before
    call = CHANGES[change](net, call)
    found = run_graphed(net, generator=generator(), graphs=graphs, **call)
    assert graphs.captures > before
    if call.pop("precision") == "float32":
        assert_equal(found, run_reference(net, generator=generator(), **call))


def test_old_graphs_are_let_go():
    net, start = toy()
    for chains in range(1, 7):
        run_graphed(net, start[:chains], 2, EPSILON, generator(), graphs=StandIn())
    assert len(graphed._PLANS[net]) == graphed._MOST_PLANS
    moved(net)
    run_graphed(net, start, 2, EPSILON, generator(), graphs=StandIn())
    assert len(graphed._PLANS[net]) == 1


@pytest.mark.parametrize("graphs", [StandIn, Refusing])
def test_recording_leaves_no_mark(graphs):
    """Parameters are frozen while it records and as before afterwards; counts and generators are as they were."""
    seen = []
    net = Noting(lambda net: seen.append([p.requires_grad for p in net.parameters()]))
    net.net.f[0].bias.requires_grad_(False)
    start, state, ours = torch.randn(6, 2, 1, 1), torch.get_rng_state(), generator()
    flags = [p.requires_grad for p in net.parameters()]
    plan = graphed.Plan(net, start, graphed.Settings(EPSILON, False, "float32"), graphs())
    try:
        plan.prepare(net, start, 5)
    except CaptureError:
        assert graphs is Refusing
    assert len(seen) > 3
    assert not any(any(flags) for flags in seen)
    assert [p.requires_grad for p in net.parameters()] == flags
    assert float(net.calls) == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ours.get_state(), generator().get_state())


def test_a_net_that_cannot_be_recorded_is_said_once_and_runs_all_the_same(capsys):
    net, start = toy()
    graphs, ours, theirs = Refusing(), generator(), generator()
    for _ in range(2):
        found = run_graphed(net, start, 5, EPSILON, ours, graphs=graphs)
        assert_equal(found, run_reference(net, start, 5, EPSILON, theirs))
    assert graphs.captures == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "ebmdiag: ToyNet cannot be recorded in a CUDA graph (it synchronizes); "
        "its steps run one by one, as in the reference engine.\n"
    )
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_an_error_of_the_net_itself_is_not_hidden():
    def fail(net):
        raise ZeroDivisionError("the net's own")

    net = Noting(fail)
    with pytest.raises(ZeroDivisionError):
        run_graphed(net, torch.randn(3, 2, 1, 1), 2, EPSILON, generator(), graphs=StandIn())
    assert all(parameter.requires_grad for parameter in net.parameters())


class FakeCuda:
    """The parts of ``torch.cuda`` that recording uses: they note in which order they are called."""

    def __init__(self, monkeypatch, ending=None):
        self.log, self.mode = [], 0
        self.current, self.side = FakeStream("current", self.log), FakeStream("side", self.log)
        parts = {
            "device": lambda device: nullcontext(),
            "current_stream": lambda device: self.current,
            "Stream": lambda device: self.side,
            "stream": lambda stream: self.noted(f"on {stream.name}"),
            "set_stream": lambda stream: self.log.append(f"set {stream.name}"),
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": self.set_mode,
            "CUDAGraph": lambda: FakeGraph(self.log),
            "graph": lambda graph, pool: self.noted(f"record in {pool}", ending),
        }
        for name, part in parts.items():
            monkeypatch.setattr(torch.cuda, name, part)

    @contextmanager
    def noted(self, name, ending=None):
        self.log.append(name)
        yield
        if ending:
            raise ending
        self.log.append(f"end {name}")

    def set_mode(self, mode):
        warnings.warn("a prototype", stacklevel=2)
        self.mode = mode


class FakeStream:
    """Notes for whom it waits."""

    device = "cuda:0"

    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")


class FakeGraph:
    """Notes what is done to it."""

    def __init__(self, log):
        self.log = log

    def register_generator_state(self, generator):
        self.log.append("register")

    def pool(self):
        return "pool"

    def replay(self):
        self.log.append("replay")


WARMING = ["side waits for current", "on side", *["step"] * 4, "end on side", "current waits for side"]


@pytest.mark.filterwarnings("ignore:a prototype")
def test_recording_follows_pytorchs_order(monkeypatch):
    """Warm up on a side stream, register the generator, then record; the second graph shares the first one's pool."""
    cuda = FakeCuda(monkeypatch)
    log, graphs = cuda.log, graphed.CudaGraphs()
    for pool in (None, "pool"):
        log.clear()
        replay = graphs.capture(lambda: log.append("work"), lambda: log.append("step"), generator())
        replay()
        record = f"record in {pool}"
        assert log == [*WARMING, "register", record, "work", f"end {record}", "replay"]


@pytest.mark.filterwarnings("ignore:a prototype")
def test_a_synchronization_is_found_before_recording(monkeypatch):
    cuda = FakeCuda(monkeypatch)

    def step():
        if cuda.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation\nand more")

    with pytest.raises(CaptureError, match=r"^it synchronizes: called a synchronizing CUDA operation$"):
        graphed.CudaGraphs().capture(step, step, generator())
    assert cuda.mode == 0
    assert cuda.log == [*WARMING[:2], "current waits for side"]


@pytest.mark.filterwarnings("ignore:a prototype")
def test_a_recording_that_breaks_off_gives_the_stream_back(monkeypatch):
    cuda = FakeCuda(monkeypatch, ending=RuntimeError("CUDA error: capture invalidated."))
    monkeypatch.setattr(graphed, "_BROKEN", broken := [])
    with pytest.raises(CaptureError, match=r"^CUDA error: capture invalidated$"):
        graphed.CudaGraphs().capture(lambda: None, lambda: cuda.log.append("step"), generator())
    assert cuda.log == [*WARMING, "register", "record in None", "set current"]
    assert len(broken) == 1


def state_of(places):
    return [getattr(holder, name) for holder, name, _, _ in places]


LEGACY = (
    (torch.backends.cuda.matmul, "allow_tf32", False, True),
    (torch.backends.cudnn, "allow_tf32", False, True),
)


@pytest.mark.parametrize("places", [switches(), LEGACY], ids=["named", "legacy"])
def test_tf32_is_switched_and_put_back(places):
    before = state_of(places)
    with tf32(True, places):
        assert state_of(places) == [place[3] for place in places]
        with tf32(False, places):
            assert state_of(places) == [place[2] for place in places]
        assert state_of(places) == [place[3] for place in places]
    assert state_of(places) == before
    with pytest.raises(ZeroDivisionError), tf32(True, places):
        raise ZeroDivisionError
    assert state_of(places) == before


@pytest.mark.parametrize(("precision", "value"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")])
def test_tf32_is_on_in_the_net_only_when_asked_for(precision, value):
    seen = []
    net = Noting(lambda net: seen.append(state_of(switches())))
    before = state_of(switches())
    run_graphed(net, torch.randn(3, 2, 1, 1), 3, EPSILON, generator(), precision=precision, graphs=StandIn())
    assert seen
    assert all(states == [value] * 2 for states in seen)
    assert state_of(switches()) == before


def test_bfloat16_rounds_in_the_net_and_nowhere_else():
    net, start = toy(200)
    energy, gradient = energy_and_gradient_in("float32")(net, start)
    rounded, slope = energy_and_gradient_in("bfloat16")(net, start)
    assert rounded.dtype == slope.dtype == torch.float32
    difference = float((slope - gradient).norm() / gradient.norm())
    assert 1e-4 < difference < 0.1  # a product of bfloat16 numbers is good to some 2^-8
    assert 0 < float((rounded - energy).abs().max()) < 0.05 * float(energy.abs().max())
    with torch.no_grad():  # and a changed weight is seen: no cast is kept
        net.f[0].weight.mul_(2)
    assert not torch.equal(energy_and_gradient_in("bfloat16")(net, start)[0], rounded)


def test_what_it_refuses():
    net, start = toy()
    with pytest.raises(UnfitError, match="CUDA device, not on cpu"):
        run_graphed(net, start, 3, EPSILON, generator())
    with pytest.raises(RecipeError, match="did you mean 'tf32'"):
        run_graphed(net, start, 3, EPSILON, generator(), precision="tf23", graphs=StandIn())
    with pytest.raises(ValueError, match="at least 1 step"):
        run_graphed(net, start, 0, EPSILON, generator(), graphs=StandIn())
    with pytest.raises(ValueError, match="needs noise"):
        run_graphed(net, start, 3, 0.0, generator(), closed=True, graphs=StandIn())
