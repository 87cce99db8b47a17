"""``ebmdiag sample`` as a user calls it: known laws through the whole command, kills, interrupts, refusals."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY, assert_within_errors
from signals import sent_when, started, wait_until

from ebmdiag.chains import chain_files, read_chains, read_samples
from ebmdiag.cli.main import call
from ebmdiag.rows import temperature
from ebmdiag.runfolder import RunFolder

GOLDEN = Path(__file__).parent.parent / "golden" / "toy.npz"
PRECISION, EPSILON = 4.0, 0.5
LAW = ["sample", "law.pth", "--recipe=gaussian", "--quiet"]


@pytest.fixture(autouse=True)
def one_thread():
    """As in the subprocesses."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save_law(path):
    torch.save({"coefficients": torch.full((20,), PRECISION * temperature(EPSILON))}, path)


@pytest.fixture
def law(workplace):
    """Weights of a Gaussian of precision 4 in 20 coordinates, under the recipe of that name."""
    save_law("law.pth")
    return workplace


@pytest.fixture
def rings(workplace):
    """The reference's ToyNet as it is published: weights and nothing else."""
    with np.load(GOLDEN) as golden:
        weights = {name.removeprefix("weights/"): golden[name] for name in golden if name.startswith("weights/")}
    torch.save({name: torch.from_numpy(array) for name, array in weights.items()}, "rings.pth")
    return workplace


def trained(steps=4, *extra):
    settings = [f"--set={setting}" for setting in TINY]
    assert call(["train", "rings", f"--steps={steps}", "--out=runs/a.parquet", "--quiet", *settings, *extra]) == 0


BIASED, EXACT = 1 / (PRECISION * (1 - EPSILON**2 * PRECISION / 4)), 1 / PRECISION


