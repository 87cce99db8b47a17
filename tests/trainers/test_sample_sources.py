"""What ``ebmdiag sample`` believes of the files it is given, and which chains it goes on with."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY

from ebmdiag.chains import ChainFiles, read_chains, read_samples
from ebmdiag.cli.main import call
from ebmdiag_trainers.sampling.asking import Asked
from ebmdiag_trainers.sampling.places import new_files

FEW = ["--steps=4", "--chains=4", "--quiet"]
STRANGE = """
from pathlib import Path
Path("touched").touch()
from ebmdiag_trainers.nets import ToyNet as Net
def statistic(record):
    return 1.0
"""


@pytest.fixture
def trained(workplace):
    """A run of four iterations, ``runs/a``."""
    settings = [f"--set={setting}" for setting in TINY]
    assert call(["train", "rings", "--steps=4", "--out=runs/a.parquet", "--quiet", *settings]) == 0
    return Path("runs/a/checkpoints/step_0000000004.pt")


@pytest.fixture
def strange(trained, monkeypatch):
    """A module in the current folder that leaves a trace when it is imported; none of another test's is known."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "strange", raising=False)
    Path("strange.py").write_text(STRANGE)
    yield trained
    sys.modules.pop("strange", None)


def tampered(path, table, **keys):
    """The checkpoint with keys of its recipe replaced."""
    values = torch.load(path, weights_only=True)
    recipe = json.loads(values["recipe"])
    recipe[table].update(keys)
    torch.save(values | {"recipe": json.dumps(recipe)}, path)


@pytest.mark.parametrize("source", ["runs/a", "runs/a.parquet", "lonely.pt", "runs/a/checkpoints/step_0000000004.pt"])
def test_code_that_only_a_checkpoint_names_is_not_run(strange, capsys, source):
    tampered(strange, "net", factory="strange:Net")
    Path("lonely.pt").write_bytes(strange.read_bytes())
    assert call(["sample", source, *FEW, "--out=a.parquet"]) == 2
    said = capsys.readouterr().err
    assert "asks to import and run 'strange:Net' as its net" in said
    assert "add --set net.factory=strange:Net." in said
    assert not Path("touched").exists()
    assert not Path("a.parquet").exists()
    assert call(["sample", source, *FEW, "--out=a.parquet", "--set=net.width=32"]) == 2  # another key names no code
    assert not Path("touched").exists()
    assert call(["sample", source, *FEW, "--out=a.parquet", "--set=net.factory=strange:Net"]) == 0
    assert Path("touched").exists()


def test_any_function_is_code(trained, capsys):
    """The attack that was run: no net at all, but a program with its arguments."""
    tampered(trained, "net", factory="subprocess:run", args=["touch", "touched"])
    assert call(["sample", "runs/a", *FEW, "--out=a.parquet"]) == 2
    assert "asks to import and run 'subprocess:run'" in capsys.readouterr().err
    assert not Path("touched").exists()


@pytest.mark.parametrize("table", ["trace", "probe"])
def test_statistics_that_a_checkpoint_names_are_not_loaded(strange, table):
    tampered(strange, table, statistics=["strange:statistic"])
    assert call(["sample", "runs/a", *FEW, "--out=a.parquet"]) == 0
    assert not Path("touched").exists()


@pytest.fixture
def images(workplace):
    rng = np.random.default_rng(0)
    np.savez("images.npz", rng.integers(0, 255, (24, 32, 32, 3), dtype=np.uint8))
    for k, out in ((0, "all"), (6, "some")):
        settings = ["training.batch=2", "langevin.steps=2", "data.source=images", f"data.held_out={k}"]
        train = ["train", "flowers", "--data=images.npz", "--steps=1", *(f"--set={setting}" for setting in settings)]
        assert call([*train, "--quiet", f"--out=runs/{out}.parquet"]) == 0
    return ["--steps=2", "--chains=4", "--no-short", "--out=x.parquet", "--force"]


def test_held_out_images_are_compared_with(images, capsys):
    for k, out in ((0, "all"), (6, "some")):
        assert call(["sample", f"runs/{out}", *images]) == 0
        said = capsys.readouterr().err
        assert "trained on" not in said
        samples = read_samples(Path("x.npz"))
        assert read_chains("x.parquet").metadata.held_out is (k > 0)
        assert len(samples.data) == (k or 22)
        assert np.isfinite(samples.nearest_data).all()


