"""The phases of a trace: what is computed, and in which units."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.numerics.scaling import undefined
from ebmdiag.numerics.sign_phases import sign_phases
from ebmdiag.result import Estimate, Result, Table
from ebmdiag_analyses.phases import effect, regimes, signs
from ebmdiag_analyses.phases.figures import draw
from ebmdiag_analyses.phases.judge import judge
from ebmdiag_analyses.phases.options import D, Options, R, Z
from ebmdiag_analyses.phases.series import Standardized, standardized
from ebmdiag_analyses.phases.view import text
from ebmdiag_analyses.selection import last_rows, row_notes, span

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

_BINS = 240
_SHOWN = 200


def analyse(trace: Trace, options: Options) -> Result:
    """Phases, regimes and effect of d, in sampling errors of d; durations in rows.

    Estimates: ``phase:count``, ``phase:duration``, ``phase:expansion`` and ``phase:contraction`` (durations),
    ``phase:period`` (two phases), ``phase:period_spread`` (its sd over its mean), ``phase:half_period``
    (autocorrelation half a period later), ``phase:share`` (of time in expansion), ``phase:negative`` (share of rows
    with d < 0), ``phase:mean`` (of d, in sampling errors); ``independent:duration``, ``independent:period_spread``,
    ``independent:p`` (runs test), ``independent:rhythm_p`` (even periods); ``memory:order``, ``memory:duration``,
    ``memory:p`` (fitted autoregression); ``changes:observed``, ``changes:independent``, ``changes:gaussian`` (share
    of sign changes without a band); ``regime:count``, and ``regime:first_row``, ``regime:mean``, ``regime:spread``
    of the last regime, ``regime:inflation``; ``effect:slope``, ``effect:p``, ``effect:share``,
    ``effect:beside_earlier``, ``effect:beside_earlier_p`` (from the last million rows at most).
    Tables: ``phases`` (at most 500), ``durations``, ``regimes``, ``course`` and ``last`` (what the picture shows).

    Raises:
        UsageError: there is no column d_s_t.
        TraceError: d_s_t or r_t has gaps or values that are not finite.
    """
    used = last_rows(trace, options.window)
    chosen = standardized(used)
    where = span(used)
    settings = {**_settings(options), "series": chosen.name, "unit": chosen.unit, **where}
    found, tables = _phases(used, chosen, options)
    estimates = {**found, **_effect(used, options, where["iterations_per_row"])}
    notes = tuple(note for note in (chosen.note, *row_notes(used)) if note)
    return Result("phases", trace.name, len(used), settings, estimates, tables, notes)


def _settings(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("window", "band", "lags", "level", "seed")}


def _phases(used: Trace, chosen: Standardized, options: Options) -> tuple[dict[str, Estimate], dict[str, Table]]:
    if chosen.undefined:
        return dict.fromkeys((*signs.KEYS, *regimes.KEYS), Estimate.undefined(chosen.undefined)), {}
    phases = sign_phases(chosen.x, options.band)
    memory = signs.simulate_memory(chosen.x, phases, options.band, options.seed)
    parts, table = regimes.regimes(chosen.x, used.steps)
    found = {**signs.estimates(chosen.x, phases, memory, options.level, options.seed), **parts}
    tables = {
        "phases": signs.phase_table(phases, used.steps),
        "durations": signs.duration_table(phases, memory),
        "regimes": table,
        "course": _course(chosen, used.steps),
        "last": _last(chosen, used.steps, phases.states()),
    }
    return _doubted(found, chosen.doubt), tables


def _doubted(estimates: dict[str, Estimate], doubt: str) -> dict[str, Estimate]:
    """All numbers under one doubt more, if there is one."""
    if not doubt:
        return estimates
    return {
        name: item if item.value is None else Estimate.doubted(item.value, doubt, low=item.low, high=item.high)
        for name, item in estimates.items()
    }


def _course(chosen: Standardized, steps: NDArray[np.int64]) -> Table:
    """At most 240 stretches with their lowest, mean and highest value."""
    bounds = np.linspace(0, len(steps), min(_BINS, len(steps)) + 1).astype(np.int64)
    shares = [chosen.x[low:high] for low, high in pairwise(bounds)]
    return Table(
        f"{chosen.name} in sampling errors over the run",
        {
            "step": steps[bounds[1:] - 1],
            "low": np.array([share.min() for share in shares]),
            "mean": np.array([share.mean() for share in shares]),
            "high": np.array([share.max() for share in shares]),
        },
    )


def _last(chosen: Standardized, steps: NDArray[np.int64], states: NDArray[np.int8]) -> Table:
    """The last 200 rows with their state, 0 before the first."""
    rows = min(_SHOWN, len(steps))
    state = np.concatenate((np.zeros(len(steps) - len(states), dtype=np.int8), states))
    return Table(
        f"the last {rows} rows",
        {"step": steps[-rows:], "value": chosen.x[-rows:], "state": state[-rows:].astype(np.int64)},
    )


def _effect(used: Trace, options: Options, spacing: int | None) -> dict[str, Estimate]:
    reason = f"there is no column {R}"
    if R in used.columns:
        d, r = used.series(D), used.series(R)
        reason = undefined(r) or undefined(d)
        if not reason:
            return effect.effect(d, r, options.lags, options.level, _spaced(spacing))
    elif not len(used):
        reason = "0 rows are too few"
    return dict.fromkeys(effect.KEYS, Estimate.undefined(reason))


def _spaced(spacing: int | None) -> str:
    return "" if spacing == 1 else "the rows are not one iteration apart, but r answers at the next iteration"


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads."""
    return [D, R, Z]


ANALYSIS = Analysis(
    name="phases",
    title="Expansion and contraction",
    summary="Phases of expansion and contraction: how long they last, and what they do to r_t.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
