"""What ``convergence`` says in a terminal and draws."""

import dataclasses
import re

import numpy as np
import pytest
from chain_tables import settled, with_measure, written

from ebmdiag.result import Estimate
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import Options, analyse, draw, text
from ebmdiag_analyses.convergence.legend import legend


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    rng = np.random.default_rng(23)
    run = tmp_path_factory.mktemp("run") / "x.parquet"
    courses = settled(rng, 32, 100, copies=2)
    written(run, "early", courses, training_step=10)
    courses["long"] = dataclasses.replace(courses["long"], init="noise", states=courses["long"].states + 4)
    looks = {kind: rng.random(course.states.shape[:2]) for kind, course in courses.items()}
    written(run, "late", with_measure(courses, "saturation", looks), sampler={"name": "langevin", "exact": False})
    return analyse(RunFolder.of(run), Options(permutations=600))


def test_the_text_holds_the_numbers(result):
    said = "\n".join(text(result))
    assert "32 chains (16 starts) of 1,000 steps of langevin, unadjusted from noise" in said
    gap = result.estimates["energy:long-data"]
    assert re.search(rf"long - data +{gap.value:.4g} +{gap.low:.4g} +{gap.high:.4g}", said)
    worst = max(result.tables["mixing"].columns["rhat"])
    assert f"{worst:.3f}" in said
    assert re.search(r"^ +10 +data +mala", said, re.M)  # the table over training
    assert re.search(r"saturation( +[-\d.e]+){5}", said)


TABLE_WORDS = {
    "": ("low", "high", "U", "L", "errors", "?", "–"),
    "mixing": ("second half", "R-hat", "bulk", "tail", "tau", "nested", "expected", "p"),
    "displacement": ("distance from start", "independent items", "of one start, over others"),
    "acceptance": ("acceptance",),
    "images": ("saturation", "salt_and_pepper", "outside"),
    "two_sample": ("statistic", "if equal", "share", "adjusted"),
}


def test_the_words_of_the_tables_are_explained_below_them(result):
    planted = {**result.estimates, "acceptance": Estimate(0.5)}
    result = dataclasses.replace(result, estimates=planted)
    said = " ".join(legend(result))
    for words in TABLE_WORDS.values():
        assert [word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)] == []
    printed = text(result)
    assert [line for line in legend(result) if line not in printed] == []
    assert max(map(len, legend(result))) <= 120
    heads = [place for place, line in enumerate(printed) if re.match(r" *(second half|samples|iteration) ", line)]
    assert len(heads) == 3
    assert printed.index(next(legend(result))) > max(heads)


@pytest.mark.parametrize("part", ["mixing", "images", "two_sample"])
def test_a_table_that_is_not_there_is_not_explained(result, part):
    tables = {name: table for name, table in result.tables.items() if name != part}
    said = " ".join(legend(dataclasses.replace(result, tables=tables)))
    assert not re.search(rf"(?<!\w){re.escape(TABLE_WORDS[part][-2])}:", said)
    nothing = dataclasses.replace(result, tables={}, estimates={}, settings={"steps": 0})
    assert list(legend(nothing)) == [text(result)[text(result).index(list(legend(result))[-1])]]


def test_three_pictures(result):
    drawings = {drawing.name: drawing for drawing in draw(result)}
    assert list(drawings) == ["energy", "depth", "marginals"]
    assert f"{result.estimates['energy:long'].value:.4g}" in drawings["energy"].alt
    assert "no crossing: d keeps its sign" in drawings["depth"].caption
    assert "saturation" in drawings["marginals"].alt
    (panel,) = drawings["energy"].figure.axes
    assert {line.get_label() for line in panel.lines} >= {"data", "long run", "short run"}
    mean = next(line for line in panel.lines if line.get_label() == "long run")
    assert mean.get_ydata() == pytest.approx(result.tables["energy:long"].columns["mean"])


def test_densities_integrate_to_1(result):
    for name, table in result.tables.items():
        if name.startswith("marginal:"):
            widths = np.diff(table.columns["edge"])
            for kind in ("data", "short", "long"):
                assert table.columns[kind][:-1] @ widths == pytest.approx(1)
