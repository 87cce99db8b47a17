"""``ebmdiag diagnose``: text, table, JSON, exit codes; and the same numbers as the report."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_files import fake_analysis, fake_rules, install_analyses, write_trace

from ebmdiag import TraceWriter
from ebmdiag.cli.main import call
from ebmdiag.errors import NothingToAnalyse, TraceError
from ebmdiag.report.diagnosis import diagnose
from ebmdiag.report.gather import gather
from ebmdiag.trace import read_trace

DEFAULT_RULES = fake_rules(words="w")


@pytest.fixture
def analyses(monkeypatch):
    """A function that gives the command other analyses, and rules, than the registered ones."""
    return partial(install_analyses, monkeypatch)


@pytest.fixture
def run(workplace, analyses, capsys):
    """A function that diagnoses the trace ``a`` and gives exit code, stdout and stderr."""

    def call_it(*arguments, rules=DEFAULT_RULES, found="info", traces=("a.parquet",)):
        analyses(fake_analysis(severity=found), rules=rules)
        capsys.readouterr()
        code = call(["diagnose", *traces, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    write_trace("a")
    return call_it


def refuse(error):
    def function(*_):
        raise error

    return function


# what it says


def test_the_verdict_the_evidence_and_the_findings_in_this_order(run):
    code, out, err = run(found="warning")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "a.parquet: 40 rows, steps 1 to 40, finished"
    order = ["stability: strongly oscillating", "    d swings w", "    turn it down w", "convergence: undetermined"]
    order += ["    About 1,200 more rows of the trace are needed to settle it.", "findings"]
    places = [lines.index(line) for line in order]
    assert places == sorted(places)
    evidence = [" ".join(line.split()) for line in lines if line.startswith("stability  ")]
    assert evidence[0] == "stability acf: rho_1 w −0.5 −0.6 to −0.4 −0.3 strongly oscillating"
    assert evidence[1] == "stability ccf: lead −0.25? −0.5 to 0.1 – undetermined"
    assert "? not reliable: short w" in lines


def test_findings_stand_worst_first_with_their_analysis_and_advice(workplace, analyses, capsys):
    analyses(fake_analysis("mild", "info"), fake_analysis("bad", "error"), rules=DEFAULT_RULES)
    write_trace("a")
    assert call(["diagnose", "a.parquet"]) == 0
    out = capsys.readouterr().out
    assert out.index("!! bad:") < out.index("=  mild:")
    assert "[bad]" in out
    assert out.count("advice") == 1  # of an info, none


def test_many_notes_are_counted_unless_asked_for(workplace, analyses, capsys):
    analyses(fake_analysis("bad", "warning"), *(fake_analysis(f"mild{k}", "info") for k in range(7)), rules=None)
    write_trace("a")
    assert call(["diagnose", "a.parquet"]) == 0
    out = capsys.readouterr().out
    assert "mild3:" not in out
    assert "=  7 notes" in out
    assert "!  bad:" in out
    assert call(["diagnose", "a.parquet", "-v"]) == 0
    told = capsys.readouterr().out
    assert all(f"mild{k}:" in told for k in range(7))
    assert "7 notes" not in told


def test_without_rules_it_says_so_and_prints_the_findings(run):
    code, out, _ = run(rules=None, found="warning")
    assert code == 0
    assert "no verdict: no rules for a verdict are installed" in out
    assert "!  fake:" in out


def test_an_analysis_that_cannot_be_done_is_named(workplace, analyses, capsys):
    broken = replace(fake_analysis("broken"), analyse=refuse(TraceError("no column 'v'.")))
    absent = replace(fake_analysis("absent"), analyse=refuse(NothingToAnalyse("no chains.")))
    analyses(broken, absent, rules=DEFAULT_RULES)
    write_trace("a")
    assert call(["diagnose", "a.parquet"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines.count("!  broken could not be done: no column 'v'.") == 1
    assert lines.index("!  broken could not be done: no column 'v'.") < lines.index("findings: none")
    assert "absent" not in out
    write_trace("b")
    assert call(["diagnose", "a.parquet", "b.parquet"]) == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == "! a.parquet: broken could not be done: no column 'v'."
    assert second == "! b.parquet: broken could not be done: no column 'v'."


@pytest.mark.parametrize("command", [["diagnose"], ["report", "-o", "x.html"]])
def test_a_place_without_a_run_is_one_sentence(workplace, capsys, command):
    Path("empty").mkdir()
    Path("runs").mkdir()
    write_trace("runs/a")
    for given, looked_for, instead in (
        (
            "empty",
            "neither the file empty.parquet is there nor rows of a run in empty/trace",
            "name a trace, a .parquet",
        ),
        ("nothere", "neither the file nothere.parquet", "the folder beside it that 'ebmdiag train' made"),
        ("nothere.parquet", "neither the file nothere.parquet", "name a trace"),
        ("runs", "neither the file runs.parquet", "name one of them, such as runs/a.parquet"),
    ):
        assert call([*command, given]) == 3
        said = capsys.readouterr().err
        assert said.startswith(f"ebmdiag: {given}: no such trace: ")
        assert said.count("\n") == 1
        assert looked_for in said
        assert instead in said
    assert not Path("x.html").exists()
    assert call([*command, "runs/a"]) == 0


def test_what_is_left_out_beside_the_trace_is_named(workplace, analyses, capsys):
    """Notes of analyses of the folder are told; those on the rows are not, for they stand in the report."""
    beside, rows = fake_analysis("beside"), fake_analysis("rows")

    def noted(analysis):
        return lambda trace, options: replace(analysis.analyse(trace, options), notes=("damaged.npz cannot be read.",))

    folder = lambda run, options: noted(beside)(read_trace(run.trace), options)  # noqa: E731
    analyses(replace(beside, analyse=folder, subject="run"), replace(rows, analyse=noted(rows)), rules=DEFAULT_RULES)
    write_trace("a")
    assert call(["diagnose", "a.parquet"]) == 0
    out = capsys.readouterr().out
    assert "!  beside: damaged.npz cannot be read." in out.splitlines()
    assert out.count("damaged.npz") == 1


def test_several_traces_are_a_table(run):
    write_trace("b", state="diverged")
    code, out, _ = run(found="warning", traces=("a.parquet", "b.parquet"))
    assert code == 0
    header, first, second = out.splitlines()
    assert header.split() == ["trace", "state", "rows", "stability", "convergence", "errors", "warnings"]
    assert first.split() == ["a.parquet", "finished", "40", "strongly", "oscillating", "undetermined", "0", "1"]
    assert second.split()[:3] == ["b.parquet", "diverged", "40"]


def test_rows_can_be_chosen(run):
    _, out, _ = run("--from", "11", "--until", "20")
    assert "10 rows, steps 11 to 20" in out
    assert "- Only steps 11 to 20: 10 of 40 rows are used." in out
    code, _, err = run("--from", "41")
    assert code == 2
    assert "no row from step 41 on" in err


def test_a_limit_reaches_the_rules(run):
    code, out, _ = run("--limit", "known=0.75", "--json")
    assert code == 0
    assert json.loads(out)["runs"][0]["verdict"]["limits"] == {"known": 0.75}


# exit codes


@pytest.mark.parametrize(
    ("stability", "convergence", "found", "arguments", "code"),
    [
        ("stable", "converged", "info", ["--fail-on", "warning", "--strict"], 0),
        ("diverging", "converged", "error", [], 0),
        ("strongly oscillating", "converged", "info", ["--fail-on", "error"], 0),
        ("strongly oscillating", "converged", "info", ["--fail-on", "warning"], 1),
        ("stable", "short-run only", "info", ["--fail-on", "warning"], 1),
        ("diverging", "converged", "info", ["--fail-on", "warning"], 1),
        ("collapsing", "converged", "info", ["--fail-on", "error"], 1),
        ("stable", "converged", "warning", ["--fail-on", "warning"], 1),
        ("stable", "converged", "warning", ["--fail-on", "error"], 0),
        ("stable", "undetermined", "info", ["--fail-on", "warning"], 0),
        ("stable", "undetermined", "info", ["--strict"], 4),
        ("undetermined", "converged", "info", ["--strict"], 4),
        ("diverging", "undetermined", "info", ["--fail-on", "error", "--strict"], 1),
    ],
)
def test_exit_codes(run, stability, convergence, found, arguments, code):
    assert run(*arguments, rules=fake_rules(stability, convergence, "w"), found=found)[0] == code


def test_the_gravest_of_several_traces_decides(run, monkeypatch):
    write_trace("b", rows=20)

    def rules(results, *rest):
        return fake_rules("stable" if results["fake"].rows == 20 else "diverging", "converged", "w")(results, *rest)

    both, reverse = ("a.parquet", "b.parquet"), ("b.parquet", "a.parquet")
    for traces in (both, reverse):
        assert run("--fail-on", "error", rules=rules, traces=traces)[0] == 1
    assert run("--fail-on", "error", rules=rules, traces=("b.parquet",))[0] == 0


def test_no_verdict_is_undetermined_and_rules_that_fail_are_a_fault(run):
    assert run("--strict", rules=None)[0] == 4
    code, out, _ = run(rules=refuse(TraceError("cannot judge.")))
    assert (code, "no verdict: cannot judge." in out) == (3, True)
    code, out, _ = run(rules=lambda *_: 1 / 0)
    assert code == 3
    assert "no verdict: the rules 'fake' failed: ZeroDivisionError" in out


# what is wrong is one sentence


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent.parquet"], 3, "no such trace"),
        (["broken.parquet"], 3, "cannot be read as Parquet"),
        (["empty.parquet"], 3, "holds no row yet"),
        (["a.csv"], 2, "a trace is a .parquet file"),
        (["a.parquet", "--limit", "known"], 2, "write it as NAME=VALUE"),
        (["a.parquet", "--limit", "known=many"], 2, "write it as NAME=VALUE"),
        (["a.parquet", "--limit", "known=inf"], 2, "write it as NAME=VALUE"),
        (["a.parquet", "--limit", "known=1", "--limit", "known=2"], 2, "names 'known' twice"),
        (["a.parquet", "--limit", "unheard=1"], 2, "unknown limit 'unheard'"),
        (["a.parquet", "--junit", "a.parquet"], 2, "is the trace itself"),
        (["a.parquet", "-o", "a.parquet"], 2, "is the trace itself"),
        (["a.parquet", "--junit", "there.xml"], 2, "exists already"),
        (["a.parquet", "-o", "there.xml"], 2, "exists already"),
        (["a.parquet", "-o", "x", "--junit", "x"], 2, "each its own file"),
        (["a.parquet", "--junit", "no.parquet/x.xml"], 3, "cannot write"),
        (["a.parquet", "--fail-on", "info"], 2, "'info' is not one of"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_input(run, arguments, code, words):
    Path("broken.parquet").write_bytes(b"hello")
    Path("no.parquet").write_bytes(b"")
    Path("there.xml").write_text("mine")
    TraceWriter("empty.parquet", epsilon=0.1).close()
    found, _, err = run(traces=arguments)
    assert (found, words in err) == (code, True), err
    assert err.count("\n") <= 4
    assert "Traceback" not in err
    assert Path("there.xml").read_text() == "mine"


def test_one_trace_that_cannot_be_read_does_not_cost_the_others(run):
    code, out, err = run(traces=("absent.parquet", "a.parquet"))
    assert code == 3
    assert "absent.parquet  unreadable" in out
    assert "strongly oscillating" in out
    assert "ebmdiag: absent.parquet: no such trace" in err


# JSON


def test_json_is_the_report_s_without_what_only_a_page_shows(run, capsys):
    _, out, _ = run("--json")
    document = json.loads(out)
    assert call(["report", "a.parquet", "-o", "x.html", "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert set(page["runs"][0]) - set(document["runs"][0]) == {"series", "samples", "chains", "landscapes"}
    assert document["runs"][0].items() <= page["runs"][0].items()
    assert document["runs"][0]["verdict"]["stability"]["severity"] == "warning"


def test_json_of_several_has_the_fault_of_what_cannot_be_read(run):
    code, out, _ = run("--json", traces=("a.parquet", "absent.parquet"))
    first, second = json.loads(out)["runs"]
    assert (code, first["name"]) == (3, "a")
    assert set(second) == {"trace", "error"}


# from the same numbers as the report


def test_a_page_can_be_written_too(run):
    code, _, err = run("-o", "x.html", "--junit", "x.xml")
    assert code == 0
    assert 'id="verdict"' in Path("x.html").read_text(encoding="utf-8")
    assert "wrote x.html" in err
    _, _, err = run("-o", "y.html", traces=("a.parquet", "absent.parquet"))
    assert "y.html is not written" in err
    assert not Path("y.html").exists()


def test_nothing_is_computed_twice(workplace, analyses):
    counted = []
    plain = fake_analysis()

    def analyse(trace, options):
        counted.append(trace)
        return plain.analyse(trace, options)

    analyses(replace(plain, analyse=analyse), rules=DEFAULT_RULES)
    write_trace("a")
    assert call(["diagnose", "a.parquet", "-o", "x.html", "--junit", "x.xml", "--json"]) == 0
    assert len(counted) == 1


def test_an_analysis_gets_the_columns_that_it_asks_for(workplace, analyses):
    seen = []

    def analyse(trace, options):
        seen.append(trace.table.column_names)
        return fake_analysis().analyse(trace, options)

    asked = {"two": ["d_s_t", "r_t"], "gone": ["d_s_t", "absent"], "every": None}
    analyses(
        *(
            replace(fake_analysis(name), analyse=analyse, columns=lambda _, columns=columns: columns)
            for name, columns in asked.items()
        )
    )
    diagnose(write_trace("a"))
    every, gone, two = seen  # in the order of their names
    assert set(two) == {"step", "d_s_t", "r_t"}
    assert set(every) == set(gone) > set(two)


def test_the_registered_analyses_say_the_same_as_in_the_report(workplace):
    """Column by column or from the whole trace: the same numbers, findings and reasons."""
    write_trace("a", rows=600)
    few, whole = diagnose(Path("a.parquet"), 101), gather(Path("a.parquet"), 101)
    assert [answer.name for answer in few.answers] == [answer.name for answer in whole.answers]
    for one, other in zip(few.answers, whole.answers, strict=True):
        assert one.findings == other.findings
        assert one.failure == other.failure
        if one.result is not None and other.result is not None:
            assert one.result.to_json() == other.result.to_json()
    assert few.verdict == whole.verdict


def test_a_run_that_grows_meanwhile_is_seen_as_it_was_at_first(workplace, analyses):
    writer = TraceWriter("a.parquet", epsilon=0.1, flush_rows=1)
    writer.append({"step": 1, "d_s_t": 1.0})
    rows = []

    def analyse(trace, options):
        rows.append(len(trace))
        writer.append({"step": len(rows) + 1, "d_s_t": 1.0})
        return fake_analysis().analyse(trace, options)

    analyses(*(replace(fake_analysis(name), analyse=analyse) for name in ("one", "two")))
    found = diagnose(Path("a.parquet"))
    writer.close()
    assert (rows, found.rows) == ([1, 1], 1)


# alone


def alone(code):
    """What a fresh interpreter says on stderr."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


HEAVY = ("torch", "matplotlib", "seaborn", "pandas", "scipy", "statsmodels", "pyarrow", "jinja2", "numpy")


def test_help_is_light():
    code = (
        'from ebmdiag.cli.main import call\nassert call(["diagnose", "--help"]) == 0\n'
        f"import sys\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    assert alone(code) == "[]\n"


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "matplotlib"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
"""
"""Better than None in sys.modules, at which SciPy's look for an array of torch stumbles."""


def test_a_diagnosis_needs_neither_torch_nor_a_plotting_library(workplace):
    write_trace("a", rows=300)
    code = f"""{BLOCKER}
from ebmdiag.cli.main import call
assert call(["diagnose", "a.parquet", "--junit", "x.xml"]) == 0
"""
    assert alone(code) == "wrote x.xml\n"
    root = ElementTree.parse("x.xml").getroot()
    assert not [case for case in root.iter("testcase") if case.get("name") == "can be done"]


def test_the_blocker_blocks():
    """Negative control."""
    assert "True" in alone(f"""{BLOCKER}
try:
    import matplotlib
except ModuleNotFoundError as error:
    print(str(error) == "matplotlib", file=sys.stderr)
""")
