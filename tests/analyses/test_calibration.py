"""The measured error rates of the verdict are those of the kept traces, to the last one."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from calibration_cases import (
    KEPT,
    PLANTED,
    SHOWN,
    Case,
    counts,
    interval,
    kept,
    label_of,
    place,
    planted,
    rates,
    verdict_of,
)
from calibration_page import golden, line

from ebmdiag.numerics.loop import first_order, momentum
from ebmdiag_analyses.verdict import LIMITS
from ebmdiag_analyses.verdict.rates import RATES

PAGE = Path(__file__).parent.parent.parent / "docs" / "calibration.md"


def measured(cases, limits=None):
    found = [(case, place(case, verdict_of(case, limits))) for case in cases if case.axis == "stability"]
    return rates("stability", counts((case.label, where) for case, where in found))


@pytest.mark.slow
def test_the_rates_are_those_of_the_kept_traces():
    assert measured(kept()) == [row for row in RATES if row["axis"] == "stability"]


@pytest.mark.slow
def test_other_limits_have_other_rates():
    some = [case for case in kept() if case.label in ("weakly oscillating", "strongly oscillating")]
    assert measured(some, {"strong": 0.1, "weak": 0.05}) != measured(some)


def test_the_rates_are_good_enough_to_be_of_use():
    by_place = {(row["axis"], row["place"]): row for row in RATES}
    for row in RATES:
        if row["place"] != "undetermined":
            assert row["false_alarm_interval"][1] < 0.05, row
    for name in ("strongly oscillating", "diverging", "collapsing", "weakly oscillating", "stable"):
        assert by_place["stability", name]["found_interval"][0] > 0.4, name


def test_the_kept_half_is_no_training_half():
    families = {family.name for family in PLANTED}
    stored = [case for case in kept() if case.family in families]
    assert Counter(case.family for case in stored) == Counter(dict.fromkeys(families, 12))
    first = next(case for case in stored if case.family == "white noise")
    again = {half: next(case for case in planted(half) if case.family == "white noise") for half in ("train", "test")}
    np.testing.assert_array_equal(first.columns["d_s_t"], again["test"].columns["d_s_t"])
    assert not np.array_equal(first.columns["d_s_t"], again["train"].columns["d_s_t"])


def test_labels_come_from_gain_and_poles():
    gains = {0.05: "stable", 0.3: "weakly oscillating", 1.0: "strongly oscillating", 2.1: "diverging"}
    assert {gain: label_of(first_order(gain)) for gain in gains} == gains
    assert label_of(momentum(1.0, 0.9)) == "strongly oscillating"
    for border in (first_order(0.5), first_order(0.12)):
        with pytest.raises(ValueError, match="border case"):
            label_of(border)


def test_labels_do_not_know_the_rules():
    """A label stays, whatever the limits: no name of a rule is read where labels are made."""
    source = Path(label_of.__code__.co_filename).read_text(encoding="utf-8")
    assert "LIMITS" not in source
    assert {family.label for family in PLANTED} <= {case.label for case in kept()}


def test_recorded_runs_are_placed_as_the_page_says():
    found = {case.family: verdict_of(case).stability.place for case in golden()}
    assert found["rings (reference, SGD), last two thirds"] == "weakly oscillating"
    assert found["rings (reference, SGD), whole"] == "undetermined"
    assert {where for name, where in found.items() if name.startswith("flowers")} == {"strongly oscillating"}
    text = PAGE.read_text(encoding="utf-8")
    for case in golden():
        assert f"| {case.family} | {len(case.columns['d_s_t'])} |" in text


@pytest.mark.slow
def test_the_page_holds_the_confusion_matrix():
    text = PAGE.read_text(encoding="utf-8")
    pairs = [(case.label, place(case, verdict_of(case))) for case in kept() if case.axis == "stability"]
    table = counts(pairs)
    places = [name for name in order() if name in table or any(name in row for row in table.values())]
    for label, row in table.items():
        assert line((label, *(row.get(name, 0) for name in places))) in text


def order():
    from ebmdiag.verdict import STABILITIES

    return STABILITIES


def test_the_limits_in_force_are_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for name, value in LIMITS.to_json().items():
        assert f"| `{name}` | {value:g} |" in text


def test_the_kept_traces_are_small():
    assert KEPT.stat().st_size + SHOWN.stat().st_size < 3_000_000


def test_intervals_are_clopper_and_pearsons():
    assert interval(0, 20) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-4))
    assert interval(0, 0) == (0.0, 1.0)


def test_rates_count_what_they_say():
    table = {"a": {"a": 3, "b": 1}, "b": {"b": 5}}
    first, second = rates("stability", table)
    assert (first["false_alarms"], first["others"], first["found"], first["cases"]) == (0, 5, 3, 4)
    assert (second["false_alarms"], second["others"], second["found"], second["cases"]) == (1, 4, 5, 5)
    assert isinstance(kept()[0], Case)