def test_only_a_training_can_hold_out(images, capsys):
    """Images set aside afterwards were trained on, and weights alone do not say what they have seen."""
    values = torch.load("runs/some/checkpoints/step_0000000001.pt", weights_only=True)
    torch.save(values["net"], "net.pth")
    bare = ["net.pth", "--recipe=runs/some/recipe.toml"]
    others, unknown = "these are not the data that the net was trained on", "the weights do not say which images"
    doubt = ", and the images held out may be among those."
    for arguments, said in [
        (["runs/all", "--set=data.held_out=12"], others + doubt),
        (["runs/some", "--set=data.held_out=12"], others + doubt),
        (["runs/some", "--set=data.held_out=0"], others + "."),
        (bare, unknown),
        ([*bare, "--set=data.held_out=0"], ""),
    ]:
        assert call(["sample", *arguments, *images]) == 0
        told = capsys.readouterr().err
        assert said in told
        assert ("trained on" in told) is bool(said)
        assert read_chains("x.parquet").metadata.held_out is False, arguments


def test_resume_takes_the_chains_that_there_are(trained):
    assert call(["sample", "runs/a", *FEW, "--sampler=hmc", "--init=noise", "--warmup=3"]) == 0
    assert call(["sample", "runs/a", "--quiet", "--resume", "--steps=8"]) == 0
    tables = sorted(path.name for path in Path("runs/a/chains").glob("*.parquet"))
    assert tables == ["step_0000000004-hmc-noise.parquet"]
    long = read_chains(Path("runs/a/chains") / tables[0]).phases["long"]
    assert (long.init, long.draws[-1]) == ("noise", 8)


def test_resume_does_not_choose_among_several(trained, capsys):
    places = [
        ["--sampler=hmc", "--init=noise"],
        ["--sampler=hmc", "--init=noise", "--temperature=2"],
        ["--sampler=mala"],
        ["--sampler=mala", "--temperatures=1,2"],
    ]
    for place in places:
        assert call(["sample", "runs/a", *FEW, *place, "--warmup=3"]) == 0
    training = ChainFiles.of("runs/a/chains/step_0000000004-long.parquet")  # which 'ebmdiag train' goes on with
    training.folder.mkdir()
    training.state.write_bytes(b"")
    resume = ["sample", "runs/a", "--quiet", "--resume", "--steps=8"]
    for given, count in ([], 4), (["--sampler=hmc"], 2), (["--init=data"], 2), (["--temperature=1"], 3):
        assert call([*resume, *given]) == 2
        said = capsys.readouterr().err
        assert "there are several chains to go on with; name one of them with --out" in said
        assert said.count(".parquet") == count
        assert "long" not in said
    for given, name in [
        (["--temperature=2"], "hmc-noise-tau2"),
        (["--temperatures=1,2"], "mala-data-tempered"),
        (["--sampler=hmc", "--temperature=1"], "hmc-noise"),
        (["--out=runs/a/chains/step_0000000004-mala-data.parquet"], "mala-data"),
    ]:
        assert call([*resume, *given]) == 0
        assert read_chains(f"runs/a/chains/step_0000000004-{name}.parquet").phases["long"].draws[-1] == 8
    assert call([*resume, "--sampler=langevin"]) == 2
    said = capsys.readouterr().err
    assert "there is no saved place in runs/a/chains/step_0000000004-langevin-data" in said
    assert "name them with --out: runs/a/chains/step_0000000004-long.parquet." in said


