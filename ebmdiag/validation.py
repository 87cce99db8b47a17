"""Does a trace keep to the contract? One :class:`Check` for each rule, none of them silent.

The rules are relations that hold for every trace, whoever wrote it:

- T = ε²/2 (1 when ε = 0), r_t = T v_t, d_s_t = energy_pos_mean - energy_neg_mean;
- norms, standard deviations, times and learning rates are not negative, shares lie between 0 and 1;
- what is present is finite (an undefined value is absent); steps increase from 1; the clock never runs back.

Equalities are held to a relative error of 1e-6 of the largest number in them, since a float32 logger rounds
at 6e-8 and d is a difference of large means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ebmdiag.metadata import ENERGY_SIGN
from ebmdiag.rows import temperature
from ebmdiag.statistics import BY_COLUMN, STATISTICS
from ebmdiag.trace import Trace

Outcome = Literal["ok", "note", "VIOLATION"]
Floats = NDArray[np.float64]

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_FLOOR = 1e-12

_NOT_NEGATIVE = (
    *(statistic.column for statistic in STATISTICS if "never negative" in statistic.sign),
    *("learning_rate", "elapsed_s", "sigma_eff", "bank_visits"),
)
_SHARES = (*(statistic.column for statistic in STATISTICS if "between 0 and 1" in statistic.sign), "energy_auc")


@dataclass(frozen=True)
class Check:
    """One rule held against one trace; ``step`` and ``value`` are those of the first row that breaks it."""

    rule: str
    outcome: Outcome
    message: str
    step: int | None = None
    value: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; a non-finite value becomes its name, since it is what broke the rule."""
        value = self.value if self.value is None or np.isfinite(self.value) else str(self.value)
        return {
            "rule": self.rule,
            "outcome": self.outcome,
            "message": self.message,
            "step": self.step,
            "value": value,
        }


def validate_trace(trace: Trace) -> list[Check]:
    """Every check of the contract, in the order of the columns it speaks of.

    Args:
        trace: as :func:`ebmdiag.open_trace` hands it over; that already refuses files that are no traces. It is looked
            at column by column.

    Returns:
        At least one check for each rule; the trace is valid when none has the outcome ``VIOLATION``.
    """
    return [
        _schema(trace),
        *_metadata(trace),
        _steps(trace),
        *_finite(trace),
        *_equalities(trace),
        *_ranges(trace),
        *_clock(trace),
        _state(trace),
    ]


def _schema(trace: Trace) -> Check:
    present = [name for name in trace.columns if name in BY_COLUMN]
    known = f"version {trace.metadata.schema_version}, {len(trace)} rows"
    if not len(trace):
        return Check("schema", "note", f"{known} yet")
    own = len(trace.columns) - len(present)
    values = f"values in {len(present)} of the {len(BY_COLUMN)} known columns"
    return Check("schema", "ok", f"{known}, {values}" + (f" and in {own} of your own" if own else ""))


def _metadata(trace: Trace) -> Iterator[Check]:
    epsilon, found = trace.metadata.epsilon, trace.metadata.temperature
    expected = temperature(epsilon) if np.isfinite(epsilon) else np.nan
    if np.isclose(found, expected, rtol=1e-9, atol=0.0):
        yield Check("temperature", "ok", f"epsilon {epsilon:g}, temperature {found:g}")
    else:
        what = f"epsilon {epsilon:g} needs temperature {expected:g}, but the file says {found:g}"
        yield Check("temperature", "VIOLATION", what, value=found)
    sign = trace.metadata.energy_sign
    if sign == ENERGY_SIGN:
        yield Check("energy sign", "ok", sign)
    else:
        yield Check("energy sign", "VIOLATION", f"the file says {sign!r}; the contract is {ENERGY_SIGN!r}")


def _steps(trace: Trace) -> Check:
    steps = trace.steps
    if not len(steps):
        return Check("steps", "note", "no row yet")
    first, last = int(steps[0]), int(steps[-1])
    if first < 1:
        return Check("steps", "VIOLATION", f"they count from 1, but the first is {first}", first, float(first))
    gaps = np.diff(steps)
    if not (gaps > 1).any():
        return Check("steps", "ok", f"{first} to {last}, consecutive")
    if (gaps == gaps[0]).all():
        what = f"{first} to {last}, one row every {gaps[0]} steps: lags count rows, not iterations"
        return Check("steps", "note", what)
    row = int(np.argmax(gaps > 1))
    what = f"{first} to {last} with {int((gaps > 1).sum())} gaps; after {steps[row]} comes {steps[row + 1]}"
    return Check("steps", "note", what, int(steps[row + 1]))


