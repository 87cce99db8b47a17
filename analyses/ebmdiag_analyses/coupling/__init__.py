"""Does d_s_t drive r_t, or r_t drive d_s_t? Granger's test both ways, the answer to a shock, prewhitened correlation.

Nijkamp et al. 2020 (arXiv:1903.12370): expansion (d < 0) raises the gradient magnitude r, contraction (d > 0) lowers
it. Where r is read as the state of a learning loop (docs/loop_gain.md), r answers d and d answers r: the loop is
closed, and one vector autoregression holds both directions (ebmdiag.numerics.vector_autoregression). What happens
within one row has no direction: the chains that lower d raise r. A column that has not settled is looked at by its
differences.
"""

from __future__ import annotations

from ebmdiag.analysis import Analysis
from ebmdiag_analyses.coupling.judge import LIMITS, Limits, judge
from ebmdiag_analyses.coupling.measure import Options, analyse, columns
from ebmdiag_analyses.coupling.view import draw, text

__all__ = ["ANALYSIS", "LIMITS", "Limits", "Options", "analyse", "draw", "judge", "text"]

ANALYSIS = Analysis(
    name="coupling",
    title="Coupling",
    summary="Does d_s_t drive r_t, or r_t drive d_s_t? Granger's test, answers to a shock.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