def test_chains_of_the_training_are_gone_on_with_by_name(workplace, capsys):
    settings = [f"--set={setting}" for setting in (*TINY, "long_run.every=4", "long_run.steps=6", "long_run.chains=4")]
    assert call(["train", "rings", "--steps=4", "--out=runs/a.parquet", "--quiet", *settings]) == 0
    table = "runs/a/chains/step_0000000004-long.parquet"
    capsys.readouterr()
    assert call(["sample", "runs/a", "--resume", "--steps=12"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"name them with --out: {table}." in said
    assert call(["sample", "runs/a", "--resume", "--steps=12", "--quiet", f"--out={table}"]) == 0
    assert read_chains(table).phases["long"].draws[-1] == 12
    assert call(["sample", "runs/a", *FEW]) == 0
    assert call(["sample", "runs/a", "--resume", "--steps=12", "--quiet"]) == 0  # our own come first
    assert read_chains("runs/a/chains/step_0000000004-langevin-data.parquet").phases["long"].draws[-1] == 12


@pytest.mark.parametrize("source", [["runs/a"], ["rings.pth", "--recipe=rings"]])
def test_another_epsilon_is_another_law_and_said_so(trained, capsys, source):
    """U = F / (ε²/2): at twice the ε the energies of the same states are a quarter, and one warning says so."""
    torch.save(torch.load(trained, weights_only=True)["net"], "rings.pth")
    own = json.loads(torch.load(trained, weights_only=True)["recipe"])["langevin"]["epsilon"]
    plain = [*source, *FEW, "--no-short", "--seed=3"]
    capsys.readouterr()
    assert call(["sample", *plain, "--out=a.parquet"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert call(["sample", *plain, "--out=b.parquet", f"--set=langevin.epsilon={2 * own}"]) == 0
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1
    assert f"langevin.epsilon is {2 * own:g}, but the net was trained with {own:g}" in said
    assert "to the power of 0.25" in said
    energies = [read_chains(f"{name}.parquet").phases["data"].values["energy"] for name in "ab"]
    assert energies[1] == pytest.approx(energies[0] / 4, rel=1e-5)
    assert call(["sample", *plain, "--out=c.parquet", f"--step-size={2 * own}"]) == 0
    assert "warning" not in capsys.readouterr().err
    energies.append(read_chains("c.parquet").phases["data"].values["energy"])
    assert energies[2] == pytest.approx(energies[0], rel=1e-5)


def test_the_names_of_tables_are_understood(trained):
    """Every name that we give is found again, and says what it was given for."""
    from ebmdiag_trainers.sampling.places import begun_files
    from ebmdiag_trainers.sampling.source import open_source

    source = open_source(Path("runs/a"), recipe=None)
    for asked in (
        Asked(sampler="hmc-unadjusted", init="bank", temperature=1e-5, temperatures=(1.0, 2.0)),
        Asked(sampler="gibbs-blocked", init="data", temperature=0.25),
        Asked(sampler="langevin", init="noise", temperature=1.0),
    ):
        files = new_files(source, asked.completed())
        files.folder.mkdir(parents=True)
        files.state.touch()
        for part in (asked, Asked(sampler=asked.sampler), Asked(init=asked.init), Asked(temperature=asked.temperature)):
            assert begun_files(source, part) == files


def test_chains_stay_on_their_device(trained, capsys):
    """Random numbers of a GPU mean nothing to a CPU; a place of an older ebmdiag does not say where it was saved."""
    assert call(["sample", "runs/a", *FEW, "--out=a.parquet"]) == 0
    saved = torch.load("a/state.pt", weights_only=True)
    facts = json.loads(saved["facts"])
    assert facts["device"] == "cpu"
    resume = ["sample", "runs/a", "--quiet", "--resume", "--steps=8", "--out=a.parquet"]
    torch.save(saved | {"facts": json.dumps(facts | {"device": "cuda"})}, "a/state.pt")
    assert call([*resume, "--device=cpu"]) == 2
    assert "--resume: device is 'cpu', but the chains were begun with 'cuda'" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert call(resume) == 2
        assert "PyTorch sees no CUDA device here" in capsys.readouterr().err
    del facts["device"]
    torch.save(saved | {"facts": json.dumps(facts)}, "a/state.pt")
    assert call([*resume, "--device=cpu"]) == 0


def test_the_closing_line_leads_on(trained, capsys):
    """The command that it names finds the table, wherever that lies."""
    Path("my place").mkdir()
    for where, command in [
        (["--init=noise"], "ebmdiag convergence runs/a --table step_0000000004-langevin-noise"),
        (["--out=my place/b.parquet"], "ebmdiag convergence 'my place/b.parquet'"),
    ]:
        assert call(["sample", "runs/a", *FEW[:2], *where]) == 0
        assert capsys.readouterr().err.strip().endswith(f"Next: {command}")
