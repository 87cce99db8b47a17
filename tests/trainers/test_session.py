"""Runs as a user starts them: exact resume, kills, interrupts, divergence, refusals."""

import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from helpers import TINY

from ebmdiag import read_trace
from ebmdiag.cli.main import call
from ebmdiag_trainers.checkpoints import checkpoint_paths, load_checkpoint

STARTS = {
    "persistent": (),
    "noise": ("langevin.start=uniform", "langevin.bank=0"),
    "probed": ("probe.every=7", "probe.chains=6", "probe.copies=2", "langevin.bank_start=gaussian"),
    "adam": ("optimizer.name=adam", "optimizer.learning_rate=1e-4"),
    "data": ("langevin.start=data", "langevin.bank=0", "data.noise=0.1", "optimizer.decay=0.9"),
}


def arguments(steps, out="a.parquet", settings=(), *extra):
    chosen = [f"--set={setting}" for setting in (*TINY, *settings)]
    return ["train", "rings", f"--steps={steps}", f"--out={out}", "--quiet", *chosen, *extra]


def columns(path):
    """All of a trace but the clock."""
    frame = read_trace(path).to_pandas().drop(columns="elapsed_s")
    assert frame["step"].tolist() == list(range(1, len(frame) + 1))
    return frame


def last_state(out):
    return load_checkpoint(checkpoint_paths(Path(out).with_suffix("") / "checkpoints")[-1]).values


def assert_same(first, second):
    """Equal to the last bit, through nested containers."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


def assert_same_run(first, second):
    assert columns(first).equals(columns(second))
    one, other = last_state(first), last_state(second)
    assert one.pop("recipe") != ""
    other.pop("recipe")
    assert_same(one, other)


def start(steps, out, settings=(), *extra):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "ebmdiag", *arguments(steps, out, settings, *extra)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(out, rows, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        if list(Path(out).with_suffix("").glob("trace/part-*")) and len(read_trace(out)) >= rows:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {rows} rows within a minute")


@pytest.fixture(autouse=True)
def one_thread():
    """As in the subprocesses: sums over several threads may round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("start_kind", STARTS)
def test_sixty_equal_thirty_and_thirty(workplace, start_kind):
    settings = STARTS[start_kind]
    assert call(arguments(60, "whole.parquet", settings)) == 0
    assert call(arguments(30, "halves.parquet", settings)) == 0
    assert call(arguments(60, "halves.parquet", settings, "--resume")) == 0
    assert_same_run("whole.parquet", "halves.parquet")