def _finite(trace: Trace) -> Iterator[Check]:
    for name in trace.names:
        required = name in BY_COLUMN and BY_COLUMN[name].required
        if name == "step" or (trace.rows.is_empty(name) and not required):
            continue
        values, present = _values(trace, name)
        absent = int((~present).sum())
        rule = f"{name} is finite"
        if required and absent:
            row = int(np.argmax(~present))
            what = f"{absent} missing values, but every row needs one; the first at step {trace.steps[row]}"
            yield Check(rule, "VIOLATION", what, int(trace.steps[row]))
        elif (bad := present & ~np.isfinite(values)).any():
            yield _first(trace, rule, bad, values, f"{int(bad.sum())} values are not finite")
        else:
            yield Check(rule, "ok", f"{len(trace) - absent} values" + (f", {absent} absent" if absent else ""))


def _has_values(trace: Trace, *names: str) -> bool:
    return all(name in trace.names and not trace.rows.is_empty(name) for name in names)


def _values(trace: Trace, name: str) -> tuple[Floats, NDArray[np.bool_]]:
    """A column as float64, shape (rows,), NaN where absent; and where it is present."""
    found = trace.rows.column(name)
    return found.values, np.ones(len(trace), dtype=np.bool_) if found.present is None else found.present


def _first(trace: Trace, rule: str, bad: NDArray[np.bool_], values: Floats, what: str) -> Check:
    """A violation that names the first row where ``bad`` holds."""
    row = int(np.argmax(bad))
    step, value = int(trace.steps[row]), float(values[row])
    return Check(rule, "VIOLATION", f"{what}; the first, {value:.10g}, at step {step}", step, value)


def _equalities(trace: Trace) -> Iterator[Check]:
    yield from _equality(trace, "r_t = temperature * v_t", ["r_t", "v_t"])
    yield from _equality(
        trace, "d_s_t = energy_pos_mean - energy_neg_mean", ["d_s_t", "energy_pos_mean", "energy_neg_mean"]
    )


def _equality(trace: Trace, rule: str, columns: list[str]) -> Iterator[Check]:
    if not _has_values(trace, *columns):
        return
    left, *others = (_values(trace, name)[0] for name in columns)
    terms = [trace.metadata.temperature * others[0]] if len(others) == 1 else [others[0], -others[1]]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.sum(terms, axis=0)
        scale = np.max(np.abs([left, *terms]), axis=0)
        off = np.abs(left - expected) > np.maximum(RELATIVE_TOLERANCE * scale, ABSOLUTE_FLOOR)
    compared = np.isfinite(left) & np.isfinite(expected)
    bad = off & compared
    if not bad.any():
        yield Check(rule, "ok", f"{int(compared.sum())} rows")
        return
    row = int(np.argmax(bad))
    step, value = int(trace.steps[row]), float(left[row])
    which = f"{int(bad.sum())} rows differ; the first at step {step}"
    yield Check(rule, "VIOLATION", f"{which}: {value:.10g}, but expected {expected[row]:.10g}", step, value)


def _ranges(trace: Trace) -> Iterator[Check]:
    for name in _NOT_NEGATIVE:
        if _has_values(trace, name):
            values, _ = _values(trace, name)
            yield _range(trace, f"{name} >= 0", values < 0, values)
    for name in _SHARES:
        if _has_values(trace, name):
            values, _ = _values(trace, name)
            beyond = (values < -RELATIVE_TOLERANCE) | (values > 1 + RELATIVE_TOLERANCE)
            yield _range(trace, f"0 <= {name} <= 1", beyond, values)


def _range(trace: Trace, rule: str, bad: NDArray[np.bool_], values: Floats) -> Check:
    if not bad.any():
        return Check(rule, "ok", f"{int(np.isfinite(values).sum())} rows")
    return _first(trace, rule, bad, values, f"{int(bad.sum())} values are out of range")


def _clock(trace: Trace) -> Iterator[Check]:
    if not _has_values(trace, "elapsed_s"):
        return
    values, present = _values(trace, "elapsed_s")
    rows = np.flatnonzero(present & np.isfinite(values))
    back = np.flatnonzero(np.diff(values[rows]) < 0)
    rule = "elapsed_s does not decrease"
    if not len(back):
        yield Check(rule, "ok", f"{len(rows)} rows")
        return
    row = int(rows[back[0] + 1])
    before, value, step = float(values[rows[back[0]]]), float(values[row]), int(trace.steps[row])
    what = f"{len(back)} times it does; the first at step {step}: {value:.10g} s after {before:.10g} s"
    yield Check(rule, "VIOLATION", what, step, value)


def _state(trace: Trace) -> Check:
    state, message = trace.metadata.state, trace.metadata.message
    if state == "finished":
        return Check("state", "ok", state)
    return Check("state", "note", state if message is None else f"{state}: {message!r}")