@pytest.mark.parametrize(
    ("options", "variance"),
    [
        ([], BIASED),
        (["--temperature=2"], 2 * BIASED),
        (["--sampler=mala"], EXACT),
        (["--sampler=mala", "--temperature=2"], 2 * EXACT),
        (["--sampler=hmc", "--leapfrog=3", "--dtype=float64", "--steps=60"], EXACT),
        (["--sampler=underdamped-unadjusted", "--steps=60"], EXACT),
        (["--sampler=mala", "--temperatures=1,2", "--temperature=0.5"], EXACT / 2),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_the_law_of_the_chains(law, options, variance):
    """4,000 independent values at the end; Langevin steps have their own exact law, a third wider."""
    chosen = ["--steps=150", "--chains=200", "--copies=1", "--warmup=100"]
    if not any("mala" in option or "hmc" in option for option in options):
        chosen.remove("--warmup=100")
    assert call([*LAW, *chosen, *options, "--no-short", "--out=a.parquet"]) == 0
    samples = read_samples(Path("a.npz"))
    values = samples.long.astype(np.float64).ravel()
    assert len(values) == 4000
    assert_within_errors(values**2, variance)
    assert_within_errors(values, 0.0)
    with pytest.raises(AssertionError):
        assert_within_errors(values**2, variance * 1.25)
    energy = read_chains("a.parquet").phases["long"].values["energy"][:, -1]
    assert_within_errors(energy, 20 * variance * PRECISION / 2)


def test_published_weights(rings, capsys):
    """Energies of the golden file come out of the command, and its table is found under the weights' name."""
    assert call(["sample", "rings.pth", "--recipe=rings", "--steps=40", "--chains=16", "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["table"] == "rings/chains/step_0000000000-langevin-data.parquet"
    assert told["phases"].keys() == {"data", "long"}
    assert told["sampler"]["engine"] == "fused, float32"
    assert told["held_out"] is True
    assert "short run is left out: it begins in the bank" in captured.err
    assert "Next: ebmdiag convergence rings --table step_0000000000-langevin-data" in captured.err
    assert [files.name for files in chain_files(RunFolder.of("rings").chains)] == ["step_0000000000-langevin-data"]
    chains = read_chains(told["table"])
    assert chains.phases["long"].draws.tolist() == list(range(41))
    last = chains.phases["long"].values["energy"][:, -1]
    assert told["phases"]["long"]["energy"] == pytest.approx(last.mean())
    with np.load(GOLDEN) as golden:
        from ebmdiag_trainers.nets import ToyNet

        net = ToyNet()
        net.load_state_dict(torch.load("rings.pth", weights_only=True))
        assert net(torch.from_numpy(golden["x0"])).detach().numpy() == pytest.approx(golden["energy_x0"], rel=1e-4)
        x = torch.from_numpy(read_samples(Path(told["samples"])).long)
        expected = net(x).detach().double().numpy() / temperature(float(golden["epsilon"]))
    assert last == pytest.approx(expected, rel=1e-4)


def test_the_newest_checkpoint_of_a_run(workplace, capsys):
    trained(4, "--set=trace.checkpoint_every=2")
    few = ["--steps=20", "--chains=8", "--quiet"]
    for run in ("runs/a.parquet", "runs/a"):
        assert call(["sample", run, *few, "--force"]) == 0
    assert call(["sample", "runs/a", *few, "--step=2", "--init=bank"]) == 0
    assert call(["sample", "runs/a/checkpoints/step_0000000004.pt", *few, "--init=noise", "--temperature=2"]) == 0
    names = [files.name for files in chain_files(Path("runs/a/chains"))]
    assert names == [
        "step_0000000002-langevin-bank",
        "step_0000000004-langevin-data",
        "step_0000000004-langevin-noise-tau2",
    ]
    chains = read_chains("runs/a/chains/step_0000000002-langevin-bank.parquet")
    assert (chains.metadata.training_step, chains.metadata.init) == (2, "bank")
    assert chains.phases.keys() == {"data", "short", "long"}
    assert (chains.metadata.short_steps, chains.metadata.short_start) == (5, "persistent")
    assert chains.phases["short"].draws.tolist() == [0, 1, 2, 3, 4, 5]
    capsys.readouterr()
    assert call(["sample", "runs/a", *few, "--step=3"]) == 2
    assert "no checkpoint of iteration 3. Known: 2, 4." in capsys.readouterr().err


def test_a_checkpoint_alone_brings_its_recipe(workplace):
    trained()
    Path("runs/a/checkpoints/step_0000000004.pt").rename("lonely.pt")
    assert call(["sample", "lonely.pt", "--steps=20", "--chains=8", "--set=langevin.steps=3", "--quiet"]) == 0
    chains = read_chains("lonely/chains/step_0000000004-langevin-data.parquet")
    assert chains.metadata.short_steps == 3
    assert chains.metadata.epsilon == 0.125


def test_steps_are_rounded_to_a_multiple_of_thin(law, capsys):
    assert call([*LAW[:-1], "--steps=25", "--thin=10", "--chains=4", "--out=a.parquet"]) == 0
    assert "25 steps are rounded up to 30, a multiple of thin = 10" in capsys.readouterr().err
    assert read_chains("a.parquet").phases["long"].draws.tolist() == [0, 10, 20, 30]


def test_resume_remembers_what_was_asked_for(law):
    begun = ["--sampler=hmc", "--leapfrog=2", "--chains=6", "--copies=3", "--thin=2", "--no-short", "--seed=5"]
    assert call([*LAW, *begun, "--steps=10", "--warmup=3", "--out=a.parquet"]) == 0
    assert call([*LAW, "--resume", "--steps=20", "--out=a.parquet"]) == 0
    assert call([*LAW, *begun, "--steps=20", "--warmup=3", "--out=b.parquet"]) == 0
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()
    assert call([*LAW, "--resume", "--out=a.parquet", "--copies=2"]) == 2


def test_bad_usage(law, rings, capsys):
    Path("text.pth").write_text("no weights")
    torch.save({"run": os.system}, "pickle.pth")
    trained()
    sizes = ["--steps=4", "--chains=4", "--quiet"]
    Path("empty").mkdir()
    for code, arguments, message in [
        (2, ["rings.pth"], "rings.pth holds weights only; name the recipe"),
        (2, ["runs/a", "--recipe=rings"], "holds its own recipe"),
        (2, ["rings.pth", "--recipe=ringz"], "unknown recipe 'ringz'; did you mean 'rings'"),
        (3, ["rings.pth", "--recipe=gaussian"], "rings.pth does not fit GaussianEnergy"),
        (3, ["nowhere.pth", "--recipe=rings"], "nowhere.pth: No such file"),
        (3, ["text.pth", "--recipe=rings"], "text.pth cannot be read: damaged"),
        (3, ["pickle.pth", "--recipe=rings"], "pickle.pth cannot be read"),
        (
            2,
            ["nowhere"],
            "nowhere: no such run (no folder nowhere, no trace nowhere.parquet); name a run of 'ebmdiag train'",
        ),
        (
            2,
            ["empty"],
            "empty is no run with a net to sample: empty/checkpoints holds no checkpoints (step_*.pt); name a",
        ),
        (2, ["runs"], "the folder holds runs, so name one of them, such as runs/a.parquet"),
        (2, ["law.pth", "--recipe=gaussian", "--step=3"], "--step chooses among the checkpoints of a run"),
        (2, ["law.pth", "--recipe=gaussian", "--init=bank"], "holds no bank of persistent chains"),
        (2, ["law.pth", "--recipe=gaussian", "--sampler=malla"], "unknown sampler 'malla'; did you mean 'mala'"),
        (2, ["law.pth", "--recipe=gaussian", "--leapfrog=3"], "--leapfrog belongs to another sampler than 'langevin'"),
        (2, ["law.pth", "--recipe=gaussian", "--warmup=3"], "'langevin' refuses no steps"),
        (2, ["law.pth", "--recipe=gaussian", "--chains=5"], "a multiple of the copies"),
        (2, ["law.pth", "--recipe=gaussian", "--temperature=0"], "temperature must be above 0"),
        (2, ["law.pth", "--recipe=gaussian", "--temperature=nan"], "--temperature must be finite"),
        (2, ["law.pth", "--recipe=gaussian", "--step-size=-1"], "step_size must be at least 0"),
        (2, ["law.pth", "--recipe=gaussian", "--temperatures=1,x"], "is no list of numbers"),
        (2, ["law.pth", "--recipe=gaussian", "--temperatures=2,1"], "temperatures must begin with 1, rise"),
        (2, ["law.pth", "--recipe=gaussian", "--resume"], "there is no saved place in"),
        (2, ["law.pth", "--recipe=gaussian", "--resume", "--force"], "give one of them"),
        (2, ["law.pth", "--recipe=gaussian", "--no-data"], "cannot begin at data where no data are loaded"),
        (2, ["law.pth", "--recipe=gaussian", "--set=data.held_out=3"], "is a density"),
        (2, ["law.pth", "--recipe=gaussian", "--set=langevin.epsilon=0"], "epsilon must be above 0"),
        (2, ["law.pth", "--recipe=gaussian", "--out=a.csv"], "a table of chains is a .parquet file"),
    ]:
        assert call(["sample", *sizes, *arguments]) == code, arguments
        said = capsys.readouterr().err
        assert message in said, said
        assert "Traceback" not in said
    assert not Path("law").exists()
    assert not Path("rings").exists()


def test_existing_tables_are_refused(law, capsys):
    few = [*LAW, "--steps=4", "--chains=4", "--out=a.parquet"]
    assert call(few) == 0
    before = Path("a.parquet").read_bytes()
    assert call([*few, "--seed=1"]) == 2
    assert "a.parquet exists already" in capsys.readouterr().err
    assert Path("a.parquet").read_bytes() == before
    assert call([*few, "--seed=1", "--force"]) == 0
    assert Path("a.parquet").read_bytes() != before


def test_no_data_and_noise(law):
    assert call([*LAW, "--steps=4", "--chains=4", "--no-data", "--init=noise", "--out=a.parquet"]) == 0
    chains = read_chains("a.parquet")
    assert chains.phases.keys() == {"short", "long"}
    assert chains.metadata.held_out is False
    assert call([*LAW, "--resume", "--out=a.parquet"]) == 0


def test_a_damaged_place_is_named(law, capsys):
    few = [*LAW, "--steps=4", "--chains=4", "--out=a.parquet"]
    assert call(few) == 0
    Path("a/state.pt").write_bytes(b"x")
    assert call([*few, "--resume"]) == 3
    assert "a/state.pt cannot be read" in capsys.readouterr().err
    torch.save({"format": 1, "facts": "{}"}, "a/state.pt")
    assert call([*few, "--resume"]) == 3
    assert "is not the saved place of a run of chains" in capsys.readouterr().err


def test_a_step_too_long_is_told(law, capsys):
    blown = [*LAW, "--chains=4", "--steps=2000", "--thin=10", "--step-size=5", "--no-short", "--out=a.parquet"]
    assert call(blown) == 1
    said = capsys.readouterr().err
    assert "4 of 4 chains blew up by step" in said
    assert "are kept in a.parquet" in said
    chains = read_chains("a.parquet")
    assert chains.metadata.state == "diverged"
    assert len(chains.phases["long"].draws) >= 2


def test_a_place_that_cannot_be_written(law, capsys):
    Path("file").write_text("in the way")
    assert call([*LAW, "--steps=4", "--chains=4", "--out=file/a.parquet"]) == 3
    assert "cannot write file" in capsys.readouterr().err


SLOW = ["--sampler=mala", "--warmup=200", "--steps=3000", "--thin=5", "--chains=10", "--no-short"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of the table of ``SLOW``, never broken off."""
    home = tmp_path_factory.mktemp("whole")
    weights, table = str(home / "law.pth"), home / "whole.parquet"
    save_law(weights)
    assert call(["sample", weights, *LAW[2:], *SLOW, f"--out={table}"]) == 0
    return table.read_bytes()


@pytest.mark.slow
def test_killed_at_random_moments_the_table_is_the_same(law, whole):
    arguments, moments = [*LAW, *SLOW, "--out=a.parquet"], random.Random(2)
    for resume in ([], ["--resume"]):
        before = _changed("a/state.pt")
        process = started([*arguments, *resume], 0.02)
        wait_until(lambda before=before: _changed("a/state.pt") != before, process)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.communicate()
        assert not Path("a.parquet").exists()  # killed in the midst of it
    assert call([*arguments, "--resume"]) == 0
    assert Path("a.parquet").read_bytes() == whole


def _changed(path):
    return Path(path).stat().st_mtime_ns if Path(path).exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_how_to_go_on(law, whole, capsys, number):
    arguments = [*LAW, *SLOW, "--out=a.parquet"]
    with sent_when(Path("a/state.pt").exists, number) as sent:
        assert call(arguments) == 130
    assert sent == [number]
    assert capsys.readouterr().err == "ebmdiag: interrupted; a.parquet is saved. Add --resume to go on.\n"
    assert read_chains("a.parquet").metadata.state == "interrupted"
    assert call([*arguments, "--resume"]) == 0
    assert Path("a.parquet").read_bytes() == whole


HOLD = """
import sys
from pathlib import Path
from ebmdiag.locks import acquire
lock = acquire(Path("a/lock"), Path("a.parquet"))
print("held", flush=True)
sys.stdin.read()
"""


def test_two_at_once(law, capsys):
    arguments = [*LAW, "--steps=4", "--chains=4", "--out=a.parquet"]
    assert call(arguments) == 0
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        for how in ("--resume", "--force"):
            assert call([*arguments, how]) == 2
            assert "another process is writing a.parquet" in capsys.readouterr().err
    finally:
        other.kill()
        other.communicate()
    assert call([*arguments, "--resume"]) == 0


def test_help_needs_no_numbers():
    code = (
        "from ebmdiag.cli.main import call\nassert call(['sample', '--help']) == 0\nimport sys\n"
        "print([m for m in ('torch', 'numpy', 'pyarrow', 'scipy') if m in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[]"
