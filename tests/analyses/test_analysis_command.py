"""The commands that are made of analyses, through the whole command line."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from series import GOLDEN, written_trace

from ebmdiag import TraceWriter
from ebmdiag.analysis import Analysis, Drawing
from ebmdiag.cli.analyses import analysis_command
from ebmdiag.cli.main import call
from ebmdiag.errors import EbmdiagError
from ebmdiag.result import Estimate, Result

RUNS = ("rings", "flowers", "flowers_beta0")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def traces(tmp_path_factory, golden):
    folder = tmp_path_factory.mktemp("traces")
    return {
        run: str(
            written_trace(folder / f"{run}.parquet", {"d_s_t": golden[f"{run}/d_s_t"], "r_t": golden[f"{run}/r_s_t"]})
        )
        for run in RUNS
    }


@pytest.fixture
def ask(capsys):
    """Run a command; its exit code, stdout and stderr."""

    def run(*arguments):
        code = call([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("run", RUNS)
def test_golden_through_the_command_line(ask, traces, golden, run):
    code, out, _ = ask("acf", traces[run], "--convention", "nijkamp", "--json")
    assert code == 0
    tables = json.loads(out)["result"]["tables"]
    assert tables["d_s_t"]["columns"]["correlation"] == pytest.approx(golden[f"{run}/d_acf"], abs=1e-6)
    assert tables["r_t"]["columns"]["correlation"] == pytest.approx(golden[f"{run}/r_acf"], abs=1e-6)
    code, out, _ = ask("ccf", traces[run], "--convention", "nijkamp", "--json")
    assert code == 0
    found = json.loads(out)["result"]["tables"]["ccf"]["columns"]["correlation"]
    assert found == pytest.approx(golden[f"{run}/cross_corr"], abs=1e-6)


def test_json_holds_result_and_findings(ask, traces):
    _, out, err = ask("acf", traces["flowers"], "--json")
    document = json.loads(out)
    assert set(document) == {"result", "findings"}
    assert document["findings"][0]["code"] == "oscillation"
    assert document["result"]["trace"] == "flowers"
    assert err == ""


@pytest.mark.parametrize("command", ["acf", "ccf", "summary"])
def test_text(ask, traces, command):
    code, out, err = ask(command, traces["flowers"])
    assert (code, err) == (0, "")
    assert out.startswith(f"{command} of flowers: 800 rows, steps 1 to 800")
    assert len(out.splitlines()) <= 45


def test_from_and_until(ask, traces):
    _, out, _ = ask("acf", traces["rings"], "--from", 101, "--until", 500, "--json", "--column", "r_t")
    settings = json.loads(out)["result"]["settings"]
    assert (settings["first_step"], settings["last_step"], settings["columns"]) == (101, 500, ["r_t"])


@pytest.mark.parametrize("command", ["acf", "ccf", "summary"])
@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_figures_are_reproducible(ask, traces, tmp_path, command, suffix, start):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for path in (first, second):
        code, out, err = ask(command, traces["flowers"], "-o", path)
        assert (code, err) == (0, f"wrote {path}\n")
        assert out.startswith(command)
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, second.name]


def test_unknown_suffix(ask, traces, tmp_path):
    code, out, err = ask("acf", traces["rings"], "-o", tmp_path / "a.jpg")
    assert (code, out) == (2, "")
    assert ".png, .svg, .pdf" in err
    assert not list(tmp_path.iterdir())


def test_existing_output_needs_force(ask, traces, tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("mine")
    code, out, err = ask("acf", traces["rings"], "-o", path)
    assert (code, out) == (2, "")
    assert "--force" in err
    assert path.read_text() == "mine"
    assert ask("acf", traces["rings"], "-o", path, "--force")[0] == 0
    assert path.read_text().startswith("<?xml")


def test_strict(ask, traces):
    assert ask("acf", traces["rings"], "--strict")[0] == 0
    code, out, _ = ask("acf", traces["rings"], "--strict", "--window", 20)
    assert code == 4
    assert "20 rows are few" in out
    assert ask("acf", traces["rings"], "--window", 20)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--column", "d_st"], 2, "no column 'd_st'; did you mean 'd_s_t'? It has: step, d_s_t, r_t, elapsed_s."),
        (["--column", "virial"], 3, "column 'virial' is empty"),
        (["--max-lag", "0"], 2, "max-lag must be at least 1"),
        (["--max-lag", "x"], 2, "not a valid integer"),
        (["--convention", "mine"], 2, "'standard', 'nijkamp'"),
        (["--from", "900", "--until", "901"], 2, "the trace holds 1 to 800"),
        (["--window", "0"], 2, "window must be at least 1"),
    ],
)
def test_one_sentence_for_each_mistake(ask, traces, arguments, code, said):
    found, out, err = ask("acf", traces["flowers"], *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_no_such_trace(ask, tmp_path):
    code, _, err = ask("ccf", tmp_path / "none.parquet")
    assert code == 3
    assert "no such trace" in err


def test_help_lists_the_options(ask):
    code, out, _ = ask("acf", "--help")
    assert code == 0
    for option in ("--column", "--max-lag", "--window", "--convention", "--level", "--from", "--until", "--json"):
        assert option in out
    assert "[standard|nijkamp]" in out


@dataclass(frozen=True)
class _Options:
    count: int | None = field(default=None, metadata={"help": "A number."})
    share: float = 0.5
    kind: str = field(default="a", metadata={"choices": ("a", "b")})
    first: bool = False  # what the command calls --from inside, and no harm done
    names: tuple[str, ...] = field(default=(), metadata={"name": "name"})


def _drawings(result):
    from ebmdiag.report.style import house_style, panels

    with house_style():
        return [Drawing(name, panels()[0], name, name) for name in ("one", "two")]


def _analysis(options=_Options, draw=_drawings):
    def analyse(trace, options):
        settings = {name: getattr(options, name) for name in vars(options)}
        return Result("own", trace.name, len(trace), {**settings, "read": trace.table.column_names})

    return Analysis(
        name="own",
        title="Own",
        summary="A third party's.",
        options=options,
        analyse=analyse,
        judge=lambda result: [],
        text=lambda result: ["said"],
        draw=draw,
        columns=lambda options: ["d_s_t"],
    )


def own(*arguments, **changes):
    return analysis_command(_analysis(**changes)).main([*map(str, arguments)], standalone_mode=False)


def test_every_type_of_option(traces, capsys):
    own(traces["rings"], "--count", 3, "--kind", "b", "--first", "--name", "x", "--name", "y", "--json")
    settings = json.loads(capsys.readouterr().out)["result"]["settings"]
    assert settings == {
        "count": 3,
        "share": 0.5,
        "kind": "b",
        "first": True,
        "names": ["x", "y"],
        "read": ["step", "d_s_t"],
    }


def test_several_drawings_get_names_of_their_own(traces, tmp_path):
    own(traces["rings"], "-o", tmp_path / "a.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-one.svg", "a-two.svg"]
    with pytest.raises(EbmdiagError, match=r"a-one\.svg exists"):
        own(traces["rings"], "-o", tmp_path / "a.svg")


def test_nothing_to_draw(traces, tmp_path):
    with pytest.raises(EbmdiagError, match="no figure"):
        own(traces["rings"], "-o", tmp_path / "a.svg", draw=lambda result: [])


def test_a_type_that_no_command_line_offers():
    @dataclass(frozen=True)
    class Bad:
        mapping: dict[str, int] = field(default_factory=dict)

    with pytest.raises(EbmdiagError, match="'mapping' is a dict"):
        analysis_command(_analysis(options=Bad))


def test_an_option_that_every_command_has():
    @dataclass(frozen=True)
    class Bad:
        force: bool = False

    with pytest.raises(EbmdiagError, match="has an option --force"):
        analysis_command(_analysis(options=Bad))


def test_estimate_doubted():
    assert Estimate.doubted(1.0, "").reliable
    assert not Estimate.doubted(1.0, "why").reliable


def test_a_run_that_is_not_there(workplace, capsys):
    """Not the same as a run without chains or landscapes."""
    assert call(["convergence", "nowhere.parquet"]) == 3
    assert "nowhere.parquet: no such run" in capsys.readouterr().err
    Path("runs/a").mkdir(parents=True)
    assert call(["convergence", "runs/a"]) == 3
    assert "no chains" in capsys.readouterr().err


def test_a_pipe_whose_reader_has_left(workplace):
    """Exit code 1 would be a verdict."""
    with TraceWriter("a.parquet", epsilon=0.1) as trace:
        for step in range(1, 400):
            trace.append({"step": step, "d_s_t": step % 7, "r_t": step % 5})
    command = f"{sys.executable} -m ebmdiag acf a.parquet --json; echo $? >code"
    subprocess.run(["bash", "-c", f"({command}) | head -c 10"], check=True, capture_output=True)
    assert Path("code").read_text().strip() == "0"