def test_another_seed_is_another_run(workplace):
    """Negative control of the comparison above."""
    assert call(arguments(5, "a.parquet")) == 0
    assert call(arguments(5, "b.parquet", ("training.seed=1",))) == 0
    with pytest.raises(AssertionError):
        assert_same_run("a.parquet", "b.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("start_kind", ["persistent", "noise"])
def test_kill_and_resume_is_exact(workplace, start_kind):
    """Killed by SIGKILL around iteration 30, with and without a checkpoint to go on from."""
    settings = ("langevin.steps=40", *STARTS[start_kind])
    assert call(arguments(60, "whole.parquet", settings)) == 0
    for name, every in (("with", 10), ("without", 0)):
        chosen = (*settings, f"trace.checkpoint_every={every}")
        process = start(60, f"{name}.parquet", chosen)
        wait_for_rows(f"{name}.parquet", 27, process)
        process.kill()
        process.communicate()
        killed = read_trace(f"{name}.parquet")
        assert killed.metadata.state == "interrupted"
        assert len(killed) < 60
        assert call(arguments(60, f"{name}.parquet", chosen, "--resume")) == 0
        assert_same_run("whole.parquet", f"{name}.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_resumes_exactly(workplace, number):
    settings = ("langevin.steps=40",)
    process = start(10_000, "a.parquet", settings)
    moments = random.Random(number)
    wait_for_rows("a.parquet", 3, process)
    time.sleep(moments.uniform(0, 0.2))
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said == "ebmdiag: interrupted; a.parquet is saved. Add --resume to go on.\n"
    done = len(read_trace("a.parquet"))
    assert read_trace("a.parquet").metadata.state == "interrupted"
    assert last_state("a.parquet")["step"] == done
    assert call(arguments(done + 10, "a.parquet", settings, "--resume")) == 0
    assert call(arguments(done + 10, "whole.parquet", settings)) == 0
    assert_same_run("whole.parquet", "a.parquet")


def test_divergence_stops_and_keeps_the_history(workplace, capsys):
    assert call(arguments(500, "a.parquet", ("optimizer.learning_rate=1e6",))) == 1
    said = capsys.readouterr().err
    assert "Learning diverged: try a smaller optimizer.learning_rate" in said
    assert "ebmdiag report a.parquet" in said
    trace = read_trace("a.parquet")
    assert trace.metadata.state == "diverged"
    assert 1 <= len(trace) < 500
    assert np.isfinite(trace.series("d_s_t")).all()
    assert last_state("a.parquet")["step"] == len(trace)


def test_existing_runs_are_refused(workplace, capsys):
    assert call(arguments(3)) == 0
    before = Path("a.parquet").read_bytes()
    assert call(arguments(3)) == 2
    assert "a.parquet exists already" in capsys.readouterr().err
    assert Path("a.parquet").read_bytes() == before
    Path("a/own.txt").write_text("mine")
    assert call(arguments(2, "a.parquet", (), "--force")) == 0
    assert len(read_trace("a.parquet")) == 2
    assert Path("a/own.txt").read_text() == "mine"
    assert call(arguments(2, "a.parquet", (), "--force", "--resume")) == 2


def test_resume_refuses_another_recipe(workplace, capsys):
    assert call(arguments(3)) == 0
    assert call(arguments(6, "a.parquet", ("langevin.epsilon=0.2",), "--resume")) == 2
    assert "langevin.epsilon is 0.2, but the run was begun with 0.125" in capsys.readouterr().err
    assert call(arguments(3, "nowhere.parquet", (), "--resume")) == 2
    assert "there is no run at nowhere.parquet" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle", "other"])
def test_a_damaged_checkpoint_is_named(workplace, capsys, damage):
    assert call(arguments(3)) == 0
    path = checkpoint_paths(Path("a/checkpoints"))[-1]
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "pickle":
        torch.save({"run": os.system}, path)
    else:
        torch.save({"net": {}}, path)
    assert call(arguments(6, "a.parquet", (), "--resume")) == 3
    said = capsys.readouterr().err
    assert str(path) in said
    assert "Traceback" not in said


def test_bad_usage(workplace, capsys):
    for bad, message in [
        (["train", "ringz"], "unknown recipe 'ringz'; did you mean 'rings'"),
        (["train", "rings", "--set", "langevin.stepz=3"], "unknown key 'stepz'"),
        (["train", "rings", "--steps", "0"], "--steps"),
        (["train", "rings", "--data", "x"], "rings"),
        (["train", "rings", "--out", "x.csv"], "a trace is a .parquet file"),
        (["train", "rings", "--set", "net.factory=nowhere"], "unknown net 'nowhere'"),
        (["train", "rings", "--set", "net.factory=VanillaNet"], "cannot take states of shape"),
        (["train", "rings", "--set", "net.depth=3"], "does not take these arguments"),
        (["train", "rings", "--set", "langevin.bank=0"], "bank must be given"),
    ]:
        assert call(bad) == 2, bad
        assert message in capsys.readouterr().err
    assert call(["train", "rings", "--set", "net.factory=nowhere:net"]) == 3
    assert "cannot be imported" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_net_of_the_users_own(workplace):
    Path("my_nets.py").write_text(
        "import torch\n"
        "class Quadratic(torch.nn.Module):\n"
        "    def __init__(self, power=2):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.ones(2))\n"
        "        self.power = power\n"
        "    def forward(self, x):\n"
        "        return (self.scale * x.flatten(1) ** self.power).sum(1) * 0.01\n"
    )
    assert call(arguments(4, "a.parquet", ("net.factory=my_nets:Quadratic", "net.power=4"))) == 0
    assert len(read_trace("a.parquet")) == 4


@pytest.mark.parametrize("key", ["net.factory", "trace.statistics", "probe.statistics"])
def test_resume_runs_no_code_that_only_the_run_s_folder_names(workplace, capsys, key):
    """A run may be a stranger's: what its recipe.toml names is not even imported unless the user names it too."""
    assert call(arguments(3, "a.parquet", ("probe.every=2",))) == 0
    module = f"strange_{key.replace('.', '_')}"  # each is imported once in a process
    Path(f"{module}.py").write_text("from pathlib import Path\nPath('touched').touch()\n")
    recipe = Path("a/recipe.toml")
    table, name = key.split(".")
    tables = tomllib.loads(recipe.read_text())
    tables[table][name] = f"{module}:code" if table == "net" else [f"{module}:code"]
    recipe.write_text(tomli_w.dumps(tables))
    assert call(arguments(6, "a.parquet", ("probe.every=2",), "--resume")) == 2
    said = capsys.readouterr().err
    assert f"add --set {key}={module}:code" in said
    assert said.count("\n") == 1
    assert not Path("touched").exists()
    assert call(arguments(6, "a.parquet", ("probe.every=2", f"{key}={module}:code"), "--resume")) != 0
    assert Path("touched").exists()  # named, it is looked for, and lacks what it should have


def test_dry_run_prints_a_recipe_and_writes_nothing(workplace, capsys):
    assert call(["train", "rings", "--dry-run", "--steps=7"]) == 0
    Path("again.toml").write_text(capsys.readouterr().out)
    assert "iterations = 7" in Path("again.toml").read_text()
    assert call(["train", "again.toml", "--dry-run"]) == 0
    assert not Path("runs").exists()


def test_what_a_run_leaves_behind(workplace):
    assert call(arguments(6, "a.parquet", ("trace.samples_every=2",))) == 0
    found = sorted(path.relative_to("a").as_posix() for path in Path("a").rglob("*") if path.is_file())
    assert found == [
        "checkpoints/step_0000000006.pt",
        "environment.json",
        "landscape/step_0000000002.npz",
        "landscape/step_0000000004.npz",
        "landscape/step_0000000006.npz",
        "lock",
        "recipe.toml",
    ]
    with np.load("a/landscape/step_0000000006.npz", allow_pickle=False) as landscape:
        size = len(landscape["grid"])
        assert landscape["energy"].shape == landscape["log_true"].shape == (size, size)
        mass = np.exp(landscape["log_true"]).sum() * (landscape["grid"][1] - landscape["grid"][0]) ** 2
        assert mass == pytest.approx(1, abs=0.01)
    metadata = read_trace("a.parquet").metadata
    assert metadata.recipe["langevin"]["steps"] == 5
    assert metadata.seed == 0
    assert set(metadata.versions) == {"python", "ebmdiag", "torch", "numpy", "pyarrow", "numba"}


def test_only_the_newest_and_the_wanted_checkpoints_are_kept(workplace):
    settings = ("trace.checkpoint_seconds=1e-9", "trace.checkpoint_every=4")
    assert call(arguments(10, "a.parquet", settings)) == 0
    kept = [int(path.stem.removeprefix("step_")) for path in checkpoint_paths(Path("a/checkpoints"))]
    assert kept == [4, 8, 9, 10]


def test_a_checkpoint_never_runs_ahead_of_the_trace(workplace, monkeypatch, capsys):
    """Whatever the writer holds back is on disk before a checkpoint: a kill in between leaves no gap."""
    import ebmdiag_trainers.observers as observers

    seen = []

    def look(path, state, recipe):
        seen.append((state.step, len(read_trace("a.parquet"))))
        real(path, state, recipe)

    real = observers.save_checkpoint
    monkeypatch.setattr(observers, "save_checkpoint", look)
    assert call(arguments(7, "a.parquet", ("trace.flush_rows=1000", "trace.checkpoint_every=2"))) == 0
    assert seen == [(2, 2), (4, 4), (6, 6), (7, 7)]
    Path("a.parquet").unlink()
    assert call(arguments(9, "a.parquet", ("trace.checkpoint_every=2",), "--resume")) == 3
    assert "is of iteration 7, but the trace ends at 0" in capsys.readouterr().err


def test_resume_without_a_checkpoint_still_refuses_another_recipe(workplace, capsys):
    assert call(arguments(5)) == 0
    for path in checkpoint_paths(Path("a/checkpoints")):
        path.unlink()
    before = Path("a.parquet").read_bytes()
    assert call(arguments(9, "a.parquet", ("langevin.epsilon=0.5",), "--resume")) == 2
    assert "but the run was begun with 0.125" in capsys.readouterr().err
    assert Path("a.parquet").read_bytes() == before
    assert call(arguments(9, "a.parquet", (), "--resume")) == 0
    assert call(arguments(9, "whole.parquet")) == 0
    assert_same_run("whole.parquet", "a.parquet")


def test_resume_remembers_the_recipe(workplace):
    assert call(arguments(4)) == 0
    assert call(["train", "rings", "--out=a.parquet", "--resume", "--steps=8", "--quiet"]) == 0
    assert read_trace("a.parquet").metadata.recipe["langevin"]["steps"] == 5
    assert len(read_trace("a.parquet")) == 8


def test_resume_refuses_other_data(workplace, capsys):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        np.savez(f"{name}.npz", rng.integers(0, 255, (12, 32, 32, 3), dtype=np.uint8))
    tiny = ["--set=training.batch=2", "--set=langevin.steps=2", "--set=data.source=images", "--quiet", "-oi.parquet"]
    assert call(["train", "flowers", "--data=one.npz", "--steps=2", *tiny]) == 0
    assert call(["train", "flowers", "--data=two.npz", "--steps=3", *tiny, "--resume"]) == 2
    assert "the data are not those" in capsys.readouterr().err
    assert call(["train", "flowers", "--data=one.npz", "--steps=3", *tiny, "--resume"]) == 0


def test_an_interrupt_while_sampling_puts_the_generators_back(workplace):
    """Deterministic twin of the signal test: the interrupt comes at the end of the chains of iteration 3."""
    from contextlib import contextmanager

    from ebmdiag_trainers.data import Gaussian
    from ebmdiag_trainers.recipe import load_recipe
    from ebmdiag_trainers.training import Algorithm, run

    settings = ["training.batch=4", "langevin.steps=3", "net.coordinates=2", "training.iterations=6"]
    algorithm = Algorithm.of(load_recipe("gaussian", settings), Gaussian((1.0, 2.0)), torch.device("cpu"))
    whole = [info.row for _, info in run(algorithm, algorithm.initial_state())]
    state, rows, calls = algorithm.initial_state(), [], []

    @contextmanager
    def breaking():
        yield
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows.extend(info.row for _, info in run(algorithm, state, breaking))
    rows = whole[:2] + [info.row for _, info in run(algorithm, state)]
    assert rows == whole


def test_a_pickle_in_a_checkpoint_is_not_run(workplace):
    """A complete checkpoint whose recipe is an object that would write a file when unpickled."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (Path("evil").resolve(),))

    assert call(arguments(3)) == 0
    path = checkpoint_paths(Path("a/checkpoints"))[-1]
    torch.save({**torch.load(path, weights_only=True), "recipe": Evil()}, path)
    assert call(arguments(6, "a.parquet", (), "--resume")) == 3
    assert not Path("evil").exists()


def test_settings_reach_the_loop(workplace, capsys):
    """Noise of the data, scale of the start, betas of Adam and the limit of divergence all change the numbers."""

    def differences(*settings):
        assert call(arguments(4, "x.parquet", settings, "--force")) == 0
        return read_trace("x.parquet").series("d_s_t").tolist()

    noise = ("langevin.start=gaussian", "langevin.bank=0")
    adam = (*noise, "optimizer.name=adam", "optimizer.learning_rate=0.01")
    assert differences(*noise) != differences(*noise, "data.noise=0.5")
    assert differences(*noise) != differences(*noise, "langevin.scale=3")
    assert differences(*adam) != differences(*adam, "optimizer.beta1=0")
    assert differences(*adam) != differences(*adam, "optimizer.beta2=0.5")
    assert call(arguments(4, "x.parquet", ("training.divergence_limit=1e-6",), "--force")) == 1
    assert "beyond training.divergence_limit" in capsys.readouterr().err


def test_two_runs_at_once(workplace, capsys, monkeypatch):
    process = start(10_000, "a.parquet")
    try:
        wait_for_rows("a.parquet", 3, process)
        assert call(arguments(3)) == 2
        assert "another process is writing a.parquet" in capsys.readouterr().err
        assert call(["acf", "a.parquet", "--json"]) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_learning_rate_decays_to_its_floor(workplace):
    settings = ("optimizer.decay=0.5", "optimizer.floor=0.02")
    assert call(arguments(5, "a.parquet", settings)) == 0
    rates = read_trace("a.parquet").series("learning_rate") / (0.125**2 / 2)
    assert rates == pytest.approx([0.1, 0.05, 0.025, 0.02, 0.02])
