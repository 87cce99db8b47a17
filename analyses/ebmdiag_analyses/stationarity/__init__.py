"""Has the run settled? Whether the mean of d_s_t is 0, and whether r_t and the other columns still move.

Nijkamp et al. 2020 (arXiv:1903.12370, section 3): in a stable run d varies about 0 and r settles at a constant. Both
are asked the hard way round: not "is a drift to be seen?", which any short record answers with no, but "is a
drift that matters excluded?" (equivalence). What cannot be told yet is called undetermined, with the number of further
iterations that would tell. The tests know the memory of each column (ebmdiag.numerics.low_frequency and change_points);
their sizes on simulated noise are in docs/stationarity.md.
"""

from __future__ import annotations

from ebmdiag.analysis import Analysis
from ebmdiag_analyses.stationarity.judge import judge
from ebmdiag_analyses.stationarity.measure import Options, analyse, columns
from ebmdiag_analyses.stationarity.verdict import LIMITS, Limits, Verdict, verdicts
from ebmdiag_analyses.stationarity.view import draw, text

__all__ = ["ANALYSIS", "LIMITS", "Limits", "Options", "Verdict", "analyse", "draw", "judge", "text", "verdicts"]

ANALYSIS = Analysis(
    name="stationarity",
    title="Stationarity",
    summary="Is the mean of d_s_t zero, and have r_t and the other columns settled?",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
)
