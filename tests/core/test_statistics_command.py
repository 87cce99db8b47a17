"""``ebmdiag statistics``: the table of the columns arrives as it stands."""

import json
import os
import subprocess
import sys

import pytest

from ebmdiag.cli.main import call
from ebmdiag.statistics import BY_COLUMN, STATISTICS

HEAVY = ("torch", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "statsmodels", "jinja2")


def output(capsys, *arguments):
    assert call(["statistics", *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def expected(statistic):
    own = {"column": statistic.column, "kind": statistic.kind, "required": statistic.required}
    return own | statistic.metadata()


def fields(card):
    """Name → text of one printed statistic, its continuation lines joined."""
    found = {}
    for line in card.strip().splitlines():
        if not line.startswith(" "):
            name, _, text = line.partition(" ")
            found[name] = text.strip()
        else:
            found[name] += " " + line.strip()
    return found


def test_list_has_a_line_for_each_column(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    header, *lines = output(capsys, "list").splitlines()
    assert header.split() == ["column", "symbol", "unit", "equilibrium"]
    assert [line.split()[0] for line in lines] == list(BY_COLUMN)
    for line, statistic in zip(lines, STATISTICS, strict=True):
        assert statistic.symbol in line
        assert f"  {statistic.unit}  " in line
    assert max(map(len, lines)) <= 100
    place = header.index("equilibrium")
    for line, statistic in zip(lines, STATISTICS, strict=True):
        shown = line[place + sum(map(is_accent, line[:place])) :].removesuffix(" …")
        assert (statistic.equilibrium or "not known").startswith(shown.strip())


def is_accent(character):
    return "\u0300" <= character <= "\u036f"


@pytest.mark.parametrize(("columns", "cut"), [("80", True), ("400", False)])
def test_list_fits_the_terminal(capsys, monkeypatch, columns, cut):
    """What is wider than the terminal is cut, and says so; a wide terminal shows all."""
    monkeypatch.setenv("COLUMNS", columns)
    text = output(capsys, "list")
    assert max(map(len, text.splitlines())) <= int(columns) + 1  # an accent takes no cell of its own
    assert ("…" in text) is cut
    assert (BY_COLUMN["z_t"].equilibrium in text) is not cut


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.column)
@pytest.mark.parametrize("columns", ["40", "100"])
def test_show_prints_each_text_unchanged(capsys, monkeypatch, statistic, columns):
    monkeypatch.setenv("COLUMNS", columns)
    shown = fields(output(capsys, "show", statistic.column))
    for name, value in expected(statistic).items():
        said = {True: "yes", False: "no"}.get(value, value)
        assert shown[name] == (said or ("not known" if name == "equilibrium" else "–")), name


def test_show_is_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = output(capsys, "show", "virial", "r_t").splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split()[1] for line in lines if line.startswith("column ")] == ["virial", "r_t"]
    assert lines.count("") == 1


def test_json_of_the_list_is_the_table(capsys):
    assert json.loads(output(capsys, "list", "--json")) == [expected(statistic) for statistic in STATISTICS]


def test_json_of_one_is_an_object_and_of_several_a_list(capsys):
    assert json.loads(output(capsys, "show", "d_s_t", "--json")) == expected(BY_COLUMN["d_s_t"])
    both = json.loads(output(capsys, "show", "virial", "step", "--json"))
    assert both == [expected(BY_COLUMN["virial"]), expected(BY_COLUMN["step"])]
    assert (both[1]["kind"], both[1]["required"]) == ("int64", True)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_unknown_column_names_the_nearest(capsys, options):
    assert call(["statistics", "show", "r_t", "virail", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "unknown column 'virail'; did you mean 'virial'?" in said.err


def test_something_must_be_asked_for(capsys):
    assert call(["statistics", "show"]) == 2
    assert "COLUMN" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_poor_terminal_gets_plain_characters(encoding):
    """No traceback where the encoding lacks ε, ‖ or ²."""
    for arguments in (["list"], ["show", "v_t", "nested_rhat_energy" if "nested_rhat_energy" in BY_COLUMN else "r_t"]):
        answer = subprocess.run(
            [sys.executable, "-m", "ebmdiag", "statistics", *arguments],
            capture_output=True,
            check=True,
            env={"PYTHONIOENCODING": encoding},
        )
        answer.stdout.decode(encoding)
        assert b"v_t" in answer.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "--help"], ["list", "--json"], ["show", "virial", "--json"]]
)
def test_it_loads_nothing_heavy(arguments):
    code = f"""
import sys
from ebmdiag.cli.main import call
assert call({["statistics", *arguments]!r}) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip().splitlines()[-1] == "[]"


def test_the_probe_sees_what_is_loaded():
    """Negative control: printing for people loads numpy (for the bars of ebmdiag.terminal), but no more."""
    code = f"""
import sys
from ebmdiag.cli.main import call
assert call(["statistics", "show", "virial"]) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip().splitlines()[-1] == "['numpy']"


def test_json_survives_a_terminal_without_unicode():
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "ebmdiag", "statistics", "show", "virial", "--json"]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout.decode("ascii"))["symbol"] == "κ"
