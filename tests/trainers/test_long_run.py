"""Long chains beside a training: they leave it untouched, and are finished whatever interrupts them."""

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY
from signals import sent_when, started, wait_until

from ebmdiag import read_trace
from ebmdiag.chains import ChainFiles, chain_files, read_chains
from ebmdiag.cli.main import call
from ebmdiag_trainers.checkpoints import checkpoint_paths, load_checkpoint
from ebmdiag_trainers.long_run import Kind, kinds_of
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.sampling import recording, running

LONG = (
    "long_run.every=4",
    "long_run.steps=40",
    "long_run.chains=6",
    "long_run.draws=10",
    "long_run.probe_every=2",
    "long_run.probe_steps=6",
    "long_run.probe_chains=4",
)
NETS = """
import torch
class Unruly(torch.nn.Module):
    '''BatchNorm's buffers and dropout's random numbers are changed by every call.'''
    def __init__(self):
        super().__init__()
        self.norm, self.last = torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1)
        self.dropout = torch.nn.Dropout(0.2)
    def forward(self, x):
        return self.last(self.dropout(torch.tanh(self.norm(x.flatten(1))))).flatten() * 0.1
class Walled(torch.nn.Module):
    '''Flat, and no number beyond radius 6, where data and short chains never come.'''
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1e-6))
    def forward(self, x):
        radius = x.flatten(1).norm(dim=1)
        return torch.where(radius > 6, torch.nan, self.scale * radius)
"""


