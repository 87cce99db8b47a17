"""JUnit XML of ``ebmdiag diagnose``: the shape of the Ant schema, escaped, and failing where the command does."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from xml.etree import ElementTree

import pytest
from report_files import EVIL, fake_analysis, fake_rules, install_analyses, write_trace

from ebmdiag.cli.main import call
from ebmdiag.errors import TraceError
from ebmdiag.report.diagnosis import diagnose
from ebmdiag.report.junit import Suite, junit

MOMENT = datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def analyses(monkeypatch):
    """A function that gives the command other analyses, and rules, than the registered ones."""
    return partial(install_analyses, monkeypatch)


def refuse(error):
    def function(*_):
        raise error

    return function


ATTRIBUTES = {
    "testsuites": set(),
    "testsuite": {"id", "name", "package", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
    "properties": set(),
    "property": {"name", "value"},
    "system-out": set(),
    "system-err": set(),
}
"""Of the Ant schema, all of them required there (but for skipped, where any are allowed)."""


def check_junit(root):
    """The shape that the Ant schema asks for: elements, their order, their attributes, and counts that are true."""
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) == ATTRIBUTES[element.tag]
    for suite in root:
        cases = suite.findall("testcase")
        tags = [child.tag for child in suite]
        assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert all(len(case) <= 1 for case in cases)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(count)) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests")) == len(cases)
        names = [(case.get("classname"), case.get("name")) for case in cases]
        assert len(set(names)) == len(names)
        datetime.strptime(suite.get("timestamp"), "%Y-%m-%dT%H:%M:%S")


def cases(root):
    return {
        (case.get("classname"), case.get("name")): case[0].tag if len(case) else "passed"
        for case in root.iter("testcase")
    }


@pytest.mark.parametrize(
    ("arguments", "stability", "convergence", "finding"),
    [
        ([], "passed", "skipped", "passed"),
        (["--fail-on", "warning"], "failure", "skipped", "failure"),
        (["--fail-on", "error", "--strict"], "passed", "failure", "passed"),
    ],
)
def test_junit_fails_where_the_command_does(workplace, analyses, capsys, arguments, stability, convergence, finding):
    analyses(fake_analysis(), rules=fake_rules(words="w"))
    write_trace("a")
    code = call(["diagnose", "a.parquet", *arguments, "--junit", "x.xml"])
    root = ElementTree.parse("x.xml").getroot()
    check_junit(root)
    assert cases(root) == {
        ("verdict", "stability"): stability,
        ("verdict", "convergence"): convergence,
        ("fake", "code"): finding,
    }
    assert (code != 0) == ("failure" in cases(root).values())
    assert "wrote x.xml" in capsys.readouterr().err


def test_junit_escapes_what_strangers_wrote_and_drops_what_xml_cannot_hold(workplace, analyses):
    analyses(fake_analysis("one"), rules=fake_rules(words=f"{EVIL}\x00\x1b[31m\ud800"))
    found = diagnose(write_trace("a"))
    document = junit([Suite(f"a {EVIL}", found)], MOMENT, "warning")
    root = ElementTree.fromstring(document)
    check_junit(root)
    assert EVIL in root[0].get("name")
    assert any(EVIL in case.get("message") for case in root.iter("failure"))
    assert not root.findall(".//script")
    assert document == junit([Suite(f"a {EVIL}", found)], MOMENT, "warning")


def test_junit_counts_equal_names_and_says_what_could_not_be_done(workplace, analyses):
    twice = replace(fake_analysis(), judge=lambda result: fake_analysis().judge(result) * 2)
    broken = replace(fake_analysis("broken"), analyse=refuse(TraceError("no column.")))
    analyses(twice, broken)
    root = ElementTree.fromstring(junit([Suite("a", diagnose(write_trace("a")))], MOMENT, None, strict=True))
    check_junit(root)
    assert cases(root) == {
        ("verdict", "rules"): "failure",
        ("fake", "code"): "passed",
        ("fake", "code (2)"): "passed",
        ("broken", "can be done"): "skipped",
    }


def test_the_check_of_junit_can_fail(workplace, analyses):
    """Negative control."""
    analyses(fake_analysis())
    root = ElementTree.fromstring(junit([Suite("a", diagnose(write_trace("a")))], MOMENT, None))
    check_junit(root)
    root[0].set("tests", "7")
    with pytest.raises(AssertionError):
        check_junit(root)


def test_one_trace_that_cannot_be_read_is_an_error_of_its_own(workplace, analyses):
    analyses(fake_analysis(), rules=fake_rules(words="w"))
    write_trace("a")
    assert call(["diagnose", "absent.parquet", "a.parquet", "--junit", "x.xml"]) == 3
    root = ElementTree.parse("x.xml").getroot()
    check_junit(root)
    assert [suite.get("errors") for suite in root] == ["1", "0"]