@pytest.fixture(autouse=True)
def one_thread():
    """As in the subprocesses."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arguments(steps, out, settings=(), *extra):
    chosen = [f"--set={setting}" for setting in (*TINY, *settings)]
    return ["train", "rings", f"--steps={steps}", f"--out={out}.parquet", "--quiet", *chosen, *extra]


def learned(out):
    """The trace without its clock, and all tensors of the last state."""
    frame = read_trace(f"{out}.parquet").to_pandas().drop(columns="elapsed_s")
    values = load_checkpoint(checkpoint_paths(Path(out) / "checkpoints")[-1]).values
    return frame, {**values["net"], **values["bank"], **{f"g{i}": g for i, g in enumerate(values["generators"])}}


def assert_same_learning(first, second):
    (one, tensors), (other, others) = learned(first), learned(second)
    assert one.equals(other)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def tables(out):
    return {files.name: files.table.read_bytes() for files in chain_files(Path(out) / "chains")}


@pytest.mark.parametrize("net", ["ToyNet", "long_run_nets:Unruly"])
def test_the_training_learns_the_same_bits(workplace, net):
    Path("long_run_nets.py").write_text(NETS)
    chosen = (f"net.factory={net}",)
    assert call(arguments(9, "without", chosen)) == 0
    assert call(arguments(9, "with", (*chosen, *LONG))) == 0
    assert_same_learning("with", "without")
    assert list(tables("with")) == [
        "step_0000000002-probe",
        "step_0000000004-long",
        "step_0000000004-probe",
        "step_0000000006-probe",
        "step_0000000008-long",
        "step_0000000008-probe",
    ]
    assert not Path("without/chains").exists()
    assert call(arguments(9, "other", (*chosen, "training.seed=1"))) == 0
    with pytest.raises(AssertionError):
        assert_same_learning("other", "without")


def test_what_is_in_a_table(workplace):
    assert call(arguments(4, "a", LONG)) == 0
    long, probe = (read_chains(f"a/chains/step_0000000004-{kind}.parquet") for kind in ("long", "probe"))
    assert long.phases["long"].draws.tolist() == list(range(0, 41, 4))
    assert probe.phases["long"].draws.tolist() == list(range(7))
    assert long.phases["long"].starts.tolist() == [0, 0, 1, 1, 2, 2]
    assert long.phases.keys() == {"data", "short", "long"}
    assert (long.metadata.short_steps, long.metadata.short_start) == (5, "persistent")
    assert (long.metadata.training_step, long.metadata.epsilon) == (4, 0.125)
    assert long.metadata.sampler["name"] == "langevin"
    assert long.metadata.sampler["step_size"] == 0.125
    assert long.metadata.weights == probe.metadata.weights
    assert long.metadata.seed != probe.metadata.seed
    assert read_chains("a/chains/step_0000000002-probe.parquet").metadata.weights != probe.metadata.weights
    bank = load_checkpoint(checkpoint_paths(Path("a/checkpoints"))[-1]).values["bank"]["chains"]
    starts = long.phases["short"].values["projection_0"][:, 0]
    assert set(starts.astype(np.float32)) <= set(bank.flatten(1)[:, 0].numpy())


def test_the_sampler_of_the_training_is_that_of_its_long_runs(workplace):
    chosen = (*LONG, "langevin.sampler=hmc", "langevin.leapfrog=2", "langevin.step_size=0.2", "long_run.init=bank")
    assert call(arguments(4, "a", chosen)) == 0
    metadata = read_chains("a/chains/step_0000000004-long.parquet").metadata
    assert (metadata.sampler["name"], metadata.sampler["leapfrog"]) == ("hmc", 2)
    assert metadata.sampler["step_size"] == 0.2
    assert (metadata.init, metadata.warmup, metadata.gradients) == ("bank", 0, 81)


@pytest.fixture(scope="module")
def quick_whole(tmp_path_factory):
    """Nine iterations with ``LONG``, never broken off."""
    out = tmp_path_factory.mktemp("quick") / "whole"
    assert call(arguments(9, out, LONG)) == 0
    return out


@pytest.mark.parametrize("moment", [3, 12, 17])
def test_broken_off_it_is_finished_before_the_training_goes_on(workplace, monkeypatch, quick_whole, moment):
    """Ctrl-C in the probe of iteration 2, in the long run of iteration 4, and just before its end."""
    real, calls = running.advance, []

    def breaking(plan, cursor):
        calls.append(cursor.stage)
        if len(calls) == 2 * moment:
            raise KeyboardInterrupt
        return real(plan, cursor)

    monkeypatch.setattr(running, "advance", breaking)
    assert call(arguments(9, "a", LONG)) == 130
    monkeypatch.setattr(running, "advance", real)
    done = len(read_trace("a.parquet"))
    assert done in (2, 4)
    assert sum(not files.table.exists() for files in chain_files(Path("a/chains"))) <= 1
    assert call(arguments(9, "a", LONG, "--resume")) == 0
    assert_same_learning(quick_whole, "a")
    assert tables(quick_whole) == tables("a")


def test_tables_that_are_done_are_left_alone(workplace, capsys):
    assert call(arguments(4, "a", LONG)) == 0
    before = {path: path.stat().st_mtime_ns for path in Path("a/chains").glob("*.parquet")}
    assert call(arguments(5, "a", LONG, "--resume")) == 0
    assert before == {path: path.stat().st_mtime_ns for path in Path("a/chains").glob("*.parquet")}
    state = ChainFiles.of("a/chains/step_0000000006-probe.parquet").state
    state.parent.mkdir(parents=True)
    state.write_bytes(Path("a/chains/step_0000000004-probe/state.pt").read_bytes())
    told = [argument for argument in arguments(6, "a", LONG, "--resume") if argument != "--quiet"]
    assert call(told) == 0
    assert "step_0000000006-probe.parquet is made anew: --resume: the net is not the one" in capsys.readouterr().err
    assert read_chains("a/chains/step_0000000006-probe.parquet").metadata.state == "finished"


def test_chains_that_blow_up_do_not_stop_the_training(workplace, capsys):
    Path("long_run_nets.py").write_text(NETS)
    still = ("net.factory=long_run_nets:Walled", "optimizer.learning_rate=1e-12")
    chosen = (*still, "long_run.every=2", "long_run.steps=4000", "long_run.chains=20")
    told = [argument for argument in arguments(3, "a", chosen) if argument != "--quiet"]
    assert call(told) == 0
    said = capsys.readouterr().err
    assert "chains blew up by step" in said
    assert "The training goes on" in said
    assert len(read_trace("a.parquet")) == 3
    chains = read_chains("a/chains/step_0000000002-long.parquet")
    assert chains.metadata.state == "diverged"
    assert len(chains.phases["long"].draws) > 1
    assert np.isfinite(chains.phases["long"].values["energy"]).all()


def test_a_long_run_that_cannot_be_is_refused_at_once(workplace, capsys):
    for settings, said in [
        (("long_run.copies=5",), "a multiple of the copies that share each start, but is 4 with 5 copies"),
        (("langevin.start=uniform", "langevin.bank=0", "long_run.init=bank"), "holds no bank"),
        (("long_run.chains=102", "long_run.copies=1", "long_run.init=bank"), "the bank holds 50 chains"),
    ]:
        assert call(arguments(9, "a", (*LONG, *settings))) == 2
        message = capsys.readouterr().err
        assert said in message
        assert "[long_run]" in message
    assert not Path("a.parquet").exists()
    assert not Path("a").exists()
    assert call(arguments(3, "a", ("long_run.every=4", "long_run.copies=3"))) == 0  # it never comes to it


def test_when_they_are_due():
    kind = Kind("long", 10, 5, 5)
    assert [step for step in range(31) if kind.is_due(step)] == [10, 20, 30]
    assert kinds_of(load_recipe("rings").long_run) == ()
    assert [kind.name for kind in kinds_of(load_recipe("rings", LONG).long_run)] == ["probe", "long"]


SLOW = ("long_run.every=4", "long_run.steps=2000", "long_run.chains=10", "langevin.engine=reference")
PARTS, TABLE = Path("a/chains/step_0000000004-long/parts"), Path("a/chains/step_0000000004-long.parquet")


@pytest.fixture(scope="module")
def slow_whole(tmp_path_factory):
    """Six iterations with ``SLOW``, never broken off."""
    out = tmp_path_factory.mktemp("slow") / "whole"
    assert call(arguments(6, out, SLOW)) == 0
    return out


def interrupted_by_hand():
    with sent_when(lambda: any(PARTS.glob("part-*")), signal.SIGINT):
        return call(arguments(6, "a", SLOW))


def killed():
    process = started(arguments(6, "a", SLOW), 0.02)
    wait_until(lambda: any(PARTS.glob("part-*")), process)
    time.sleep(random.Random(9).uniform(0, 0.3))
    process.kill()
    process.communicate()
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code"), [(interrupted_by_hand, 130), (killed, -9)])
def test_signals_in_a_long_run(workplace, monkeypatch, slow_whole, end, code):
    monkeypatch.setattr(recording, "SAVE_SECONDS", 0.02)
    assert end() == code
    assert not TABLE.exists()
    assert len(read_trace("a.parquet")) == 4  # saved before the chains began
    assert call(arguments(6, "a", SLOW, "--resume")) == 0
    assert_same_learning(slow_whole, "a")
    assert tables(slow_whole) == tables("a")
